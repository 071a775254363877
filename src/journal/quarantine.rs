//! Damaged bytes, kept for whoever wants to look: `<utc>-<seg>-<off>-<len>.bin`
//! beside a `.json` that says what they were.
//!
//! The `.json` is written last: where it is, the bytes are safe.

use std::io;

use super::recovery::each_chunk;
use super::report::Damage;
use super::storage::{QUARANTINE, Storage, StoredFile, write_all};
use crate::clock;

/// Keeps every range that was not kept before; returns how many there are.
pub(super) fn keep_all<S: Storage>(storage: &S, damage: &[Damage], now_ms: u64) -> io::Result<u64> {
    let with_bytes = damage.iter().filter(|damage| 0 < damage.len);
    let damage: Vec<&Damage> = with_bytes.collect();
    if damage.is_empty() {
        return Ok(0);
    }
    storage.make_folder(QUARANTINE)?;
    let kept = storage.list(QUARANTINE)?;
    for damage in &damage {
        let suffix = format!("-{}", range(damage));
        let is_kept = |name: &str| {
            name.strip_suffix(".json")
                .is_some_and(|name| name.ends_with(&suffix))
        };
        if !kept.iter().any(|file| is_kept(&file.name)) {
            keep(storage, damage, now_ms)?;
        }
    }
    storage.sync_folder(QUARANTINE)?;
    // The folder itself may be new.
    storage.sync_folder("")?;
    Ok(damage.len() as u64)
}

fn range(damage: &Damage) -> String {
    let segment = damage.seg.trim_end_matches(".jsonl");
    format!("{segment}-{}-{}", damage.off, damage.len)
}

fn keep<S: Storage>(storage: &S, damage: &Damage, now_ms: u64) -> io::Result<()> {
    let utc = clock::utc(now_ms).replace([':', '-', '.'], "");
    let stem = format!("{QUARANTINE}/{utc}-{}", range(damage));
    let from = storage.open(&damage.seg)?;
    let mut bin = made_anew(storage, &format!("{stem}.bin"))?;
    let mut at = 0;
    each_chunk(&from, damage.off, damage.len, |bytes| {
        write_all(&mut bin, bytes, at)?;
        at += bytes.len() as u64;
        Ok(())
    })?;
    bin.sync()?;
    let mut json = made_anew(storage, &format!("{stem}.json"))?;
    write_all(&mut json, &serde_json::to_vec(damage)?, 0)?;
    json.sync()
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
