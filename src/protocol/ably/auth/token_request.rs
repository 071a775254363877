//! A token request (TE): whoever has a key asks, or lets another ask, for a
//! token, and proves knowledge of the key's secret with a MAC (RSA9g).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::Mac as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::super::error::ErrorInfo;
use super::super::lenient;
use super::ApiKey;
use super::jwt::mac;

/// How long a token lives when the request does not say (RSA5).
pub const TTL_DEFAULT_MS: i64 = 60 * 60 * 1000;

/// The longest life a token may ask for.
pub const TTL_MAX_MS: i64 = 24 * 60 * 60 * 1000;

/// How far a request's timestamp may be from the server's clock. The emulator
/// remembers nonces for twice as long, so that no request works again.
const TIMESTAMP_WINDOW_MS: i64 = 59 * 1000;

/// The shortest nonce (RSA9c).
const NONCE_BYTES_MIN: usize = 16;

/// A request for a token, signed or not.
///
/// `ttl` and `timestamp` are kept as the decimal text the MAC covers, whether
/// they came as numbers or as strings; empty when absent.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenRequest {
    /// The key that signs.
    #[serde(deserialize_with = "lenient::or_default")]
    pub key_name: String,
    /// The asked life in milliseconds.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "decimal_text"
    )]
    pub ttl: String,
    /// The asked capability as JSON text; empty asks for all the key has.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub capability: String,
    /// Who the token shall be for.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub client_id: String,
    /// When it was made, milliseconds since the epoch.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "decimal_text"
    )]
    pub timestamp: String,
    /// Random, used once.
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub nonce: String,
    /// Base64 of the HMAC-SHA256 over [`TokenRequest::canonical_text`].
    #[serde(
        skip_serializing_if = "String::is_empty",
        deserialize_with = "lenient::or_default"
    )]
    pub mac: String,
}

/// Why a token request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRequestError {
    /// The MAC is not this key's over this request.
    #[error("the token request's MAC does not match its key")]
    BadMac,
    /// Too far from the server's clock, or none.
    #[error("the token request's timestamp is not current")]
    Timestamp,
    /// The nonce is too short to be random.
    #[error("the token request's nonce is shorter than {NONCE_BYTES_MIN} characters")]
    ShortNonce,
    /// No number, not positive, or over a day.
    #[error("the token request's ttl is not between 1 and {TTL_MAX_MS} milliseconds")]
    Ttl,
}

impl From<&TokenRequestError> for ErrorInfo {
    fn from(error: &TokenRequestError) -> Self {
        let code = match error {
            TokenRequestError::BadMac => 40101,
            TokenRequestError::Timestamp => 40104,
            TokenRequestError::ShortNonce => 40000,
            TokenRequestError::Ttl => 40003,
        };
        Self::new(code, error.to_string())
    }
}

impl TokenRequest {
    /// What the MAC covers: six fields, each followed by a newline.
    #[must_use]
    pub fn canonical_text(&self) -> String {
        format!(
            "{}\n{}\n{}\n{}\n{}\n{}\n",
            self.key_name, self.ttl, self.capability, self.client_id, self.timestamp, self.nonce
        )
    }

    /// Fills in `mac` with the key's signature.
    pub fn sign(&mut self, key: &ApiKey) {
        let mac = mac(key.secret().as_bytes(), self.canonical_text().as_bytes());
        self.mac = STANDARD.encode(mac.finalize().into_bytes());
    }

    /// Whether `key` signed this request for use around `now_ms`; that its
    /// nonce was not used before is for the caller to check (40105).
    ///
    /// # Errors
    ///
    /// The first that does not hold.
    pub fn verify(&self, key: &ApiKey, now_ms: i64) -> Result<(), TokenRequestError> {
        let claimed = STANDARD
            .decode(&self.mac)
            .map_err(|_| TokenRequestError::BadMac)?;
        mac(key.secret().as_bytes(), self.canonical_text().as_bytes())
            .verify_slice(&claimed)
            .map_err(|_| TokenRequestError::BadMac)?;
        if self.nonce.len() < NONCE_BYTES_MIN {
            return Err(TokenRequestError::ShortNonce);
        }
        let timestamp: i64 = self
            .timestamp
            .parse()
            .map_err(|_| TokenRequestError::Timestamp)?;
        if TIMESTAMP_WINDOW_MS < timestamp.saturating_sub(now_ms).saturating_abs() {
            return Err(TokenRequestError::Timestamp);
        }
        Ok(())
    }

    /// The asked life in milliseconds, or the default.
    ///
    /// # Errors
    ///
    /// When it is no number, not positive, or too long.
    pub fn ttl_ms(&self) -> Result<i64, TokenRequestError> {
        if self.ttl.is_empty() {
            return Ok(TTL_DEFAULT_MS);
        }
        match self.ttl.parse() {
            Ok(ttl) if (1..=TTL_MAX_MS).contains(&ttl) => Ok(ttl),
            _ => Err(TokenRequestError::Ttl),
        }
    }
}

/// The decimal text of a number, or a string as it is; null is empty.
fn decimal_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        Whole(i64),
        Float(f64),
        Text(String),
        Absent(()),
    }
    Ok(match Form::deserialize(deserializer)? {
        Form::Whole(number) => number.to_string(),
        // Rust writes a whole float without a fraction, as JavaScript does.
        Form::Float(number) => number.to_string(),
        Form::Text(text) => text,
        Form::Absent(()) => String::new(),
    })
}

#[cfg(test)]
mod tests {
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
}
