//! Ably's error object and the codes we use.

use serde::{Deserialize, Serialize};

/// What went wrong, as Ably says it (`ErrorInfo`, TI1).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", default)]
#[error("{message} (code={code}, status={status_code})")]
pub struct ErrorInfo {
    /// Ably's code, five digits; 0 when the peer sent none.
    #[serde(deserialize_with = "super::lenient::number")]
    pub code: u32,
    /// The HTTP status that goes with it; 0 when the peer sent none.
    #[serde(deserialize_with = "super::lenient::number")]
    pub status_code: u16,
    /// For people.
    #[serde(deserialize_with = "super::lenient::or_default")]
    pub message: String,
    /// Where to read more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}

impl ErrorInfo {
    /// An error with `code`, whose HTTP status is its first three digits.
    #[must_use]
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        let status = code / 100;
        Self::with_status(code, u16::try_from(status).unwrap_or(500), message)
    }

    /// An error whose status is not the first three digits of its code.
    #[must_use]
    pub fn with_status(code: u32, status_code: u16, message: impl Into<String>) -> Self {
        Self {
            code,
            status_code,
            message: message.into(),
            href: None,
        }
    }

    /// Whether a new token may help: 401 with a code in 40140..=40149 (RTN15h).
    #[must_use]
    pub fn is_token_error(&self) -> bool {
        (40140..=40149).contains(&self.code)
    }
}
