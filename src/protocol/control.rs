//! The control protocol between the command line and the supervisor.

use serde::{Deserialize, Serialize};

/// What Falco says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct IngestStatus {
    /// Daemons connected to `falco.sock`.
    pub connections: u64,
    /// Lanes that hold an effect.
    pub lanes: u64,
    /// Effects waiting in a lane.
    pub queued: u64,
    /// Effects sent to the transport and not yet answered.
    pub in_flight: u64,
    /// Age of the oldest unanswered effect, in milliseconds.
    pub oldest_age_ms: u64,
    /// Effects taken from daemons since the start.
    pub accepted: u64,
    /// Effects answered with SUCCESS.
    pub succeeded: u64,
    /// Effects answered with FAILED.
    pub failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Whether the connection to the transport stands.
    pub transport_connected: bool,
    /// The last failure, as the daemon was told.
    pub last_error: Option<String>,
}
