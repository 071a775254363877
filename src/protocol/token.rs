//! The exchange on `ably-auth.sock`.
//!
//! One request per connection: the client writes one JSON object, half-closes,
//! and reads to the end.
//!
//! ```text
//! → {"broker_token":"…","audience":"daemon_falco","device_id":"<uuid>"}
//! ← {"ok":true,"token_details":{"token","issued","expires","capability","clientId"}}
//! ← {"ok":false,"error":"not authenticated","retryable":true}
//! ```
//!
//! Ours are `retryable`, and in a request `"refused":true`: Ably would not take
//! the last token, so a cached one is of no use. Peers that do not know them
//! ignore them.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

use super::ably::auth::{AccessToken, TokenDetails};

/// The longest request, in bytes.
pub const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// The longest answer a client reads: a token of the greatest length Ably
/// takes (128 KiB), its capability once more, and room to spare.
pub const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// How long one read or one write may take.
pub const IO_TIMEOUT: Duration = Duration::from_secs(5);

/// Whom a token is for; each has its own capability and its own connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// Falco's publishes and object sets.
    DaemonFalco,
    /// Nagato's subscriptions and acks.
    DaemonNagato,
}

impl Audience {
    /// Every audience.
    pub const ALL: [Self; 2] = [Self::DaemonFalco, Self::DaemonNagato];

    /// The name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DaemonFalco => "daemon_falco",
            Self::DaemonNagato => "daemon_nagato",
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What proves to the broker that a request comes from the transport: random,
/// one per audience, new at every broker start. A secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BrokerToken(String);

impl BrokerToken {
    /// A token of 32 random bytes.
    #[must_use]
    pub fn from_random(bytes: [u8; 32]) -> Self {
        Self(URL_SAFE_NO_PAD.encode(bytes))
    }

    /// A token that came from another broker.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the wire and a child's environment.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether both are the same, in time that tells nothing of either.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for BrokerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerToken(…)")
    }
}

/// The broker tokens of one broker start, as the transport is handed them.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BrokerTokens {
    /// For audience [`Audience::DaemonFalco`].
    pub daemon_falco: BrokerToken,
    /// For audience [`Audience::DaemonNagato`].
    pub daemon_nagato: BrokerToken,
}

impl BrokerTokens {
    /// The token of `audience`.
    #[must_use]
    pub fn of(&self, audience: Audience) -> &BrokerToken {
        match audience {
            Audience::DaemonFalco => &self.daemon_falco,
            Audience::DaemonNagato => &self.daemon_nagato,
        }
    }
}

/// What our own transport is told through a pipe, so that its environment
/// holds no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TransportSecrets {
    /// For the broker.
    #[serde(flatten)]
    pub broker_tokens: BrokerTokens,
    /// For the heartbeats over HTTP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence_token: Option<AccessToken>,
}

/// What a client asks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Request {
    /// The audience's own broker token.
    pub broker_token: BrokerToken,
    /// Whom the token is for.
    pub audience: Audience,
    /// A UUID; that of the device the broker serves, or it is refused.
    pub device_id: String,
    /// Whether Ably refused the token given last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub refused: bool,
}

impl Request {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// When it is empty, too large, or no such JSON.
    pub fn parse(body: &[u8]) -> Result<Self, Refusal> {
        if REQUEST_BYTES_MAX < body.len() {
            return Err(Refusal::TooLarge);
        }
        if body.trim_ascii().is_empty() {
            return Err(Refusal::Empty);
        }
        serde_json::from_slice(body).map_err(|error| Refusal::InvalidJson(error.to_string()))
    }
}

/// Why the broker gives no token; `Display` is the text on the wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing but white space before the half-close.
    #[error("empty broker request body")]
    Empty,
    /// Over [`REQUEST_BYTES_MAX`].
    #[error("broker request body is too large")]
    TooLarge,
    /// No JSON, a field is missing, or the audience is unknown.
    #[error("invalid broker request JSON: {0}")]
    InvalidJson(String),
    /// Not the broker token of that audience, or of an earlier broker.
    #[error("invalid broker token")]
    BrokerToken,
    /// Not a UUID.
    #[error("device_id must be a valid UUID")]
    DeviceId,
    /// There are no credentials to make tokens from.
    #[error("not authenticated")]
    NotAuthenticated,
    /// The broker serves another device.
    #[error("device_id does not match authenticated daemon device")]
    DeviceMismatch,
    /// Where tokens come from cannot be reached, or did not give one.
    #[error("{0}")]
    Unavailable(String),
    /// Where tokens come from says no, and will say it again.
    #[error("{0}")]
    Forbidden(String),
}

impl Refusal {
    /// Whether the same request may succeed later with no one's help.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::NotAuthenticated | Self::Unavailable(_))
    }

    /// What a broker meant by `text`.
    ///
    /// An old broker does not say whether a retry may help, so a text that is
    /// none of the contract's counts as passing.
    fn from_text(text: String, retryable: Option<bool>) -> Self {
        let known = [
            Self::Empty,
            Self::TooLarge,
            Self::BrokerToken,
            Self::DeviceId,
            Self::NotAuthenticated,
            Self::DeviceMismatch,
        ];
        if let Some(refusal) = known.into_iter().find(|r| r.to_string() == text) {
            return refusal;
        }
        match text.strip_prefix("invalid broker request JSON: ") {
            Some(reason) => Self::InvalidJson(reason.to_owned()),
            None if retryable == Some(false) => Self::Forbidden(text),
            None => Self::Unavailable(text),
        }
    }
}

