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

    /// Whether the same request may succeed later: rate limits, Ably's own
    /// troubles, a token to be renewed. What is left is wrong in itself, or
    /// not allowed, and stays so.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self.code {
            40140..=40149
            | 42900..=42999
            | 50000..=59999
            | 80000..=80999
            | 90000..=90099
            | 92008 => true,
            0 => self.status_code == 429 || 500 <= self.status_code,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_retryable_and_what_is_wrong_is_not() {
        let retryable = |code| ErrorInfo::new(code, "").is_retryable();
        for code in [40142, 42910, 42911, 50003, 80003, 90007, 92008] {
            assert!(retryable(code), "{code}");
        }
        for code in [
            40000, 40009, 40012, 40031, 40101, 40160, 40400, 92000, 92005,
        ] {
            assert!(!retryable(code), "{code}");
        }
        assert!(ErrorInfo::with_status(0, 503, "").is_retryable());
        assert!(!ErrorInfo::with_status(0, 400, "").is_retryable());
    }
}
