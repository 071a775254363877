//! Damaged bytes, kept for whoever wants to look: `<utc>-<seg>-<off>-<len>.bin`
//! beside a `.json` that says what they were.
//!
//! What a start finds in one segment is kept range by range, up to
//! [`RANGES_MAX`] of them; more than that together ([`told`] has the format), so
//! that no disk, however bad, makes a start slow or fills the directory. A range
//! is all between two whole records: what is next to each other is one already.
//!
//! The `.json` gets its name last: where it is, the bytes are safe. It also stands
//! for a loss that left no bytes, and stays when the segment has gone: a loss is
//! told until somebody has removed what tells of it here. A whole segment that
//! could only be moved here, `<utc>-<seg>.jsonl`, tells of one by itself. What has
//! no name of these yet, but one of them and `.tmp`, is of a start that was cut
//! short. Anything else is somebody's, and stays.

mod lot;
mod told;

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::report::{Class, Damage};
use super::segment;
use super::storage::{QUARANTINE, Storage};
use crate::clock;

use lot::Lot;
use told::Head;

/// Ranges of one segment that have files of their own, of those that one start
/// finds.
///
/// Each costs two files and two syncs, some milliseconds each on a slow disk; and
/// nobody looks into more of them one by one.
pub(super) const RANGES_MAX: usize = 16;

/// How many losses it tells of; what cannot be read may tell of one.
pub(super) fn losses<S: Storage>(storage: &S) -> io::Result<u64> {
    let files = storage.list(QUARANTINE)?;
    let tells = |name: &str| match name.strip_suffix(".json") {
        Some(_) => Head::of(storage, name).map_or(1, |head| head.losses()),
        None => is_segment(name).into(),
    };
    let losses = files.iter().map(|file| tells(&file.name));
    Ok(losses.fold(0, u64::saturating_add))
}

/// The same, for who has no earlier count: what cannot be listed may tell of one.
pub(super) fn losses_or_one<S: Storage>(storage: &S) -> u64 {
    losses(storage).unwrap_or(1)
}

/// Whether that is a segment that was moved here.
fn is_segment(name: &str) -> bool {
    let segment = name.split_once('-').map(|(_, segment)| segment);
    segment.and_then(segment::first_of).is_some()
}

/// What the disk did not take.
#[derive(Debug, Default)]
pub(super) struct Unkept {
    /// Segments that lost something of which nothing is told here yet.
    pub(super) segments: BTreeSet<Box<str>>,
    /// How often they did.
    pub(super) losses: u64,
    pub(super) error: Option<io::Error>,
}

impl Unkept {
    fn note(&mut self, damage: &[&Damage], error: io::Error) {
        self.losses += losses_among(damage);
        self.doubt(damage, error);
    }

    /// They are told of here, until a crash; then they are found again.
    fn doubt(&mut self, damage: &[&Damage], error: io::Error) {
        let lost = damage.iter().filter(|d| d.class == Class::Corrupt);
        self.segments.extend(lost.map(|damage| damage.seg.clone()));
        self.error.get_or_insert(error);
    }
}

fn losses_among(damage: &[&Damage]) -> u64 {
    let lost = damage.iter().filter(|d| d.class == Class::Corrupt);
    lost.count() as u64
}

/// Keeps every range that was not kept before, and notes every loss; also of what
/// was kept before as none.
pub(super) fn keep_all<S: Storage>(storage: &S, damage: &[Damage], now_ms: u64) -> Unkept {
    let is_kept = |damage: &&Damage| 0 < damage.len || damage.class == Class::Corrupt;
    let damage: Vec<&Damage> = damage.iter().filter(is_kept).collect();
    let mut unkept = Unkept::default();
    if damage.is_empty() {
        return unkept;
    }
    let reports = match reports(storage) {
        Ok(reports) => reports,
        Err(error) => {
            unkept.note(&damage, error);
            return unkept;
        }
    };
    let (stamp, mut lots) = (stamp(now_ms), Vec::new());
    for of_one in damage.chunk_by(|one, next| one.seg == next.seg) {
        let names = reports.get(stem(&of_one[0].seg));
        let known = told::known(storage, names.map(Vec::as_slice).unwrap_or_default());
        let is_new = |damage: &&Damage| !known.tells(damage);
        let new: Vec<&Damage> = of_one.iter().copied().filter(is_new).collect();
        lots.extend(lot::keep_bytes(storage, &new, &stamp, &mut unkept));
    }
    name_all(storage, lots, &mut unkept);
    // The folder itself may be new, and the names in it, from a start before.
    let folders = [QUARANTINE, ""];
    if let Err(error) = folders.iter().try_for_each(|f| storage.sync_folder(f)) {
        unkept.doubt(&damage, error);
    }
    unkept
}

/// The reports come to light once the bytes they speak of have.
fn name_all<S: Storage>(storage: &S, mut lots: Vec<Lot<'_>>, unkept: &mut Unkept) {
    lots.retain(|lot| {
        lot.attempt(storage, unkept, |lot| lot.show(storage))
            .is_some()
    });
    if lots.iter().any(Lot::has_bytes)
        && let Err(error) = storage.sync_folder(QUARANTINE)
    {
        let damage: Vec<_> = lots.iter().flat_map(|lot| &lot.damage).copied().collect();
        unkept.doubt(&damage, error);
    }
    for lot in &lots {
        lot.attempt(storage, unkept, |lot| lot.tell(storage));
    }
}

/// The reports that are there, by the segment they are about. What a start that
/// was cut short has left is removed.
fn reports<S: Storage>(storage: &S) -> io::Result<BTreeMap<String, Vec<String>>> {
    storage.make_folder(QUARANTINE)?;
    let mut reports: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in storage.list(QUARANTINE)? {
        if lot::is_unfinished(&file.name) {
            _ = storage.remove(&format!("{QUARANTINE}/{}", file.name));
        } else if let Some(segment) = reported(&file.name) {
            reports.entry(segment).or_default().push(file.name);
        }
    }
    Ok(reports)
}

/// The segment that a report is about, by its name.
fn reported(name: &str) -> Option<String> {
    let (_, range) = name.strip_suffix(".json")?.split_once('-')?;
    let mut parts = range.rsplitn(3, '-');
    parts.nth(2).map(str::to_owned)
}

/// Moves a whole segment here; that takes no room.
pub(super) fn take_in<S: Storage>(storage: &S, segment: &str, now_ms: u64) -> io::Result<()> {
    storage.make_folder(QUARANTINE)?;
    let to = format!("{QUARANTINE}/{}-{segment}", stamp(now_ms));
    storage.rename(segment, &to)
}

fn stamp(now_ms: u64) -> String {
    clock::utc(now_ms).replace([':', '-', '.'], "")
}

/// A segment's part in the names of what is kept of it.
fn stem(segment: &str) -> &str {
    segment.trim_end_matches(".jsonl")
}
