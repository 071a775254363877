//! Parked lanes of effects that their daemons have.
//!
//! Where order goes before everything, nothing is published past an effect that
//! was refused for good. Its lane is parked: whatever comes for it fails with
//! `parked: waits for <effect id>`, until
//!
//! - the effect comes again, under its id, or under another with its idempotency
//!   key: it goes out first, and others go out behind it. If it fails once more,
//!   for whatever reason, the lane is parked as before;
//! - an operator lets the lane go on without it.
//!
//! ```text
//!                    it comes again
//!        ┌─▶ Waits ─────────────────▶ Tried ──done──▶ open
//!   parked     │  ▲                     │
//!              │  └──────── failed ─────┘
//!              └── an operator ──▶ open
//! ```
//!
//! No clock opens a parked lane, and no connection that closes: a gate of
//! [`Gaps`](super::gaps) does open by those, and so yields to this. What an
//! outbox keeps is parked [there](super::outbox), and survives a restart; this
//! is memory only, as everything that daemons have.
//!
//! Holds 16 384 lanes at most, about 8 MiB. Beyond, a lane goes on without what
//! it lost, as if it were not to be parked, and is counted.

use std::collections::HashMap;

use uuid::Uuid;

use super::dedupe::Ticket;
use super::path::Path;
use crate::clock::BootTime;
use crate::protocol::id::{EffectId, LaneKey};

/// Lanes that may be parked at once.
const LANES_MAX: usize = 16_384;

/// What is kept of an error, in characters.
const ERROR_CHARS_MAX: usize = 256;

/// Why a lane is parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parked {
    /// The effect it waits for.
    pub by: EffectId,
    /// What makes a copy of that recognisable.
    pub(super) key: Uuid,
    /// Its place.
    pub(super) arrival: u64,
    /// Since when.
    pub since: BootTime,
    /// How the effect failed.
    pub error: Box<str>,
}

impl Parked {
    pub(super) fn new(
        by: EffectId,
        (key, arrival): (Uuid, u64),
        error: &str,
        since: BootTime,
    ) -> Self {
        let error: String = error.chars().take(ERROR_CHARS_MAX).collect();
        Self {
            by,
            key,
            arrival,
            since,
            error: error.into(),
        }
    }
}

/// What an effect finds that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Its lane is open.
    Open,
    /// Its lane waits for it, and it takes this place.
    Awaited { arrival: u64 },
    /// Its lane waits for another.
    Parked { by: EffectId },
}

#[derive(Debug)]
struct Lane {
    parked: Parked,
    /// The effect came again, and is on its way.
    is_tried: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Parks {
    lanes: HashMap<Path, Lane>,
    /// The lanes whose effect is on its way.
    tried: HashMap<Ticket, Path>,
    /// How often there was no room for one more.
    refused: u64,
}

impl Parks {
    /// An effect with this id arrives; others may know it by `key`.
    pub(super) fn arrive(
        &self,
        route: Option<&str>,
        lane: &LaneKey,
        id: EffectId,
        key: impl FnOnce() -> Uuid,
    ) -> Found {
        if self.lanes.is_empty() {
            return Found::Open;
        }
        match self.lanes.get(&Path::new(route, lane)) {
            Some(Lane { is_tried: true, .. }) | None => Found::Open,
            Some(Lane { parked, .. }) if parked.by == id || parked.key == key() => Found::Awaited {
                arrival: parked.arrival,
            },
            Some(Lane { parked, .. }) => Found::Parked { by: parked.by },
        }
    }

    /// Whether a lane waits for this effect.
    pub(super) fn awaits(&self, id: EffectId, key: Uuid) -> bool {
        let mut lanes = self.lanes.values();
        lanes.any(|Lane { parked, .. }| parked.by == id || parked.key == key)
    }

    /// The effect a lane waits for is on its way again.
    pub(super) fn handle_tried(&mut self, route: Option<&str>, lane: &LaneKey, ticket: Ticket) {
        let path = Path::new(route, lane);
        if let Some(lane) = self.lanes.get_mut(&path) {
            lane.is_tried = true;
            self.tried.insert(ticket, path);
        }
    }

    /// An effect has its outcome. Returns the lane that is open again by it.
    pub(super) fn handle_done(&mut self, ticket: Ticket) -> Option<Path> {
        if self.tried.is_empty() {
            return None;
        }
        let path = self.tried.remove(&ticket)?;
        self.lanes.remove(&path).map(|_| path)
    }

    /// An effect failed: if it was one a lane waits for, it waits again.
    pub(super) fn handle_failed(&mut self, ticket: Ticket) {
        if self.tried.is_empty() {
            return;
        }
        let path = self.tried.remove(&ticket);
        if let Some(lane) = path.and_then(|path| self.lanes.get_mut(&path)) {
            lane.is_tried = false;
        }
    }

    /// A lane is parked. Returns whether it is now and was not before.
    pub(super) fn park(&mut self, path: Path, parked: Parked) -> bool {
        let is_full = self.lanes.len() >= LANES_MAX;
        if let Some(lane) = self.lanes.get_mut(&path) {
            lane.parked = parked;
            lane.is_tried = false;
            return false;
        }
        if is_full {
            self.refused += 1;
            return false;
        }
        let is_tried = false;
        self.lanes.insert(path, Lane { parked, is_tried });
        true
    }

    /// An operator lets a lane go on. Returns whether it was parked.
    pub(super) fn resume(&mut self, route: Option<&str>, lane: &LaneKey) -> bool {
        self.lanes.remove(&Path::new(route, lane)).is_some()
    }

    /// How many lanes wait.
    pub(super) fn len(&self) -> usize {
        self.lanes.len()
    }

    /// How often a lane went on because no more may wait.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// The lanes that wait, and why.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Path, &Parked)> {
        self.lanes.iter().map(|(path, lane)| (path, &lane.parked))
    }
}
