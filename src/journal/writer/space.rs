//! How full the disk is, and what is kept back for it.

use std::io;
use std::time::{Duration, Instant};

use super::super::config::Config;
use super::super::storage::{Space, Storage, StoredFile};

/// How often the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Space that is taken so that it can be given back.
const RESERVE: &str = "reserve.bin";

/// The disk, as it was when last looked at.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) space: Space,
    looked: Option<Instant>,
    /// Nothing is opened until there is plenty again.
    pub(super) is_low: bool,
    has_reserve: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            space: Space::default(),
            looked: None,
            is_low: false,
            has_reserve: false,
        }
    }

    /// Looks at the disk if it is time to.
    pub(super) fn look<S: Storage>(&mut self, storage: &S, config: &Config, now: Instant) {
        if self.looked.is_some_and(|at| now < at + LOOK_EVERY) {
            return;
        }
        self.looked = Some(now);
        let Ok(space) = storage.space() else { return };
        self.space = space;
        let low = low_water(config, space);
        let plenty = (2 * low).max(2 * config.reserve_bytes);
        if space.free < low {
            self.is_low = true;
        } else if plenty < space.free {
            self.is_low = false;
            if !self.has_reserve {
                self.has_reserve = reserve(storage, config.reserve_bytes).is_ok();
            }
        }
    }

    /// Gives the reserve back because a write found no room; returns whether
    /// there was one.
    pub(super) fn spend<S: Storage>(&mut self, storage: &S) -> bool {
        self.is_low = true;
        self.has_reserve = false;
        storage.remove(RESERVE).is_ok()
    }
}

fn low_water(config: &Config, space: Space) -> u64 {
    let percent = space.total / 100 * u64::from(config.low_water_percent);
    config.low_water_bytes.max(percent)
}

fn reserve<S: Storage>(storage: &S, bytes: u64) -> io::Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    let mut file = match storage.create(RESERVE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            storage.open_to_change(RESERVE)?
        }
        Err(error) => return Err(error),
    };
    let reserved = file.reserve(bytes);
    if reserved.is_err() {
        // Half a reserve is only in the way.
        _ = storage.remove(RESERVE);
    }
    reserved
}

/// Whether a write failed for want of room.
pub(super) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
