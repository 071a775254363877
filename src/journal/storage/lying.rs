//! A disk that lies, for tests: what was not synced may be gone after a power
//! cut, whole sectors of it, in any combination; a failed sync drops what it
//! was asked to keep and the next one succeeds; any call may fail.

#[cfg(test)]
mod faults;
mod inode;
mod later;
// A fuzzer's disk does what it says.
#[cfg(not(test))]
#[path = "lying/no_faults.rs"]
mod faults;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use nix::libc;
use uuid::Uuid;

use super::{Listed, Space, Storage, StoredFile};
use faults::Faults;
#[cfg(test)]
pub(crate) use faults::{Dice, Fault};
use inode::Inode;

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Op {
    List,
    Open,
    Create,
    Rename,
    Remove,
    SyncFolder,
    Read,
    Write,
    Truncate,
    Sync,
    LaterSync,
    Reserve,
}

#[derive(Debug, Default)]
struct World {
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    inodes: BTreeMap<u64, Inode>,
    next_inode: u64,
    /// What the next id is made of: the same story always has the same ids.
    next_id: u64,
    /// Which life of the machine it is, but for one.
    life: u64,
    /// Whether somebody moved the directory.
    is_away: bool,
    faults: Faults,
}

/// Handle to a disk; clones see the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lying(Arc<Mutex<World>>);

impl Lying {
    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The machine begins anew; what is on the disk stays.
    #[cfg(test)]
    pub(crate) fn begin_life(&self) {
        self.world().life += 1;
    }

    /// A disk with these files, all durable.
    pub(crate) fn holding(files: &BTreeMap<String, Vec<u8>>) -> Self {
        let disk = Self::default();
        let mut world = disk.world();
        // No id of one of these files comes again.
        let mut hasher = DefaultHasher::new();
        files.hash(&mut hasher);
        world.next_id = hasher.finish();
        for (name, bytes) in files {
            let inode = world.next_inode;
            world.next_inode += 1;
            let (seen, durable) = (bytes.clone(), bytes.clone());
            let kept = Inode {
                seen,
                durable,
                ..Inode::default()
            };
            world.inodes.insert(inode, kept);
            world.names.insert(name.clone(), inode);
            world.durable_names.insert(name.clone(), inode);
        }
        drop(world);
        disk
    }

    /// Fails the call if that was asked for.
    fn call(&self, op: Op) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.world();
        world.faults.call(op)?;
        Ok(world)
    }

    fn change(&self, op: Op) -> io::Result<MutexGuard<'_, World>> {
        let mut world = self.call(op)?;
        world.faults.change()?;
        Ok(world)
    }
}

impl Lying {
    /// The pages of a file whose sync failed count as clean; nothing will write them.
    fn sync_failed(&self, inode: u64) {
        let mut world = self.world();
        if !world.faults.is_dark() {
            world.inodes.entry(inode).or_default().dirty.clear();
        }
    }
}

impl World {
    fn used(&self) -> u64 {
        let named = self.names.values().map(|inode| &self.inodes[inode]);
        named.map(|inode| inode.seen.len() as u64).sum()
    }

    fn inode(&self, name: &str) -> io::Result<u64> {
        let inode = self.names.get(name).copied();
        inode.ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))
    }
}

/// An open file of a lying disk.
#[derive(Debug)]
pub(crate) struct LyingFile {
    disk: Lying,
    inode: u64,
}

impl Storage for Lying {
    type File = LyingFile;

    fn list(&self, folder: &str) -> io::Result<Vec<Listed>> {
        let world = self.call(Op::List)?;
        let within = |name: &str| match name.rsplit_once('/') {
            None => folder.is_empty().then(|| name.to_owned()),
            Some((parent, name)) => (parent == folder).then(|| name.to_owned()),
        };
        let mut listed = Vec::new();
        // Backwards: a directory has no order.
        for (name, inode) in world.names.iter().rev() {
            if let Some(name) = within(name) {
                let bytes = world.inodes[inode].seen.len() as u64;
                let is_file = true;
                listed.push(Listed {
                    name,
                    bytes,
                    is_file,
                });
            }
        }
        Ok(listed)
    }

