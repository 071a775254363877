//! What is kept in two files: one range, or many of one segment.

use std::io;

use sha2::{Digest as _, Sha256};

use super::super::recovery::{each_chunk, hex};
use super::super::report::Damage;
use super::super::segment;
use super::super::storage::{QUARANTINE, Storage, StoredFile, write_all};
use super::{RANGES_MAX, Unkept, stem, told};

/// Bytes written at once.
const CHUNK: usize = 256 << 10;

/// What a file is called until it is whole.
const UNFINISHED: &str = ".tmp";

/// Whether that is one of ours, `<utc>-<seg>-<off>-<len>.bin.tmp` or `.json.tmp`:
/// what else is called so is somebody's.
pub(super) fn is_unfinished(name: &str) -> bool {
    let file = name.strip_suffix(UNFINISHED);
    let file = file.and_then(|f| f.strip_suffix(".bin").or_else(|| f.strip_suffix(".json")));
    let Some((stamp, range)) = file.and_then(|file| file.split_once('-')) else {
        return false;
    };
    let is_number = |part: &str| part.bytes().all(|b| b.is_ascii_digit()) && !part.is_empty();
    let is_stamp = |part: &str| {
        let is_one = |b: u8| b.is_ascii_digit() || matches!(b, b'T' | b'Z');
        part.bytes().all(is_one) && part.ends_with('Z')
    };
    let parts: Vec<&str> = range.rsplitn(3, '-').collect();
    let [length, offset, segment] = parts[..] else {
        return false;
    };
    let is_ours = segment::first_of(&format!("{segment}.jsonl")).is_some();
    is_stamp(stamp) && is_ours && is_number(offset) && is_number(length)
}

/// Ranges whose bytes are safe, and whose report is, but for its name.
pub(super) struct Lot<'d> {
    pub(super) damage: Vec<&'d Damage>,
    /// Its files, without what tells them apart.
    stem: String,
}

/// The files of a lot that are not synced yet.
struct Written<F> {
    bin: Option<F>,
    json: F,
}

/// Keeps the bytes of what a segment has lost, and what is to be told of them.
pub(super) fn keep_bytes<'d, S: Storage>(
    storage: &S,
    damage: &[&'d Damage],
    stamp: &str,
    unkept: &mut Unkept,
) -> Vec<Lot<'d>> {
    let together = if damage.len() <= RANGES_MAX {
        1
    } else {
        damage.len()
    };
    let lots = damage.chunks(together);
    let lots = lots.map(|damage| Lot::of(damage.to_vec(), stamp));
    let written: Vec<_> = lots
        .filter_map(|lot| {
            let files = lot.attempt(storage, unkept, |lot| lot.write(storage))?;
            Some((lot, files))
        })
        .collect();
    // All are written before the first is synced: that is less work for the disk.
    let synced = written.into_iter().filter_map(|(lot, files)| {
        lot.attempt(storage, unkept, |_| sync(files))?;
        Some(lot)
    });
    synced.collect()
}

fn sync<F: StoredFile>(mut files: Written<F>) -> io::Result<()> {
    if let Some(bin) = &mut files.bin {
        bin.sync()?;
    }
    files.json.sync()
}

impl<'d> Lot<'d> {
    fn of(damage: Vec<&'d Damage>, stamp: &str) -> Self {
        let range = match damage.as_slice() {
            [first, .., last] => (first.off, last.off + last.len - first.off),
            [only] => (only.off, only.len),
            [] => (0, 0),
        };
        let segment = damage.first().map_or("", |first| stem(&first.seg));
        let stem = format!("{QUARANTINE}/{stamp}-{segment}-{}-{}", range.0, range.1);
        Self { damage, stem }
    }

    pub(super) fn has_bytes(&self) -> bool {
        self.damage.iter().any(|damage| 0 < damage.len)
    }

    fn bin(&self) -> String {
        format!("{}.bin", self.stem)
    }