/// The JSON of an answer, both ways.
#[derive(Serialize, Deserialize)]
struct Answer {
    ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token_details: Option<TokenDetails>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retryable: Option<bool>,
}

/// Why an answer of the broker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    /// Not the JSON of an answer.
    #[error("the token broker's answer is no valid JSON")]
    InvalidJson(#[source] serde_json::Error),
    /// `ok` without a token.
    #[error("the token broker's answer holds no token")]
    NoToken,
}

/// The bytes of the answer to a request.
///
/// # Panics
///
/// Never: answers always serialize.
#[must_use]
pub fn encode_answer(answer: Result<TokenDetails, Refusal>) -> Vec<u8> {
    let answer = match answer {
        Ok(details) => Answer {
            ok: true,
            token_details: Some(details),
            error: None,
            retryable: None,
        },
        Err(refusal) => Answer {
            ok: false,
            token_details: None,
            error: Some(refusal.to_string()),
            retryable: Some(refusal.is_retryable()),
        },
    };
    serde_json::to_vec(&answer).expect("answers serialize")
}

/// Reads an answer: the token, or the broker's refusal.
///
/// # Errors
///
/// When it is no answer at all.
pub fn decode_answer(body: &[u8]) -> Result<Result<TokenDetails, Refusal>, AnswerError> {
    let answer: Answer = serde_json::from_slice(body).map_err(AnswerError::InvalidJson)?;
    if !answer.ok {
        let text = answer.error.unwrap_or_default();
        return Ok(Err(Refusal::from_text(text, answer.retryable)));
    }
    match answer.token_details {
        Some(details) if !details.token.is_empty() => Ok(Ok(details)),
        _ => Err(AnswerError::NoToken),
    }
}

#[cfg(test)]
mod tests {
    use super::super::ably::auth::AccessToken;
    use super::*;

    #[test]
    fn a_request_of_the_predecessor_is_understood() {
        let body = br#"{"broker_token":"t0k","audience":"daemon_nagato","device_id":"D","new":1}"#;
        let request = Request::parse(body).expect("parses");
        assert_eq!(request.audience, Audience::DaemonNagato);
        assert!(request.broker_token.matches(&BrokerToken::new("t0k")));
        assert!(!format!("{request:?}").contains("t0k"));
    }

    #[test]
    fn a_bad_request_is_refused_with_the_texts_of_the_contract() {
        let refused = |body: &[u8]| Request::parse(body).expect_err("refused").to_string();
        assert_eq!(refused(b" \n"), "empty broker request body");
        assert_eq!(
            refused(&vec![b' '; REQUEST_BYTES_MAX + 1]),
            "broker request body is too large"
        );
        let unknown = refused(br#"{"broker_token":"t","audience":"root","device_id":"d"}"#);
        assert!(unknown.starts_with("invalid broker request JSON: unknown variant `root`"));
    }

    #[test]
    fn an_answer_has_the_fields_of_the_contract() {
        let details = TokenDetails {
            token: AccessToken::new("jwt"),
            issued: 1,
            expires: 2,
            capability: "{}".to_owned(),
            client_id: Some("u".to_owned()),
            ..TokenDetails::default()
        };
        let body = encode_answer(Ok(details.clone()));
        assert_eq!(
            String::from_utf8_lossy(&body),
            r#"{"ok":true,"token_details":{"token":"jwt","issued":1,"expires":2,"capability":"{}","clientId":"u"}}"#
        );
        assert_eq!(decode_answer(&body).expect("an answer"), Ok(details));
    }

    #[test]
    fn a_refusal_keeps_its_meaning_over_the_wire() {
        let refusals = [
            Refusal::Empty,
            Refusal::TooLarge,
            Refusal::InvalidJson("eof".to_owned()),
            Refusal::BrokerToken,
            Refusal::DeviceId,
            Refusal::NotAuthenticated,
            Refusal::DeviceMismatch,
            Refusal::Unavailable("later".to_owned()),
            Refusal::Forbidden("never".to_owned()),
        ];
        for refusal in refusals {
            let body = encode_answer(Err(refusal.clone()));
            assert_eq!(decode_answer(&body).expect("an answer"), Err(refusal));
        }
    }

    #[test]
    fn what_an_old_broker_says_beyond_the_contract_may_pass() {
        let refusal = decode_answer(br#"{"ok":false,"error":"upstream is slow"}"#);
        let refusal = refusal.expect("an answer").expect_err("refused");
        assert!(refusal.is_retryable());
    }

    #[test]
    fn an_answer_without_a_token_is_none() {
        assert!(decode_answer(b"").is_err());
        assert!(decode_answer(br#"{"ok":true}"#).is_err());
        assert!(decode_answer(br#"{"ok":true,"token_details":{"token":""}}"#).is_err());
    }
}
