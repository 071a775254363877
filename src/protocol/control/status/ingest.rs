//! What Falco says of itself, and of the transports it has.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::protocol::lane::{ParkedLane, StuckLane};
use crate::protocol::outbox::OutboxStatus;

/// How one of the transports is served.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RouteStatus {
    /// What effects call it; the chain's own is `(own)`.
    pub name: String,
    /// Where it is.
    pub socket: String,
    /// Whether the connection to it stands.
    pub connected: bool,
    /// How long it has not, in milliseconds.
    pub down_ms: u64,
    /// Effects waiting in a lane.
    pub queued: u64,
    /// Effects sent to it and not yet answered.
    pub in_flight: u64,
    /// Age of the oldest of them, in milliseconds.
    pub oldest_age_ms: u64,
}

impl RouteStatus {
    /// As long as Ably's own connection may be lost before it counts as
    /// suspended: shorter, somebody restarts it.
    const RESTART_MS: u64 = 120_000;

    /// Whether nobody has served it for so long that a person should look at it.
    #[must_use]
    pub fn is_down(&self) -> bool {
        !self.connected && Self::RESTART_MS <= self.down_ms
    }
}

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
    /// Those, by the word their answer begins with; none is left out.
    pub failures: BTreeMap<String, u64>,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Effects sent again though nobody could say whether they had been
    /// published: each may be a duplicate, with the same id.
    pub doubtful: u64,
    /// Answers of a transport that came when nobody waited for them any more. One
    /// that says that an effect is published counts all the same.
    pub late: u64,
    /// Effects published since the start; with an outbox that is later than
    /// their answer.
    pub published: u64,
    /// Those of the last 10 seconds.
    pub published_10s: u64,
    /// Those of the last minute.
    pub published_60s: u64,
    /// Lanes that wait for an effect that was refused for good.
    pub parked: u64,
    /// A few of them.
    pub parked_lanes: Vec<ParkedLane>,
    /// The lane that has tried its next effect in vain the longest, if one does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stuck: Option<StuckLane>,
    /// How often a lane was parked since the start.
    pub parkings: u64,
    /// How often one was to be, and went on because no more may be parked.
    pub unparked: u64,
    /// How often an effect failed for now, and what came behind it was let past,
    /// though its number or its flag asked for more, because too many are waited for.
    pub unguarded: u64,
    /// How long SUCCESS took from when Falco had taken an effect.
    pub success_took: LatencyStatus,
    /// How long FAILED took.
    pub failure_took: LatencyStatus,
    /// Each transport by itself, the chain's own first.
    pub routes: Vec<RouteStatus>,
    /// Whether the connection to the transport stands.
    pub transport_connected: bool,
    /// The last failure, as the daemon was told.
    pub last_error: Option<String>,
    /// When that was, in milliseconds since the epoch.
    pub last_error_ms: u64,
    /// What is kept on disk, if anything is.
    pub outbox: Option<OutboxStatus>,
}

/// How long something took.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencyStatus {
    /// How often it happened.
    pub count: u64,
    /// What it took in all, in microseconds.
    pub sum_us: u64,
    /// How often it was within which bound in microseconds, each counted once.
    pub buckets: Vec<(u64, u64)>,
}
