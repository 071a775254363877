//! What is asked about lanes that do not go on, and what is said, on the control
//! socket: those that are parked, and those that are tried in vain.
//!
//! ```text
//! → {"op":"lane.v1","verb":"list","limit":100}
//! ← {"event":"lanes","lanes":[{"lane":"…","effect_id":"…","error":"rejected: …",…}],"more":false,…}
//! → {"op":"lane.v1","verb":"stuck","limit":100}
//! ← {"event":"lanes","stuck":[{"lane":"…","effect_id":"…","attempts":14,…}],"more":true,"left_out":7,…}
//! ```

use serde::{Deserialize, Serialize};

/// What can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneVerb {
    /// Which lanes are parked, and why.
    #[default]
    List,
    /// Which lanes stand still without being parked, the longest first.
    Stuck,
    /// Let lanes go on without what they wait for.
    Resume,
    /// The same, and keep what they wait for no longer.
    Discard,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneRequest {
    /// What to do.
    pub verb: LaneVerb,
    /// With which lanes.
    pub lanes: Vec<String>,
    /// Of this route; without it, of the chain's own transport.
    pub route: Option<String>,
    /// With every parked lane of every route.
    pub all: bool,
    /// List so many at most.
    pub limit: usize,
    /// Leave out so many of the first.
    pub skip: usize,
}

/// The answer; what was not asked for is empty.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneAnswer {
    /// Those that are parked.
    pub lanes: Vec<ParkedLane>,
    /// Those that stand still without being parked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stuck: Vec<StuckLane>,
    /// Whether there are more to list.
    pub more: bool,
    /// How many more; 0 also if that is not known.
    pub left_out: u64,
    /// Lanes that go on.
    pub changed: u64,
    /// Lanes that do not, and why.
    pub refused: Vec<String>,
    /// Why nothing was done, or only some of it.
    pub error: Option<String>,
}

impl LaneAnswer {
    /// Nothing was done, and this is why.
    #[must_use]
    pub fn failed(error: impl Into<String>) -> Self {
        Self {
            error: Some(error.into()),
            ..Self::default()
        }
    }
}

/// For how long a lane may stand still before a person should hear of it, in
/// milliseconds: as long as the longest pause between two attempts.
const STUCK_MS: u64 = 30_000;

/// A lane whose next effect was tried in vain, and is tried on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct StuckLane {
    /// Its name.
    pub lane: String,
    /// The route it is a lane of, if not of the chain's own transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The effect it stands still with.
    pub effect_id: String,
    /// How often that was tried.
    pub attempts: u64,
    /// How it failed last.
    pub error: String,
    /// When it was tried first, in milliseconds since the epoch.
    pub since_ms: u64,
    /// Effects of it that come behind that one.
    pub waiting: u64,
    /// Whether the effect is kept; else its daemon waits for it.
    pub kept: bool,
}

impl StuckLane {
    /// Whether a person should hear of it at `now_ms`.
    #[must_use]
    pub fn is_long(&self, now_ms: u64) -> bool {
        STUCK_MS <= now_ms.saturating_sub(self.since_ms)
    }
}

/// A lane that waits.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ParkedLane {
    /// Its name.
    pub lane: String,
    /// The route it is a lane of, if not of the chain's own transport.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The effect it waits for.
    pub effect_id: String,
    /// How that one failed.
    pub error: String,
    /// Since when, in milliseconds since the epoch.
    pub since_ms: u64,
    /// Effects that are kept behind it.
    pub waiting: u64,
    /// Whether the effect is kept, as a dead letter; else its daemon has it.
    pub kept: bool,
}
