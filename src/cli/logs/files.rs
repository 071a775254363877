//! The files of one log: read backwards from the newest line, or followed over
//! rotations.
//!
//! A line is known by its file's inode and its offset there, so that none is
//! told twice or missed when the file gets another name meanwhile.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::logfile::older;
use crate::plain_file;

/// Bytes read at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// Bytes followed at once: other logs have their turn then.
const TURN_BYTES: usize = 4 * 1024 * 1024;

/// How often the names are listed again when a rotation comes in between.
const LISTINGS: usize = 3;

/// One file of a log, open.
struct Piece {
    file: File,
    inode: u64,
}

impl Piece {
    fn open(path: &Path) -> Option<Self> {
        let file = plain_file::open(path).ok()?;
        let meta = file.metadata().ok().filter(fs::Metadata::is_file)?;
        Some(Self {
            file,
            inode: meta.ino(),
        })
    }

    fn bytes(&self) -> u64 {
        self.file.metadata().map_or(0, |m| m.len())
    }

    /// Reads `[from, to)`, or less if the file was cut meanwhile.
    fn read(&self, from: u64, to: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
        let mut filled = 0;
        while filled < bytes.len() {
            match self
                .file
                .read_at(&mut bytes[filled..], from + filled as u64)?
            {
                0 => break,
                read => filled += read,
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    /// Where the last complete line ends.
    fn end(&self) -> u64 {
        let mut end = self.bytes();
        while 0 < end {
            let from = end.saturating_sub(BLOCK_BYTES as u64);
            let Ok(block) = self.read(from, end) else {
                break;
            };
            if let Some(at) = memchr::memrchr(b'\n', &block) {
                return from + at as u64 + 1;
            }
            end = from;
        }
        0
    }
}

/// The files of a log by name, newest first.
fn names(path: &Path) -> impl Iterator<Item = PathBuf> {
    let old = (1..).map({
        let path = path.to_path_buf();
        move |n| older(&path, n)
    });
    std::iter::once(path.to_path_buf()).chain(old.take_while(|path| path.exists()))
}

/// The lines of a log, newest first.
pub(in crate::cli) struct Backward {
    /// Oldest first; the last one is being read.
    pieces: Vec<Piece>,
    /// Where reading has come to in the last piece.
    at: Option<u64>,
    /// Lines read and not yet told, newest last.
    lines: Vec<Vec<u8>>,
    /// The beginning of the oldest line read, whose own beginning is not.
    rest: Vec<u8>,
}

impl Backward {
    fn of(path: &Path) -> Self {
        let mut pieces: Vec<Piece> = Vec::new();
        for piece in names(path).filter_map(|path| Piece::open(&path)) {
            if pieces.iter().all(|known| known.inode != piece.inode) {
                pieces.push(piece);
            }
        }
        pieces.reverse();
        Self {
            pieces,
            at: None,
            lines: Vec::new(),
            rest: Vec::new(),
        }
    }

    /// Reads the block before; false if there is none.
    fn read_block(&mut self) -> bool {
        let Some(piece) = self.pieces.last() else {
            return false;
        };
        let to = *self.at.get_or_insert_with(|| piece.end());
        let from = to.saturating_sub(BLOCK_BYTES as u64);
        let block = piece.read(from, to).unwrap_or_default();
        let text = [block, std::mem::take(&mut self.rest)].concat();
        let mut begin = 0;
        for end in memchr::memchr_iter(b'\n', &text) {
            if 0 < begin || from == 0 {
                self.lines.push(text[begin..end].to_vec());
            } else {
                self.rest = text[..=end].to_vec();
            }
            begin = end + 1;
        }
        if begin == 0 {
            self.rest = text;
        }
        self.at = Some(from);
        if from == 0 {
            self.pieces.pop();
            (self.at, self.rest) = (None, Vec::new());
        }
        true
    }
}

impl Iterator for Backward {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.lines.pop() {
                return Some(line);
            }
            if !self.read_block() {
                return None;
            }
        }
    }
}

/// A log that is followed.
pub(in crate::cli) struct Follower {
    path: PathBuf,
    piece: Option<Piece>,
    offset: u64,
    /// A line whose end is not written yet.
    rest: Vec<u8>,
}

impl Follower {
    /// The log at `path` and all its lines so far; yields what comes behind
    /// them. There need be no file yet.
    pub(in crate::cli) fn open(path: &Path) -> (Self, Backward) {
        let mut backward = Backward::of(path);
        let mut follower = Self::from_the_beginning(path);
        if let Some(newest) = backward.pieces.last() {
            follower.offset = newest.end();
            backward.at = Some(follower.offset);
            follower.piece = newest.file.try_clone().ok().map(|file| Piece {
                file,
                inode: newest.inode,
            });
        }
        (follower, backward)
    }

    /// The log at `path`, all of it to come.
    pub(in crate::cli) fn from_the_beginning(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
            piece: None,
            offset: 0,
            rest: Vec::new(),
        }
    }

    /// The complete lines written since the last time.
    pub(in crate::cli) fn new_lines(&mut self) -> VecDeque<Vec<u8>> {
        let mut lines = VecDeque::new();
        loop {
            // Asked for before reading: nothing is written to a file that has
            // lost its name, so what is read then is all of it.
            let next = self.next_piece();
            let complete = self.read(&mut lines);
            match next {
                Some(next) if complete => {
                    self.piece = Some(next);
                    self.offset = 0;
                    self.rest.clear();
                }
                _ => return lines,
            }
        }
    }

    /// The file after the current one, if there is one.
    fn next_piece(&self) -> Option<Piece> {
        let Some(current) = &self.piece else {
            return names(&self.path).filter_map(|p| Piece::open(&p)).last();
        };
        for _ in 0..LISTINGS {
            let mut newer = None;
            for piece in names(&self.path).filter_map(|path| Piece::open(&path)) {
                if piece.inode == current.inode {
                    return newer;
                }
                newer = Some(piece);
            }
        }
        // It is gone under every name: go on with what is there now.
        Piece::open(&self.path)
    }

    /// Reads on in the current file; false if there may be more.
    fn read(&mut self, lines: &mut VecDeque<Vec<u8>>) -> bool {
        let Some(piece) = &self.piece else {
            return true;
        };
        let end = piece.bytes();
        if end < self.offset {
            // Somebody cut it; what is there now is new.
            self.offset = 0;
            self.rest.clear();
        }
        let to = end.min(self.offset + TURN_BYTES as u64);
        let block = piece.read(self.offset, to).unwrap_or_default();
        self.offset += block.len() as u64;
        self.rest.extend(block);
        let mut begin = 0;
        for at in memchr::memchr_iter(b'\n', &self.rest) {
            lines.push_back(self.rest[begin..at].to_vec());
            begin = at + 1;
        }
        self.rest.drain(..begin);
        to == end
    }
}

#[cfg(test)]
mod tests;
