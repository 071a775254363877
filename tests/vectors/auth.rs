//! Capabilities, JWTs and token requests.

use falco::protocol::ably::auth::{
    ApiKey, Capability, Claims, Operation, Operations, TokenRequest, sign_jwt, verify_jwt,
};
use falco::protocol::ably::error::ErrorInfo;
use serde::Deserialize;
use serde_json::Value;

use crate::{files_below, load, read, unhex};

#[derive(Deserialize)]
struct Capabilities {
    allows: Vec<Allows>,
    intersections: Vec<Intersection>,
    invalid: Vec<String>,
}

#[derive(Deserialize)]
struct Allows {
    capability: String,
    channel: String,
    operation: String,
    allowed: bool,
}

#[derive(Deserialize)]
struct Intersection {
    key: String,
    asked: String,
    given: Option<String>,
}

fn capability(text: &str) -> Capability {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The operation called `name`, found through the public parser.
fn operations(name: &str) -> Operations {
    capability(&format!("{{\"x\":[\"{name}\"]}}")).operations("x")
}

#[test]
fn a_capability_allows_what_ably_says_it_allows() {
    let cases: Capabilities = load("capabilities.json");
    for case in cases.allows {
        let granted = capability(&case.capability).operations(&case.channel);
        let wanted = operations(&case.operation);
        assert_eq!(
            granted.intersection(wanted) == wanted,
            case.allowed,
            "{} on {} by {}",
            case.operation,
            case.channel,
            case.capability
        );
    }
    assert!(capability(r#"{"a":["publish"]}"#).allows("a", Operation::Publish));
}

#[test]
fn a_token_gets_what_it_asks_for_and_its_key_has() {
    let cases: Capabilities = load("capabilities.json");
    for case in cases.intersections {
        let given = capability(&case.key).intersection(&capability(&case.asked));
        let back = capability(&case.asked).intersection(&capability(&case.key));
        assert_eq!(given, back, "{} with {}", case.key, case.asked);
        match case.given {
            Some(text) => assert_eq!(given.to_string(), text),
            None => assert!(given.is_empty(), "{} with {}", case.key, case.asked),
        }
    }
}

#[test]
fn what_is_no_capability_is_refused_as_a_bad_request() {
    let cases: Capabilities = load("capabilities.json");
    for text in cases.invalid {
        let error = text.parse::<Capability>().expect_err(&text);
        assert_eq!(ErrorInfo::from(&error).status_code, 400, "{text}");
    }
}

#[derive(Deserialize)]
struct Jwts {
    key: String,
    now: i64,
    cases: Vec<Jwt>,
}

#[derive(Deserialize)]
struct Jwt {
    name: String,
    token: String,
    claims: Option<Claims>,
    code: Option<u32>,
}

#[test]
fn a_jwt_is_believed_only_when_its_key_signed_it_and_it_lives() {
    let vectors: Jwts = load("jwts.json");
    let key: ApiKey = vectors.key.parse().expect("a key");
    for case in vectors.cases {
        let find = |name: &str| (name == key.name().as_str()).then_some(&key);
        let verified = verify_jwt(&case.token, find, vectors.now * 1000);
        match (verified, case.claims) {
            (Ok(claims), Some(expected)) => assert_eq!(claims, expected, "{}", case.name),
            (Err(error), None) => {
                let code = ErrorInfo::from(&error).code;
                assert_eq!(Some(code), case.code, "{}: {error}", case.name);
            }
            (Ok(_), None) => panic!("{}: it was believed", case.name),
            (Err(error), Some(_)) => panic!("{}: {error}", case.name),
        }
    }
}

#[test]
fn our_jwt_has_the_bytes_another_program_made() {
    let mut vectors: Jwts = load("jwts.json");
    let key: ApiKey = vectors.key.parse().expect("a key");
    let first = vectors.cases.swap_remove(0);
    let signed = sign_jwt(&key, &first.claims.expect("the first one is good"));
    assert_eq!(signed.reveal(), first.token);
}

#[derive(Deserialize)]
struct Http {
    body: Option<String>,
    body_hex: Option<String>,
}

#[test]
fn the_macs_of_stock_sdks_verify_and_are_the_ones_we_make() {
    let key: ApiKey = "app.key:secret".parse().expect("a key");
    let mut checked = 0;
    for path in files_below("ably") {
        let name = path.to_string_lossy();
        if !name.contains("requestToken") {
            continue;
        }
        let http: Http = serde_json::from_str(&read(&name)).expect("a recorded request");
        let request: TokenRequest = match (http.body, http.body_hex) {
            (Some(text), _) => serde_json::from_str(&text).expect("a token request in JSON"),
            (_, Some(hex)) => rmp_serde::from_slice(&unhex(&hex)).expect("one in msgpack"),
            _ => panic!("{name}: no body"),
        };
        let made_at: i64 = request.timestamp.parse().expect("milliseconds");
        assert_eq!(request.verify(&key, made_at), Ok(()), "{name}");
        let mut ours = request.clone();
        ours.sign(&key);
        assert_eq!(ours.mac, request.mac, "{name}");
        assert!(request.ttl_ms().is_ok(), "{name}");
        checked += 1;
    }
    assert_eq!(checked, 8);
}

#[test]
fn a_token_request_with_any_field_changed_is_refused() {
    let text = r#"{"keyName":"app.key","clientId":"someone","ttl":60000,"timestamp":1795244201517,"nonce":"7077263723602893","mac":"n/50/tURglnmbEOC9C3tSKImZIgjekbiFdQCSC9flfU="}"#;
    let good: Value = serde_json::from_str(text).expect("JSON");
    let key: ApiKey = "app.key:secret".parse().expect("a key");
    let verify = |value: Value| {
        let request: TokenRequest = serde_json::from_value(value).expect("a token request");
        request.verify(&key, 1_795_244_201_517)
    };
    assert_eq!(verify(good.clone()), Ok(()));
    for field in ["keyName", "clientId", "nonce", "mac", "capability"] {
        let mut changed = good.clone();
        changed[field] = Value::from("AAAAAAAAAAAAAAAAAAAA");
        assert!(verify(changed).is_err(), "{field}");
    }
    for field in ["ttl", "timestamp"] {
        let mut changed = good.clone();
        changed[field] = Value::from(1_795_244_201_518_i64);
        assert!(verify(changed).is_err(), "{field}");
    }
}
