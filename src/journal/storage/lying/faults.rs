//! What goes wrong with the disk of a test, and what is left of it when the
//! power goes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use nix::libc;

use super::inode::copy_sector;
use super::{Inode, Lying, Op};

/// Fails the `nth` call of `op`, counted from 0, and `times` in all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) op: Op,
    pub(crate) nth: u64,
    pub(crate) times: u64,
    pub(crate) errno: i32,
}

/// A cheap source of choices (splitmix64).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.roll() % bound.max(1) as u64).unwrap_or(0)
    }

    fn coin(&mut self) -> bool {
        self.roll() & 1 == 1
    }
}

/// What was asked to go wrong, and when.
#[derive(Debug, Default)]
pub(super) struct Faults {
    calls: BTreeMap<Op, u64>,
    planned: Vec<Fault>,
    /// Calls that change something, so far.
    changes: u64,
    /// The power goes with this change.
    cut_at: Option<u64>,
    /// At most this many bytes go with one write.
    write_max: Option<usize>,
    /// Bytes the disk holds.
    capacity: Option<u64>,
    /// Bytes a file may have.
    file_max: Option<u64>,
}

impl Faults {
    /// Counts the call; fails it if that was asked for.
    pub(super) fn call(&mut self, op: Op) -> io::Result<()> {
        let count = self.calls.entry(op).or_default();
        let now = *count;
        *count += 1;
        if self.is_dark() {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let hit = |f: &&Fault| f.op == op && (f.nth..f.nth.saturating_add(f.times)).contains(&now);
        match self.planned.iter().find(hit) {
            Some(fault) => Err(io::Error::from_raw_os_error(fault.errno)),
            None => Ok(()),
        }
    }

    /// Counts a change; it may be the last.
    pub(super) fn change(&mut self) -> io::Result<()> {
        self.changes += 1;
        if self.is_dark() {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    pub(super) fn is_dark(&self) -> bool {
        self.cut_at.is_some_and(|at| at < self.changes)
    }

    /// Whether a write that failed may have written a part.
    pub(super) fn tears(&self) -> bool {
        let is_cut = self.is_dark() && self.cut_at == self.changes.checked_sub(1);
        is_cut || !self.is_dark()
    }

    pub(super) fn write_max(&self) -> Option<usize> {
        self.write_max
    }

    pub(super) fn capacity(&self) -> Option<u64> {
        self.capacity
    }

    pub(super) fn file_max(&self) -> Option<u64> {
        self.file_max
    }
}

impl Lying {
    /// A disk whose ids are those of no other.
    pub(crate) fn with_ids_from(first: u64) -> Self {
        let disk = Self::default();
        disk.world().next_id = first;
        disk
    }

    /// What is there to be read.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let world = self.world();
        let read =
            |(name, inode): (&String, &u64)| (name.clone(), world.inodes[inode].seen.clone());
        world.names.iter().map(read).collect()
    }

    pub(crate) fn fail(&self, fault: Fault) {
        let mut world = self.world();
        let nth = fault.nth + world.faults.calls.get(&fault.op).copied().unwrap_or(0);
        world.faults.planned.push(Fault { nth, ..fault });
    }

    /// Moves the directory, or puts it back.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.world().is_away = is_away;
    }

    pub(crate) fn heal(&self) {
        let mut world = self.world();
        world.faults.planned.clear();
        world.faults.capacity = None;
        world.faults.file_max = None;
    }

    /// Cuts the power with the change after `changes` more.
    pub(crate) fn cut_after(&self, changes: u64) {
        let mut world = self.world();
        world.faults.cut_at = Some(world.faults.changes + changes);
    }

    pub(crate) fn set_write_max(&self, bytes: usize) {
        self.world().faults.write_max = Some(bytes);
    }

    pub(crate) fn set_capacity(&self, bytes: Option<u64>) {
        self.world().faults.capacity = bytes;
    }

    /// Lets no file become longer.
    pub(crate) fn set_file_max(&self, bytes: u64) {
        self.world().faults.file_max = Some(bytes);
    }

    /// How often it was asked for this.
    pub(crate) fn calls(&self, op: Op) -> u64 {
        self.world().faults.calls.get(&op).copied().unwrap_or(0)
    }

    pub(crate) fn changes(&self) -> u64 {
        self.world().faults.changes
    }

    pub(crate) fn used(&self) -> u64 {
        self.world().used()
    }

    /// The same of files whose names begin like this.
    pub(crate) fn used_by(&self, prefix: &str) -> u64 {
        let world = self.world();
        let from = prefix.to_owned();
        let named = world.names.range(from..);
        let named = named.take_while(|(name, _)| name.starts_with(prefix));
        named
            .map(|(_, inode)| world.inodes[inode].seen.len() as u64)
            .sum()
    }

    /// The disk after a power cut; the dice choose what survived.
    pub(crate) fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let world = self.world();
        let mut files = BTreeMap::new();
        let all: BTreeSet<&String> = world
            .names
            .keys()
            .chain(world.durable_names.keys())
            .collect();
        for name in all {
            let (seen, durable) = (world.names.get(name), world.durable_names.get(name));
            let kept = if dice.coin() { seen } else { durable };
            if let Some(inode) = kept {
                files.insert(name.clone(), world.inodes[inode].survivors(dice));
            }
        }
        Self::holding(&files)
    }
}

impl Inode {
    /// What a power cut leaves of it.
    fn survivors(&self, dice: &mut Dice) -> Vec<u8> {
        let mut kept = self.durable.clone();
        if let Some(cut) = self.cut
            && dice.coin()
        {
            kept.truncate(cut);
        }
        if kept.len() < self.seen.len() {
            let more = self.seen.len() - kept.len();
            kept.resize(kept.len() + dice.below(more + 1), 0);
        }
        for &sector in &self.dirty {
            if dice.coin() {
                copy_sector(&self.seen, &mut kept, sector);
            }
        }
        kept
    }
}
