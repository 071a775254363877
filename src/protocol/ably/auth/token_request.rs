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
mod tests;
