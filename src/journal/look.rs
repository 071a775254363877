//! Reading a journal that stays as it is, for those who only look.
//!
//! Takes no lock and changes nothing: what is written meanwhile may be missing,
//! and its end may look torn.

use std::path::Path;

use super::clock::Clock;
use super::config::Config;
use super::entry::{ReadBack, Recovered};
use super::error::{OpenError, Unreadable};
use super::record::Salt;
use super::recovery::Read;
use super::report::Report;
use super::stats::Stats;
use super::storage::{Disk, Home, Missed, Seen, Storage as _, read_exact};
use super::writer::{Index, Now, Worth, all_needed, no_room, stored};
use super::{done_since, quarantine, recovered, recovery, scan};
use crate::protocol::id::EffectId;

/// Reads the journal in `directory` from end to end, and says what is wrong with it,
/// and what is missed by the marks of `home`, as [`Journal::open_watched`] would.
///
/// # Errors
///
/// See [`OpenError`].
///
/// [`Journal::open_watched`]: super::Journal::open_watched
pub fn verify(directory: &Path, config: &Config, home: &Home) -> Result<Report, OpenError> {
    let disk = Disk::look(directory)?;
    // First of all: whoever has it open writes on, and has its mark say so.
    let marked = disk.marked(home);
    let report = read(&disk, config)?.report;
    let seen = Seen::by(&report, report.durable_seq);
    let missed = marked.map(|marked| marked.missed(seen));
    let Missed { why, had } = missed.unwrap_or_default();
    Ok(Report {
        quarantined: quarantine::losses_or_one(&disk),
        missed: why,
        had_seq: had,
        ..report
    })
}

fn read(disk: &Disk, config: &Config) -> Result<Read, OpenError> {
    let now = Now::read();
    let clock = Clock::read(disk.life(), now);
    recovery::read(disk, done_since(config, clock, now), scan::OLDER)
}

/// A journal as it was when it was read.
pub struct Look {
    disk: Disk,
    index: Index,
    stats: Stats,
}

impl Look {
    /// Reads the journal in `directory`.
    ///
    /// # Errors
    ///
    /// See [`OpenError`].
    pub fn at(directory: &Path, config: &Config) -> Result<(Self, Recovered), OpenError> {
        let disk = Disk::look(directory)?;
        let read = read(&disk, config)?;
        let report = read.report;
        let told = quarantine::losses_or_one(&disk);
        // The next start sets it aside.
        let untold = u64::from(told == 0 && report.is_corrupt());
        let stats = Stats {
            live: report.live,
            dead: report.dead,
            bytes: report.bytes,
            bytes_max: config.bytes_max,
            segments: report.segments,
            quarantined: told + untold,
            untold,
            ..Stats::default()
        };
        let index = Index::of(&read.fold, read.segments);
        let look = Self { disk, index, stats };
        Ok((look, recovered(read.fold, report)))
    }

    /// Its sizes.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Why a compaction would gain nothing, if that is so: then it is not worth
    /// opening the journal, which begins a segment.
    #[must_use]
    pub fn no_gain(&self, config: &Config) -> Option<String> {
        let segments = &self.index.segments;
        let worth = Worth::new(segments, config, Now::read().ms);
        if worth.last_gain(segments.iter()).is_none() {
            return Some(all_needed(config));
        }
        let copied = segments.front().map_or(0, |front| worth.needed(front));
        let free = self.disk.space().map_or(u64::MAX, |space| space.free);
        (free < 2 * copied).then(|| no_room(copied, free))
    }

    /// The effect with this id, if it is not settled, whole, and can be read.
    ///
    /// # Errors
    ///
    /// When the disk does not give it now.
    pub fn read(&self, id: EffectId) -> ReadBack {
        let Some((place, segment)) = self.index.find(id) else {
            return Ok(None);
        };
        let file = self.disk.open(&segment.name()).map_err(|_| Unreadable)?;
        let line = read_exact(&file, u64::from(place.offset), place.length as usize);
        let line = line.map_err(|_| Unreadable)?;
        Ok(stored(id, &line, Salt::new(segment.salt), scan::OLDER))
    }
}
