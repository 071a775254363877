//! The memo's files: real ones, which a life may end in the midst of writing.

use std::fs;
use std::path::PathBuf;

use super::super::*;
use crate::ingest::MemoPlace;

/// See the module.
pub(in super::super) struct Memo {
    dir: tempfile::TempDir,
    file_bytes_max: usize,
    boot: u32,
}

pub(in super::super) type Files = BTreeMap<PathBuf, Vec<u8>>;

impl Memo {
    pub(super) fn of(memory: Memory) -> Option<Self> {
        let file_bytes_max = match memory {
            Memory::Nothing => return None,
            Memory::Bytes(bytes) => bytes,
            Memory::All => 1 << 18,
        };
        Some(Self {
            dir: tempfile::tempdir().expect("a directory"),
            file_bytes_max,
            boot: 0,
        })
    }

    pub(super) fn place(&self) -> MemoPlace {
        let boot_id = format!("boot{}", self.boot);
        MemoPlace {
            file_bytes_max: self.file_bytes_max,
            ..MemoPlace::new(self.dir.path().to_owned(), boot_id)
        }
    }

    /// The machine starts again, and with it the clock of these files.
    pub(super) fn lose_power(&mut self) {
        self.boot += 1;
    }

    pub(in super::super) fn files(&self) -> Files {
        let entries = fs::read_dir(self.dir.path()).expect("listed").flatten();
        let paths = entries.map(|entry| entry.path());
        let files = paths.map(|path| (path.clone(), fs::read(path).expect("reads")));
        files.collect()
    }

    /// What was written since `before` was cut off somewhere in its midst: behind
    /// that stands what stood there.
    pub(in super::super) fn cut(&self, before: &Files, random: &mut Random) {
        for (path, after) in self.files() {
            let before = before.get(&path).map_or(&[][..], Vec::as_slice);
            if after == before {
                continue;
            }
            let mut cut = before.to_vec();
            cut.resize(after.len(), 0);
            let mut written = (0..after.len()).filter(|&at| after[at] != cut[at]);
            let Some(from) = written.next() else { continue };
            let last = written.next_back().unwrap_or(from);
            let end = from + random.below(last + 2 - from);
            cut[..end].copy_from_slice(&after[..end]);
            fs::write(&path, cut).expect("writes");
        }
    }
}
