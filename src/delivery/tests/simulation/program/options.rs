//! What a story's outbox is like.

use std::time::Duration;

use super::super::daemon::WINDOW;
use super::super::known::HORIZON;
use super::super::{Flaw, Random, Time};
use crate::journal::{self, OnFailure, Sync};

/// At this size a segment is closed.
const SEGMENT_BYTES: u64 = 2500;

/// What an effect takes of it, at most.
const LINE_BYTES: u64 = 400;

/// See the module.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Options {
    is_synced: bool,
    bypasses: bool,
    /// Some lives of Falco record nothing, and publish what is left.
    pub(super) switches: bool,
    bytes_max: u64,
    /// At most so many bytes go with one write.
    pub(super) write_max: usize,
    /// Milliseconds between two faults of the disk, about.
    pub(super) faults_every: u64,
    /// For how long its disk may answer nothing, now and then.
    pub(in super::super) hangs: Time,
    /// Of a thousand deaths, how many take the power with them.
    pub(super) power_cuts: u64,
}

impl Options {
    pub(in super::super) fn of(random: &mut Random) -> Self {
        let is_synced = random.chance(600);
        Self {
            is_synced,
            bypasses: random.chance(500),
            switches: random.chance(200),
            // Twice what all dead letters take: else it may be full for good.
            bytes_max: random.between(20_000, 60_000),
            write_max: usize::from(random.small(7, 250)) * 32,
            faults_every: random.between(100, 8_000),
            hangs: 0,
            // Without a sync before the ack, a power cut may take some back.
            power_cuts: if is_synced { 500 } else { 0 },
        }
    }

    /// Whether all that is acked was on disk.
    pub(in super::super) fn keeps_all(self) -> bool {
        !self.bypasses && !self.switches
    }

    /// What its segments may take: the last append begins below the size that is
    /// told, and has all that a daemon may have sent by then; and a segment is
    /// there twice while it is emptied.
    pub(in super::super) fn disk_max(self, sessions: u8, flaw: Option<Flaw>) -> u64 {
        let append = u64::from(sessions) * WINDOW as u64 * LINE_BYTES;
        let told = match flaw {
            Some(Flaw::HasLargeJournal) => self.bytes_max / 8,
            _ => self.bytes_max,
        };
        told + append + 2 * SEGMENT_BYTES
    }

    /// Whether it writes while it syncs.
    pub(super) fn hurries(self) -> bool {
        self.bytes_max & 2 == 0
    }

    pub(super) fn journal(self) -> journal::Config {
        let sync = if self.is_synced {
            Sync::Always
        } else {
            Sync::INTERVAL
        };
        journal::Config {
            on_failure: if self.bypasses {
                OnFailure::Bypass
            } else {
                OnFailure::Exit
            },
            bytes_max: self.bytes_max,
            segment_bytes_max: SEGMENT_BYTES,
            dedupe_horizon: Duration::from_micros(HORIZON),
            // A fault may leave less than that free.
            low_water_bytes: if self.bytes_max.is_multiple_of(4) {
                3000
            } else {
                0
            },
            low_water_percent: 0,
            reserve_bytes: 4096,
            ..journal::Config::with_sync(sync)
        }
    }
}
