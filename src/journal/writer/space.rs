//! How full the disk is, and what is kept back for it.
//!
//! ```text
//!      free < low water                     low water + margin < free
//!  ok ──────────────────▶ low: nothing opened ──────────────────────▶ ok
//! ```
//!
//! The margin is a sixteenth of the low water, and at least twice the reserve:
//! enough not to go back and forth, and little enough to be reached on a small
//! disk. The reserve is made anew only with twice the low water free.

use std::io;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::super::config::Config;
use super::super::storage::{Space, Storage, StoredFile};
pub(super) use crate::plain_file::{RAISE_LIMIT, is_too_long};
use crate::report::Report;

/// How often the disk is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Space that is taken so that it can be given back.
const RESERVE: &str = "reserve.bin";

/// The disk, as it was when last looked at.
#[derive(Debug)]
pub(super) struct Watch {
    pub(super) space: Space,
    looked: Option<Instant>,
    /// Nothing is opened until there is room again.
    pub(super) is_low: bool,
    has_reserve: bool,
    /// It was said that files may not become long enough.
    has_told_limit: bool,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            space: Space::default(),
            looked: None,
            is_low: false,
            has_reserve: false,
            has_told_limit: false,
        }
    }

    /// Looks at the disk if it is time to; whether it was.
    pub(super) fn look<S: Storage>(&mut self, storage: &S, config: &Config, now: Instant) -> bool {
        if self.looked.is_some_and(|at| now < at + LOOK_EVERY) {
            return false;
        }
        self.looked = Some(now);
        let Ok(space) = storage.space() else {
            return true;
        };
        self.space = space;
        let low = low_water(config, space);
        let was_low = self.is_low;
        if space.free < low {
            self.is_low = true;
        } else if enough(config, space) < space.free {
            self.is_low = false;
        }
        match (was_low, self.is_low) {
            (false, true) => warn!(
                free = space.free,
                low_water = low,
                "The outbox's disk is nearly full; no effect is kept."
            ),
            (true, false) => info!(
                free = space.free,
                "The outbox's disk has room again; effects are kept."
            ),
            _ => {}
        }
        let plenty = (2 * low).max(2 * config.reserve_bytes);
        if !self.has_reserve && plenty < space.free {
            self.has_reserve = reserve(storage, config.reserve_bytes).is_ok();
        }
        true
    }

    /// How many bytes may be taken before the disk is low.
    pub(super) fn free_above_low_water(&self, config: &Config) -> u64 {
        self.space
            .free
            .saturating_sub(low_water(config, self.space))
    }

    /// Why nothing is opened while the disk is low.
    pub(super) fn why(&self, config: &Config) -> Box<str> {
        let Space { free, total } = self.space;
        let (low, enough) = (low_water(config, self.space), enough(config, self.space));
        let mega = |bytes: u64| bytes / 1_000_000;
        if enough < free {
            return "the disk is nearly full: a write found no room".into();
        }
        if total <= enough {
            let (total, enough) = (mega(total), mega(enough));
            return format!("the disk is too small: of its {total} MB, more than {enough} MB would have to be free").into();
        }
        let (low, enough) = (mega(low), mega(enough));
        format!("the disk is nearly full: with less than {low} MB free no effect is kept, with more than {enough} MB they are again").into()
    }

    /// Says that segments end before their time, unless it was said before;
    /// returns whether it was not.
    pub(super) fn tell_limit(&mut self, error: &io::Error) -> bool {
        let is_new = !std::mem::replace(&mut self.has_told_limit, true);
        if is_new {
            warn!(error = %Report(error), "The journal's segments may not become longer and end before their time; see ulimit -f, or LimitFSIZE= of a service.");
        }
        is_new
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

/// With more than this free, a disk that was low is so no more.
fn enough(config: &Config, space: Space) -> u64 {
    let low = low_water(config, space);
    low + (low / 16).max(2 * config.reserve_bytes)
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
    use io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded)
}