    fn json(&self) -> String {
        format!("{}.json", self.stem)
    }

    fn write<S: Storage>(&self, storage: &S) -> io::Result<Written<S::File>> {
        let (bin, sha256) = if self.has_bytes() {
            let (bin, sha256) = self.write_bytes(storage)?;
            (Some(bin), sha256)
        } else {
            (None, String::new())
        };
        let mut json = made_anew(storage, &(self.json() + UNFINISHED))?;
        write_all(&mut json, &told::report(&self.damage, &sha256)?, 0)?;
        Ok(Written { bin, json })
    }

    fn write_bytes<S: Storage>(&self, storage: &S) -> io::Result<(S::File, String)> {
        let from = storage.open(&self.damage[0].seg)?;
        let mut bin = made_anew(storage, &(self.bin() + UNFINISHED))?;
        let (mut hasher, mut buffer, mut at) = (Sha256::new(), Vec::new(), 0);
        let mut flush = |buffer: &mut Vec<u8>| {
            hasher.update(&*buffer);
            write_all(&mut bin, buffer, at)?;
            at += buffer.len() as u64;
            buffer.clear();
            io::Result::Ok(())
        };
        for damage in &self.damage {
            each_chunk(&from, damage.off, damage.len, |bytes| {
                buffer.extend_from_slice(bytes);
                if CHUNK <= buffer.len() {
                    flush(&mut buffer)?;
                }
                Ok(())
            })?;
        }
        flush(&mut buffer)?;
        let sha256 = hex(&hasher.finalize());
        Ok((bin, sha256))
    }

    /// One step; what fails at it is given up, and noted.
    pub(super) fn attempt<S: Storage, T>(
        &self,
        storage: &S,
        unkept: &mut Unkept,
        step: impl FnOnce(&Self) -> io::Result<T>,
    ) -> Option<T> {
        let done = step(self);
        done.map_err(|error| {
            self.discard(storage);
            unkept.note(&self.damage, error);
        })
        .ok()
    }

    /// Gives the bytes their name.
    pub(super) fn show<S: Storage>(&self, storage: &S) -> io::Result<()> {
        if self.has_bytes() {
            finish(storage, &self.bin())?;
        }
        Ok(())
    }

    /// The last thing: from here on it is kept, and told.
    pub(super) fn tell<S: Storage>(&self, storage: &S) -> io::Result<()> {
        finish(storage, &self.json())
    }

    /// A part of it is only in the way: the next attempt has another name.
    fn discard<S: Storage>(&self, storage: &S) {
        let (bin, json) = (self.bin(), self.json());
        _ = storage.remove(&(json + UNFINISHED));
        _ = storage.remove(&(bin.clone() + UNFINISHED));
        _ = storage.remove(&bin);
    }
}

/// Gives a file its name; an attempt before this one may have come so far.
fn finish<S: Storage>(storage: &S, name: &str) -> io::Result<()> {
    let unfinished = name.to_owned() + UNFINISHED;
    match storage.rename(&unfinished, name) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            storage.remove(name)?;
            storage.rename(&unfinished, name)
        }
        renamed => renamed,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn only_what_has_a_name_of_ours_is_an_unfinished_file_of_ours() {
        let stamp = super::super::stamp(clock::now_ms());
        let ours = format!("{stamp}-seg-000000000000002a-904-17");
        for kind in ["bin", "json"] {
            assert!(is_unfinished(&format!("{ours}.{kind}.tmp")), "{ours}");
        }
        let theirs = [
            "notes.tmp".to_owned(),
            format!("{ours}.tmp"),
            format!("{ours}.txt.tmp"),
            format!("{ours}-old.bin.tmp"),
            format!("{stamp}-seg-2a-904-17.bin.tmp"),
            format!("copy-{ours}.bin.tmp"),
            format!("{stamp}-seg-000000000000002a-904.json.tmp"),
        ];
        for theirs in theirs {
            assert!(!is_unfinished(&theirs), "{theirs}");
        }
    }
}
