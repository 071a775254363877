//! Why an effect was not acked as published.

use std::fmt;

/// Falco's answer that an effect was not published, or may not have been.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    text: String,
}

impl Failed {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }

    /// The machine-readable word the answer starts with: `rejected`,
    /// `throttled`, `ambiguous`, `lane_full`, `gap`, `too_large`,
    /// `shutting_down`, or empty.
    #[must_use]
    pub fn class(&self) -> &str {
        self.text.split_once(':').map_or("", |(class, _)| class)
    }

    /// Whether the effect can never succeed as it is; sending it again is
    /// pointless.
    #[must_use]
    pub fn is_rejected(&self) -> bool {
        matches!(self.class(), "rejected" | "too_large")
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why an effect was not acked as published.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Falco says why.
    #[error("Falco did not publish the effect: {0}")]
    Failed(Failed),
    /// No ack came in time; whether it was published is not known.
    #[error("no ack came in time; the effect may have been published")]
    TimedOut,
    /// The same id was submitted before and is not acked yet.
    #[error("an effect with this id is not acked yet")]
    AlreadySubmitted,
    /// The client's task is gone: its runtime was shut down.
    #[error("the client has stopped")]
    Stopped,
}
