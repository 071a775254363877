use super::*;

const NOW_MS: i64 = 1_700_000_000_000;
/// Made with Python's `hmac`, not with this module.
const MAC_OF_ALL_FIELDS: &str = "Mcp2y7r9s/HJ/UerFfjr/OPboKvC1ThWQimdPpQWJjc=";
const MAC_OF_NO_OPTIONAL_FIELD: &str = "dDt+Huid24yb/Y5jojgRG632/ahwIpQMBd/5UwdOdjg=";

fn key() -> ApiKey {
    "app1.key1:se:cret".parse().expect("a key")
}

fn request() -> TokenRequest {
    TokenRequest {
        key_name: "app1.key1".to_owned(),
        ttl: "3600000".to_owned(),
        capability: r#"{"a":["publish"]}"#.to_owned(),
        client_id: "u-1".to_owned(),
        timestamp: "1700000000000".to_owned(),
        nonce: "0123456789abcdef".to_owned(),
        mac: MAC_OF_ALL_FIELDS.to_owned(),
    }
}

#[test]
fn the_mac_is_the_one_another_tool_makes() {
    let mut full = request();
    full.sign(&key());
    assert_eq!(full.mac, MAC_OF_ALL_FIELDS);

    let mut bare = TokenRequest {
        ttl: String::new(),
        capability: String::new(),
        client_id: String::new(),
        ..request()
    };
    bare.sign(&key());
    assert_eq!(bare.mac, MAC_OF_NO_OPTIONAL_FIELD);
}

#[test]
fn a_request_is_believed_from_its_key_around_its_time_only() {
    let request = request();
    assert_eq!(request.verify(&key(), NOW_MS), Ok(()));
    assert_eq!(request.verify(&key(), NOW_MS - TIMESTAMP_WINDOW_MS), Ok(()));
    let late = request.verify(&key(), NOW_MS + TIMESTAMP_WINDOW_MS + 1);
    assert_eq!(late, Err(TokenRequestError::Timestamp));
    let other: ApiKey = "app1.key1:other".parse().expect("a key");
    assert_eq!(
        request.verify(&other, NOW_MS),
        Err(TokenRequestError::BadMac)
    );
    let changed = TokenRequest {
        client_id: "u-2".to_owned(),
        ..request
    };
    assert_eq!(
        changed.verify(&key(), NOW_MS),
        Err(TokenRequestError::BadMac)
    );
}

#[test]
fn numbers_and_strings_are_the_same_request() {
    let numbers = r#"{"keyName":"app1.key1","ttl":3600000,"timestamp":1700000000000.0,"nonce":"n","clientId":null}"#;
    let strings =
        r#"{"keyName":"app1.key1","ttl":"3600000","timestamp":"1700000000000","nonce":"n"}"#;
    let numbers: TokenRequest = serde_json::from_str(numbers).expect("decodes");
    let strings: TokenRequest = serde_json::from_str(strings).expect("decodes");
    assert_eq!(numbers, strings);
    assert_eq!(numbers.ttl_ms(), Ok(3_600_000));
}

#[test]
fn a_ttl_is_positive_and_at_most_a_day() {
    let ttl = |ttl: &str| {
        let request = TokenRequest {
            ttl: ttl.to_owned(),
            ..request()
        };
        request.ttl_ms()
    };
    assert_eq!(ttl(""), Ok(TTL_DEFAULT_MS));
    assert_eq!(ttl("86400000"), Ok(TTL_MAX_MS));
    for refused in ["86400001", "0", "-1", "soon", "1.5"] {
        assert_eq!(ttl(refused), Err(TokenRequestError::Ttl), "{refused}");
    }
}
