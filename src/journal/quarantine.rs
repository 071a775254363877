//! Damaged bytes, kept for whoever wants to look: `<utc>-<seg>-<off>-<len>.bin`
//! beside a `.json` that says what they were.
//!
//! The `.json` is written last: where it is, the bytes are safe. It also stands
//! for a loss that left no bytes, and stays when the segment has gone: a loss is
//! told until somebody has removed what tells of it here. A whole segment that
//! could only be moved here, `<utc>-<seg>.jsonl`, tells of one by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::recovery::each_chunk;
use super::report::{Class, Damage};
use super::segment;
use super::storage::{QUARANTINE, Storage, StoredFile, read_exact, write_all};
use crate::clock;

/// The largest `.json` that is looked into.
const REPORT_BYTES_MAX: u64 = 64 << 10;

/// How many losses it tells of; what cannot be read may tell of one.
pub(super) fn losses<S: Storage>(storage: &S) -> io::Result<u64> {
    let files = storage.list(QUARANTINE)?;
    let is_loss = |name: &str| match report(storage, name) {
        Some(told) => told["class"] == "corrupt",
        None => true,
    };
    let tells = |name: &str| match name.strip_suffix(".json") {
        Some(_) => is_loss(name),
        None => is_segment(name),
    };
    Ok(files.iter().filter(|file| tells(&file.name)).count() as u64)
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

/// What a `.json` says, if it can be read.
fn report<S: Storage>(storage: &S, name: &str) -> Option<serde_json::Value> {
    let file = storage.open(&format!("{QUARANTINE}/{name}")).ok()?;
    let bytes = file.bytes().ok().filter(|b| *b <= REPORT_BYTES_MAX)?;
    let json = read_exact(&file, 0, usize::try_from(bytes).ok()?).ok()?;
    let told: serde_json::Value = serde_json::from_slice(&json).ok()?;
    told.is_object().then_some(told)
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
        let lost = damage.iter().filter(|d| d.class == Class::Corrupt);
        self.losses += lost.clone().count() as u64;
        self.segments.extend(lost.map(|damage| damage.seg.clone()));
        self.error.get_or_insert(error);
    }
}

/// Keeps every range that was not kept before, and notes every loss.
pub(super) fn keep_all<S: Storage>(storage: &S, damage: &[Damage], now_ms: u64) -> Unkept {
    let is_kept = |damage: &&Damage| 0 < damage.len || damage.class == Class::Corrupt;
    let damage: Vec<&Damage> = damage.iter().filter(is_kept).collect();
    let mut unkept = Unkept::default();
    if damage.is_empty() {
        return unkept;
    }
    let kept = match kept(storage) {
        Ok(kept) => kept,
        Err(error) => {
            unkept.note(&damage, error);
            return unkept;
        }
    };
    for damage in &damage {
        // A later file of that name may have other bytes there.
        let is_same = |name: &String| {
            report(storage, name).is_some_and(|told| told["sha256"] == *damage.sha256)
        };
        let kept = kept.get(&range(damage));
        if kept.is_some_and(|names| names.iter().any(is_same)) {
            continue;
        }
        if let Err(error) = keep(storage, damage, now_ms) {
            unkept.note(&[damage], error);
        }
    }
    // The folder itself may be new.
    let folders = [QUARANTINE, ""];
    if let Err(error) = folders.iter().try_for_each(|f| storage.sync_folder(f)) {
        // They are told of here, until a crash; then they are found again.
        let losses = unkept.losses;
        unkept.note(&damage, error);
        unkept.losses = losses;
    }
    unkept
}

/// The reports that are there, by the range they are about.
fn kept<S: Storage>(storage: &S) -> io::Result<BTreeMap<String, Vec<String>>> {
    storage.make_folder(QUARANTINE)?;
    let mut kept: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for file in storage.list(QUARANTINE)? {
        let stem = file.name.strip_suffix(".json");
        if let Some((_, range)) = stem.and_then(|stem| stem.split_once('-')) {
            kept.entry(range.to_owned()).or_default().push(file.name);
        }
    }
    Ok(kept)
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

fn range(damage: &Damage) -> String {
    let segment = damage.seg.trim_end_matches(".jsonl");
    format!("{segment}-{}-{}", damage.off, damage.len)
}

fn keep<S: Storage>(storage: &S, damage: &Damage, now_ms: u64) -> io::Result<()> {
    let stem = format!("{QUARANTINE}/{}-{}", stamp(now_ms), range(damage));
    let [bin, json] = ["bin", "json"].map(|kind| format!("{stem}.{kind}"));
    let bytes = match damage.len {
        0 => Ok(()),
        _ => keep_bytes(storage, damage, &bin),
    };
    let kept = bytes.and_then(|()| keep_report(storage, damage, &json));
    if kept.is_err() {
        // A part of it is only in the way: the next attempt has another name.
        _ = storage.remove(&json);
        _ = storage.remove(&bin);
    }
    kept
}

fn keep_report<S: Storage>(storage: &S, damage: &Damage, to: &str) -> io::Result<()> {
    let mut json = made_anew(storage, to)?;
    write_all(&mut json, &serde_json::to_vec(damage)?, 0)?;
    json.sync()
}

fn keep_bytes<S: Storage>(storage: &S, damage: &Damage, to: &str) -> io::Result<()> {
    let from = storage.open(&damage.seg)?;
    let mut bin = made_anew(storage, to)?;
    let mut at = 0;
    each_chunk(&from, damage.off, damage.len, |bytes| {
        write_all(&mut bin, bytes, at)?;
        at += bytes.len() as u64;
        Ok(())
    })?;
    bin.sync()
}

/// A file that an attempt before this one may have begun.
fn made_anew<S: Storage>(storage: &S, name: &str) -> io::Result<S::File> {
    match storage.create(name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            storage.remove(name)?;
            storage.create(name)
        }
        made => made,
    }
}
