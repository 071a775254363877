//! What a transport can do, as far as it says.

use crate::protocol::ipc::{self, Incoming};

/// What the other side can do beyond the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Features {
    /// It answered the greeting.
    pub greeted: bool,
    /// It knows `publish.batch.v1`.
    pub batches: bool,
    /// The longest line it reads, newline excluded.
    pub line_bytes_max: usize,
}

impl Default for Features {
    /// The predecessor's.
    fn default() -> Self {
        Self {
            greeted: false,
            batches: false,
            line_bytes_max: ipc::LINE_BYTES_MAX,
        }
    }
}

impl Features {
    /// What a `hello.ack.v1` says.
    pub(crate) fn of(hello: &Incoming<'_>) -> Self {
        let features = hello.features.as_deref().unwrap_or_default();
        Self {
            greeted: true,
            batches: features.iter().any(|name| name == "publish.batch.v1"),
            line_bytes_max: hello.max_line_bytes.unwrap_or(ipc::LINE_BYTES_MAX),
        }
    }
}
