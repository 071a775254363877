//! The two files of a memo, written in turns.
//!
//! Each begins with its number, one more than the other's, so that the older is
//! known whatever the disk says of their times. A file is begun under another
//! name, with what has to be in it from the start, and only then takes the place
//! of the older: whoever dies meanwhile leaves both as they were.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::record::{Noted, begun, number};
use crate::plain_file;

/// More than a file of ours ever holds.
const READ_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Files {
    paths: [PathBuf; 2],
    /// Which of them is the newer, and its number.
    newest: usize,
    number: u64,
    /// The one that is written; `None` until one could be opened, and after one
    /// could not be written.
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    file: File,
    written: usize,
}

impl Files {
    /// Reads what was left in `dir` in this boot of the machine, older first.
    pub(super) fn read(dir: &Path, boot_id: &str) -> (Self, Noted) {
        let path = |n: usize| dir.join(format!("batches-{boot_id}.{n}"));
        let paths = [path(0), path(1)];
        forget_others(dir, &paths);
        let mut noted = Noted::default();
        let (mut newest, mut number, mut whole) = (0, 0, 0);
        for (which, its_number, bytes) in in_turn(&paths) {
            (newest, number, whole) = (which, its_number, noted.read(&bytes));
        }
        // A file without its number is of an earlier program.
        let has_number = number > 0;
        let current = has_number.then(|| go_on(&paths[newest], whole));
        let files = Self {
            current: current.and_then(Result::ok),
            paths,
            newest,
            number,
        };
        (files, noted)
    }

    pub(super) fn is_open(&self) -> bool {
        self.current.is_some()
    }

    /// What the file that is written would hold with so many bytes more.
    pub(super) fn with(&self, bytes: usize) -> usize {
        self.current.as_ref().map_or(0, |c| c.written) + bytes
    }

    /// Begins a file with `records`, in the place of the older.
    pub(super) fn begin(&mut self, records: &[u8]) -> io::Result<()> {
        self.current = None;
        let (which, number) = (1 - self.newest, self.number + 1);
        let path = &self.paths[which];
        let new = path.with_extension("new");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = plain_file::open_own(&new, &mut options)?;
        let mut bytes = begun(number);
        bytes.extend(records);
        file.write_all(&bytes)?;
        fs::rename(&new, path)?;
        (self.newest, self.number) = (which, number);
        let written = bytes.len();
        self.current = Some(Current { file, written });
        Ok(())
    }

    /// Adds to the file that is written, if there is one.
    pub(super) fn append(&mut self, records: &[u8]) -> io::Result<()> {
        let Some(current) = &mut self.current else {
            return Ok(());
        };
        current.written += records.len();
        current.file.write_all(records)
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
}

/// Opens a file behind what is whole of it.
fn go_on(path: &Path, whole: usize) -> io::Result<Current> {
    let file = plain_file::open_own(path, OpenOptions::new().append(true))?;
    file.set_len(whole as u64)?;
    Ok(Current {
        file,
        written: whole,
    })
}

/// Which files are there, older first, with their numbers and what they hold.
fn in_turn(paths: &[PathBuf; 2]) -> Vec<(usize, u64, Vec<u8>)> {
    let age = |which: usize| fs::metadata(&paths[which]).and_then(|meta| meta.modified());
    let read = |which: usize| {
        let file = plain_file::open_own(&paths[which], OpenOptions::new().read(true));
        Some((which, plain_file::bytes(&file.ok()?, READ_BYTES_MAX).ok()?))
    };
    let there = [0, 1].into_iter().filter_map(read);
    let mut there: Vec<_> = there.map(|(w, bytes)| (w, number(&bytes), bytes)).collect();
    there.sort_by_key(|(which, number, _)| (*number, age(*which).ok()));
    there
}

/// Removes what earlier boots of the machine have left: their times mean
/// nothing now, and Ably has forgotten what they tell of. And what was begun
/// and never took its place.
fn forget_others(dir: &Path, ours: &[PathBuf; 2]) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_memo = name.to_string_lossy().starts_with("batches-");
        if is_memo && !ours.contains(&entry.path()) {
            _ = fs::remove_file(entry.path());
        }
    }
}
