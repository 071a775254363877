//! Damaged bytes, kept for whoever wants to look: `<utc>-<seg>-<off>-<len>.bin`
//! beside a `.json` that says what they were.
//!
//! The `.json` is written last: where it is, the bytes are safe. It also stands
//! for a loss that left no bytes, and stays when the segment has gone: a loss is
//! told until somebody has removed what tells of it here.

use std::io;

use super::recovery::each_chunk;
use super::report::{Class, Damage};
use super::storage::{QUARANTINE, Storage, StoredFile, read_exact, write_all};
use crate::clock;

/// The largest `.json` that is looked into.
const REPORT_BYTES_MAX: u64 = 64 << 10;

/// How many losses it tells of; what cannot be read may tell of one.
pub(super) fn losses<S: Storage>(storage: &S) -> u64 {
    let files = storage.list(QUARANTINE).unwrap_or_default();
    let reports = files
        .iter()
        .filter(|file| file.name.strip_suffix(".json").is_some());
    let is_loss = |name: &str| match report(storage, name) {
        Some(told) => told["class"] == "corrupt",
        None => true,
    };
    reports.filter(|file| is_loss(&file.name)).count() as u64
}

/// What a `.json` says, if it can be read.
fn report<S: Storage>(storage: &S, name: &str) -> Option<serde_json::Value> {
    let file = storage.open(&format!("{QUARANTINE}/{name}")).ok()?;
    let bytes = file.bytes().ok().filter(|b| *b <= REPORT_BYTES_MAX)?;
    let json = read_exact(&file, 0, usize::try_from(bytes).ok()?).ok()?;
    let told: serde_json::Value = serde_json::from_slice(&json).ok()?;
    told.is_object().then_some(told)
}

/// Keeps every range that was not kept before, and notes every loss.
pub(super) fn keep_all<S: Storage>(storage: &S, damage: &[Damage], now_ms: u64) -> io::Result<()> {
    let is_kept = |damage: &&Damage| 0 < damage.len || damage.class == Class::Corrupt;
    let damage: Vec<&Damage> = damage.iter().filter(is_kept).collect();
    if damage.is_empty() {
        return Ok(());
    }
    storage.make_folder(QUARANTINE)?;
    let kept = storage.list(QUARANTINE)?;
    for damage in &damage {
        let suffix = format!("-{}", range(damage));
        // A later file of that name may have other bytes there.
        let is_kept = |name: &str| {
            name.strip_suffix(".json")
                .is_some_and(|name| name.ends_with(&suffix))
                && report(storage, name).is_some_and(|told| told["sha256"] == *damage.sha256)
        };
        if !kept.iter().any(|file| is_kept(&file.name)) {
            keep(storage, damage, now_ms)?;
        }
    }
    storage.sync_folder(QUARANTINE)?;
    // The folder itself may be new.
    storage.sync_folder("")
}

fn range(damage: &Damage) -> String {
    let segment = damage.seg.trim_end_matches(".jsonl");
    format!("{segment}-{}-{}", damage.off, damage.len)
}

fn keep<S: Storage>(storage: &S, damage: &Damage, now_ms: u64) -> io::Result<()> {
    let utc = clock::utc(now_ms).replace([':', '-', '.'], "");
    let stem = format!("{QUARANTINE}/{utc}-{}", range(damage));
    if 0 < damage.len {
        keep_bytes(storage, damage, &format!("{stem}.bin"))?;
    }
    let mut json = made_anew(storage, &format!("{stem}.json"))?;
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