    fn changed(&self, folder: &str) -> Option<SystemTime> {
        let mut hasher = DefaultHasher::new();
        let world = self.world();
        let within = |name: &&String| name.starts_with(folder);
        let names = world.names.keys().filter(within);
        names.for_each(|name| name.hash(&mut hasher));
        Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(hasher.finish() / 4))
    }

    fn make_folder(&self, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<LyingFile> {
        let inode = self.call(Op::Open)?.inode(name)?;
        let disk = self.clone();
        Ok(LyingFile { disk, inode })
    }

    fn open_to_change(&self, name: &str) -> io::Result<LyingFile> {
        self.open(name)
    }

    fn create(&self, name: &str) -> io::Result<LyingFile> {
        let mut world = self.change(Op::Create)?;
        if world.names.contains_key(name) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let inode = world.next_inode;
        world.next_inode += 1;
        world.inodes.insert(inode, Inode::default());
        world.names.insert(name.to_owned(), inode);
        drop(world);
        let disk = self.clone();
        Ok(LyingFile { disk, inode })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut world = self.change(Op::Rename)?;
        let inode = world.inode(from)?;
        if world.names.contains_key(to) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        world.names.remove(from);
        world.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut world = self.change(Op::Remove)?;
        world.inode(name)?;
        world.names.remove(name);
        Ok(())
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let mut world = self.change(Op::SyncFolder)?;
        let within = |name: &str| name.rsplit_once('/').map_or("", |(parent, _)| parent) == folder;
        let names = world.names.clone();
        world.durable_names.retain(|name, _| !within(name));
        let within = names.into_iter().filter(|(name, _)| within(name));
        world.durable_names.extend(within);
        Ok(())
    }

    fn space(&self) -> io::Result<Space> {
        let world = self.world();
        let total = world.faults.capacity().unwrap_or(1 << 40);
        let free = total.saturating_sub(world.used());
        Ok(Space { free, total })
    }

    fn path(&self, name: &str) -> PathBuf {
        PathBuf::from("lying").join(name)
    }

    fn fresh_id(&self) -> Uuid {
        let mut world = self.world();
        world.next_id = world.next_id.wrapping_add(1);
        let mut hasher = DefaultHasher::new();
        world.next_id.hash(&mut hasher);
        Uuid::from_u64_pair(world.next_id, hasher.finish())
    }

    fn life(&self) -> u64 {
        self.world().life + 1
    }

    fn astray(&mut self) -> Option<String> {
        self.world().is_away.then(|| "lying was moved".to_owned())
    }

    fn is_at(&self, file: &LyingFile, name: &str) -> bool {
        self.world().names.get(name) == Some(&file.inode)
    }
}

impl LyingFile {
    fn room(world: &World, inode: u64, end: u64) -> u64 {
        let length = world.inodes[&inode].seen.len() as u64;
        let others = world.used().saturating_sub(length);
        let most = world
            .faults
            .capacity()
            .map_or(u64::MAX, |all| all.saturating_sub(others));
        most.max(length).min(end)
    }
}

impl StoredFile for LyingFile {
    type Sync = later::Later;

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.disk.world().inodes[&self.inode].seen.len() as u64)
    }

    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let world = self.disk.call(Op::Read)?;
        let seen = &world.inodes[&self.inode].seen;
        let at = usize::try_from(offset)
            .unwrap_or(usize::MAX)
            .min(seen.len());
        let count = into.len().min(seen.len() - at);
        into[..count].copy_from_slice(&seen[at..at + count]);
        Ok(count)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut world = match self.disk.change(Op::Write) {
            Ok(world) => world,
            Err(error) => {
                // What fails may have written a part of it all the same.
                let mut world = self.disk.world();
                let part = &bytes[..bytes.len() / 2];
                let at = usize::try_from(offset).unwrap_or(usize::MAX);
                if world.faults.tears() {
                    world.inodes.entry(self.inode).or_default().write(part, at);
                }
                return Err(error);
            }
        };
        let most = world
            .faults
            .write_max()
            .unwrap_or(bytes.len())
            .min(bytes.len());
        let room = Self::room(&world, self.inode, offset + most as u64).saturating_sub(offset);
        let count = usize::try_from(room).unwrap_or(usize::MAX).min(most);
        if count == 0 && !bytes.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let longer = world.faults.file_max().unwrap_or(u64::MAX);
        let longer = usize::try_from(longer.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = count.min(longer);
        if count == 0 && !bytes.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let inode = world.inodes.entry(self.inode).or_default();
        inode.write(&bytes[..count], at);
        Ok(count)
    }

    fn truncate(&mut self, bytes: u64) -> io::Result<()> {
        let mut world = self.disk.change(Op::Truncate)?;
        let inode = world.inodes.entry(self.inode).or_default();
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        inode.truncate(length);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        match self.disk.change(Op::Sync) {
            Ok(mut world) => world.inodes.entry(self.inode).or_default().flush(),
            Err(error) => {
                self.disk.sync_failed(self.inode);
                return Err(error);
            }
        }
        Ok(())
    }

    fn later_sync(&self) -> io::Result<later::Later> {
        drop(self.disk.call(Op::LaterSync)?);
        Ok(later::Later::of(self))
    }

    fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        let mut world = self.disk.change(Op::Reserve)?;
        if world.faults.file_max().is_some_and(|most| most < bytes) {
            return Err(io::Error::from_raw_os_error(libc::EFBIG));
        }
        if Self::room(&world, self.inode, bytes) < bytes {
            return Err(io::Error::from_raw_os_error(libc::ENOSPC));
        }
        let length = usize::try_from(bytes).unwrap_or(usize::MAX);
        let inode = world.inodes.entry(self.inode).or_default();
        if inode.seen.len() < length {
            inode.seen.resize(length, 0);
        }
        Ok(())
    }
}
