//! Keys, capabilities, JWTs and token requests: pure checks and signatures.
//!
//! Owns what proves who may do what at Ably: the API key, the capability that
//! a key or token carries, the JWT signed with a key, the token request whose
//! MAC proves knowledge of a key, and the token details a server answers with.
//!
//! Time is always a parameter, in milliseconds since the epoch. Secrets live
//! in types whose `Debug` redacts them, and are compared in constant time.

mod capability;
mod jwt;
mod key;
mod token_request;

pub use capability::{Capability, CapabilityError, Operation, Operations};
pub use jwt::{Claims, JwtError, TOKEN_BYTES_MAX, peek_jwt, sign_jwt, verify_jwt};
pub use key::{ApiKey, ApiKeyError, KeyName};
pub use token_request::{TTL_DEFAULT_MS, TTL_MAX_MS, TokenRequest, TokenRequestError};

use serde::{Deserialize, Serialize};

use super::lenient;

/// An Ably token or JWT: a secret.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AccessToken(String);

impl AccessToken {
    /// Wraps the text of a token.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the wire and nowhere else.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether there is no token at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AccessToken(…)")
    }
}

/// A token and what is known of it (TD).
///
/// Times are milliseconds since the epoch; 0 when the issuer did not say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenDetails {
    /// The token.
    pub token: AccessToken,
    /// The key it was issued from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    /// From when it is valid.
    #[serde(deserialize_with = "lenient::number")]
    pub issued: i64,
    /// Until when it is valid.
    #[serde(deserialize_with = "lenient::number")]
    pub expires: i64,
    /// A JSON text, see [`Capability`].
    #[serde(deserialize_with = "lenient::or_default")]
    pub capability: String,
    /// Who its bearer is; `*` may be anyone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_details_read_times_in_any_form_and_never_show_the_token() {
        let text = r#"{"token":"s3cret","issued":"1700000000000","expires":1.7000036e12,"capability":null,"clientId":"u"}"#;
        let details: TokenDetails = serde_json::from_str(text).expect("decodes");
        assert_eq!(details.issued, 1_700_000_000_000);
        assert_eq!(details.expires, 1_700_003_600_000);
        assert_eq!(details.client_id.as_deref(), Some("u"));
        assert!(!format!("{details:?}").contains("s3cret"));
    }
}
