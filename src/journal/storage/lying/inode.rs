//! A file of a lying disk: what is seen of it, and what a power cut leaves.

use std::collections::BTreeSet;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;

#[derive(Debug, Default, Clone)]
pub(super) struct Inode {
    /// What reading gives.
    pub(super) seen: Vec<u8>,
    /// What surely survives.
    pub(super) durable: Vec<u8>,
    /// Sectors written since the last sync, whether that succeeded or not.
    pub(super) dirty: BTreeSet<usize>,
    /// The shortest it has been since the last sync.
    pub(super) cut: Option<usize>,
}

impl Inode {
    pub(super) fn write(&mut self, bytes: &[u8], at: usize) {
        let end = at + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[at..end].copy_from_slice(bytes);
        self.dirty
            .extend(at / SECTOR..=end.saturating_sub(1) / SECTOR);
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.seen.resize(length, 0);
        self.cut = Some(self.cut.unwrap_or(length).min(length));
        self.dirty.retain(|sector| sector * SECTOR < length);
    }

    pub(super) fn flush(&mut self) {
        if let Some(cut) = self.cut.take() {
            self.durable.truncate(cut);
        }
        self.durable.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            copy_sector(&self.seen, &mut self.durable, sector);
        }
    }

    /// The same of what it was like `then`, while more has been written.
    pub(super) fn flush_as_of(&mut self, mut then: Self) {
        let (cut, dirty) = (then.cut, then.dirty.clone());
        then.durable = std::mem::take(&mut self.durable);
        then.flush();
        self.durable = then.durable;
        if self.cut == cut {
            self.cut = None;
        }
        let sector = |bytes: &[u8], sector: usize| {
            let from = (sector * SECTOR).min(bytes.len());
            bytes[from..(from + SECTOR).min(bytes.len())].to_vec()
        };
        let is_new = |at: &usize| {
            !dirty.contains(at) || sector(&self.seen, *at) != sector(&self.durable, *at)
        };
        self.dirty.retain(is_new);
    }
}

pub(super) fn copy_sector(from: &[u8], to: &mut [u8], sector: usize) {
    let start = sector * SECTOR;
    let end = (start + SECTOR).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}
