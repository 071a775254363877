//! What is asked of the outbox on the control socket, and what it says.
//!
//! ```text
//! → {"op":"outbox.v1","verb":"list","limit":100}
//! ← {"event":"outbox","records":[{"id":"…","lane":"…","arrived_ms":…}],"more":false}
//! ```

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::counted::counted;

/// Why nothing is done with what is no id at all.
pub const NO_ID: &str = "this is no effect id";

/// Why nothing is done with an id.
pub const UNKNOWN: &str = "there is no such effect in the outbox";

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutboxVerb {
    /// What is kept; never a payload.
    #[default]
    List,
    /// Everything about the effects named, payloads included.
    Show,
    /// Publish dead letters again, with the ids they had.
    Requeue,
    /// Keep effects no longer.
    Drop,
    /// Gain space on disk.
    Compact,
    /// Numbers.
    Stats,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxRequest {
    /// What to do.
    pub verb: OutboxVerb,
    /// To which effects.
    pub ids: Vec<String>,
    /// To every dead letter.
    pub all: bool,
    /// List dead letters only.
    pub dead_only: bool,
    /// List so many at most.
    pub limit: usize,
    /// Leave out so many of the first.
    pub skip: usize,
}

/// The answer; what was not asked for is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxAnswer {
    /// What was asked to be listed or shown.
    pub records: Vec<OutboxRecord>,
    /// Whether there are more to list.
    pub more: bool,
    /// Effects that were changed.
    pub changed: u64,
    /// Effects that were not, and why.
    pub refused: Vec<String>,
    /// The numbers.
    pub stats: Option<OutboxStatus>,
    /// Why nothing was done.
    pub error: Option<String>,
    /// Whether that is because nothing is kept, and there is no outbox.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub absent: bool,
    /// Why a compaction finds nothing to gain.
    pub no_gain: Option<String>,
}

impl OutboxAnswer {
    /// Nothing was done, and this is why.
    #[must_use]
    pub fn failed(error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::default()
        }
    }

    /// Nothing was done, for there is no outbox, and this is why.
    #[must_use]
    pub fn absent(error: impl Into<String>) -> Self {
        Self {
            absent: true,
            ..Self::failed(error)
        }
    }
}

/// One kept effect. Only `show` says more than the first four.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxRecord {
    /// The effect's id.
    pub id: String,
    /// What it stays in order with.
    pub lane: String,
    /// When it arrived, in milliseconds since the epoch.
    pub arrived_ms: u64,
    /// Why it was given up, if it was.
    pub dead: Option<OutboxLetter>,
    /// The route it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// Publish or object set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channel: Option<String>,
    /// The event's name, or the object's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What copies of it are recognised by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The bytes of its payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Its payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
}

/// Why an effect was given up.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxLetter {
    /// The word a FAILED ack would begin with.
    pub class: String,
    /// Ably's code, where there was one.
    pub code: Option<u32>,
    /// What was said.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Whether its lane waits for it.
    pub parks: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// How the outbox is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct OutboxStatus {
    /// `recovering`, `ok`, `draining`, `drained`, `degraded`, `low`, `bypass`,
    /// `full` or `failed`; read from disk, `closed` or `unanswered`.
    pub state: String,
    /// Why it is so, if it is not as it should be.
    pub why: Option<String>,
    /// How far the reading of what an earlier run has left is, until it is done.
    pub recovering: Option<RecoveryStatus>,
    /// Effects to be published.
    pub depth: u64,
    /// Effects given up.
    pub dead: u64,
    /// Lanes with effects to be published.
    pub lanes: u64,
    /// Lanes that wait for a dead letter.
    pub parked: u64,
    /// Age of the oldest effect to be published, in milliseconds.
    pub oldest_age_ms: u64,
    /// Effects published since the start.
    pub published: u64,
    /// Effects given up since the start.
    pub died: u64,
    /// Of these, effects whose route was gone at the start.
    pub unrouted: u64,
    /// Effects that were to be kept and are not, since the start.
    pub unrecorded: u64,
    /// Effects published without having been kept, since the start.
    pub around: u64,
    /// Effects it may keep, dead letters included.
    pub effects_max: u64,
    /// Bytes of the journal.
    pub bytes: u64,
    /// What they may reach.
    pub bytes_max: u64,
    /// Room on its disk, in bytes.
    pub disk_free: u64,
    /// Its segment files.
    pub segments: u64,
    /// Damaged ranges that were set aside, and those that are to be.
    pub quarantined: u64,
    /// Of these, those that are not set aside yet.
    #[serde(skip_serializing_if = "is_zero")]
    pub untold: u64,
    /// What is not there any more although it held effects, and what to do.
    pub missed: Option<String>,
    /// Times space was gained.
    pub compactions: u64,
    /// Whether space is being gained right now.
    pub compacting: bool,
    /// Syncs since the start.
    pub syncs: u64,
    /// What they took in all, in microseconds.
    pub sync_us: u64,
    /// The longest, in microseconds.
    pub sync_max_us: u64,
    /// How many were within which bound in microseconds, each counted once.
    pub sync_buckets: Vec<(u64, u64)>,
    /// What went wrong last; it stays when all is well again.
    pub last_error: Option<String>,
    /// When that was, in milliseconds since the epoch.
    pub last_error_ms: u64,
    /// How the inbox is, if there is one and Falco runs.
    pub inbox: Option<InboxStatus>,
}

/// How far the reading of the journal is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RecoveryStatus {
    /// Records read.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes there are to read.
    pub bytes_all: u64,
}

impl fmt::Display for RecoveryStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = (self.bytes * 100).checked_div(self.bytes_all).unwrap_or(0);
        let records = counted(self.records, "record");
        write!(f, "{records} read, {percent} %")
    }
}

/// How the inbox is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct InboxStatus {
    /// Lines taken since the start.
    pub taken: u64,
    /// Lines rejected since the start.
    pub rejected: u64,
    /// The last of them.
    pub last_rejected: Option<RejectedLine>,
    /// Files with something that is not taken yet.
    pub waiting: u64,
    /// Files of which something will not be taken until somebody sees to it.
    pub held: Vec<HeldFile>,
    /// Why nothing is taken now.
    pub trouble: Option<String>,
}

/// A line of a file that is no effect, or one that never can be published.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectedLine {
    /// The name of the file.
    pub file: String,
    /// Which line of it, the first being 1; nobody knows if the file is gone.
    pub number: Option<u64>,
    /// Why.
    pub reason: String,
    /// When that was, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// A file that waits for whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct HeldFile {
    /// Its name.
    pub file: String,
    /// What is wrong with it.
    pub why: String,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: u64,
}
