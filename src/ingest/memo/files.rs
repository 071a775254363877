//! The two files of a memo, written in turns.
//!
//! Each begins with its number, one more than the other's, so that the older is
//! known whatever the disk says of their times. Both have room for all they will
//! ever hold: it is taken before anything is written, and kept. So a file is
//! begun anew in its own place, over what it held; whoever dies meanwhile leaves
//! the newer whole, which has all that was to be kept of the older.
//!
//! Behind its last record a file has an end, or what nobody takes for a record.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::super::MemoPlace;
use super::noted::Noted;
use super::reading::{PIECE, Reading};
use super::record::{END, begun, seal};
use super::writing::Writing;
use crate::clock::BootTime;
use crate::plain_file;

/// More than a file of ours ever holds.
const READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Files {
    paths: [PathBuf; 2],
    /// What each has room for.
    room: usize,
    /// Which of them is the newer, and its number.
    newest: usize,
    number: u64,
    /// The one that is written; `None` until there is room for both, and after
    /// one could not be written.
    current: Option<Current>,
    writing: Writing,
}

#[derive(Debug)]
struct Current {
    file: File,
    written: usize,
}

impl Files {
    /// Reads what was left at `place` in this boot of the machine, older first.
    pub(super) fn read(place: &MemoPlace) -> (Self, Noted) {
        let (dir, boot_id) = (&place.dir, &place.boot_id);
        let path = |n: usize| dir.join(format!("batches-{boot_id}.{n}"));
        let paths = [path(0), path(1)];
        take_over_others(dir, &paths);
        let mut noted = Noted::default();
        let (mut newest, mut number, mut whole) = (0, 0, Ok(0));
        for (which, mut file) in in_turn(&paths) {
            (newest, number, whole) = (which, file.number(), noted.read(&mut file));
        }
        let mut files = Self {
            writing: Writing::to(&paths[0]),
            paths,
            room: place.file_bytes_max,
            newest,
            number,
            current: None,
        };
        // A file without its number is of an earlier program; and in one that
        // cannot be read to its end nobody would find what is behind that.
        if number > 0 {
            files.current = whole.and_then(|whole| files.go_on(whole)).ok();
        }
        (files, noted)
    }

    pub(super) fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// What the file that is written would hold with so many bytes more.
    pub(super) fn with(&self, bytes: usize) -> usize {
        let written = self.current.as_ref().map_or(0, |c| c.written);
        written + bytes + END.len()
    }

    /// Since when one of them is being written.
    pub(super) fn writing(&self) -> Writing {
        self.writing.clone()
    }

    /// Begins the older anew, with `records`, which it seals.
    pub(super) fn begin(&mut self, records: Vec<u8>, now: BootTime) -> io::Result<()> {
        self.writing.begin(now);
        let begun = self.begin_anew(records);
        self.writing.end();
        begun
    }

    fn begin_anew(&mut self, mut records: Vec<u8>) -> io::Result<()> {
        self.current = None;
        let (which, number) = (1 - self.newest, self.number + 1);
        let file = self.open(which)?;
        seal(&mut records, number);
        let mut bytes = [begun(number), records].concat();
        let written = write(&file, &mut bytes, 0)?;
        (self.newest, self.number) = (which, number);
        self.current = Some(Current { file, written });
        Ok(())
    }

    /// Adds to the file that is written, if there is one. Seals the records, and
    /// leaves an end behind them.
    pub(super) fn append(&mut self, records: &mut Vec<u8>, now: BootTime) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        seal(records, self.number);
        self.writing.begin(now);
        let written = write(&current.file, records, current.written);
        self.writing.end();
        current.written += written?;
        Ok(())
    }

    /// What could not be written is not tried again.
    pub(super) fn close(&mut self) {
        self.current = None;
    }

    /// Where they are, for whoever is told of a failure.
    pub(super) fn path(&self) -> &Path {
        &self.paths[0]
    }

    #[cfg(test)]
    pub(super) fn newest(&self) -> &Path {
        &self.paths[self.newest]
    }

    /// Goes on in the newer, behind what is whole of it.
    fn go_on(&self, whole: usize) -> io::Result<Current> {
        let file = self.open(self.newest)?;
        Ok(Current {
            file,
            written: whole,
        })
    }

    /// Opens one that has its room, as has the other: it will be the next.
    fn open(&self, which: usize) -> io::Result<File> {
        let (other, file) = (self.make(1 - which)?, self.make(which)?);
        let (before, room) = (other.metadata()?.len(), self.room as u64);
        plain_file::reserve(&other, room)?;
        let reserved = plain_file::reserve(&file, room);
        if reserved.is_err() {
            // Alone it would be taken from everybody else for nothing.
            _ = other.set_len(before);
        }
        reserved.map(|()| file)
    }

    fn make(&self, which: usize) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        plain_file::open_own(&self.paths[which], &mut options)
    }
}

/// Writes records and an end behind them; returns how much is to stay.
fn write(file: &File, records: &mut Vec<u8>, at: usize) -> io::Result<usize> {
    let length = records.len();
    records.extend(END);
    file.write_all_at(records, at as u64)?;
    Ok(length)
}

/// Which files are there, older first.
fn in_turn(paths: &[PathBuf; 2]) -> Vec<(usize, Reading<File>)> {
    let age = |which: usize| fs::metadata(&paths[which]).and_then(|meta| meta.modified());
    let begin = |which: usize| {
        let file = plain_file::open_own(&paths[which], OpenOptions::new().read(true)).ok()?;
        let is_ours = file.metadata().ok()?.len() <= READ_BYTES_MAX;
        let reading = is_ours.then(|| Reading::begin(file, PIECE))?;
        Some((which, reading.ok()?))
    };
    let mut there: Vec<_> = [0, 1].into_iter().filter_map(begin).collect();
    there.sort_by_key(|(which, file)| (file.number(), age(*which).ok()));
    there
}

/// What earlier boots of the machine have left is of no use any more: their
/// times mean nothing now, and Ably has forgotten what they tell of. But the room
/// they have is.
fn take_over_others(dir: &Path, ours: &[PathBuf; 2]) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let is_memo = name.to_string_lossy().starts_with("batches-");
        if !is_memo || ours.contains(&path) {
            continue;
        }
        let missing = ours.iter().find(|path| path.symlink_metadata().is_err());
        if missing.is_none_or(|ours| take_over(&path, ours).is_err()) {
            _ = fs::remove_file(&path);
        }
    }
}

/// Gives a file another name, once nothing is read in it any more.
fn take_over(path: &Path, name: &Path) -> io::Result<()> {
    let file = plain_file::open_own(path, OpenOptions::new().write(true))?;
    file.write_all_at(&END, 0)?;
    fs::rename(path, name)
}
