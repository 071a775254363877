//! A sync that is done later, and makes durable only what was written when it was
//! asked for: a disk need not do more.

use std::io;

use super::super::LaterSync;
use super::{Inode, Lying, LyingFile, Op};

/// See the module.
#[derive(Debug)]
pub(crate) struct Later {
    disk: Lying,
    inode: u64,
    /// The file as it was.
    then: Inode,
}

impl Later {
    pub(super) fn of(file: &LyingFile) -> Self {
        let then = file.disk.world().inodes[&file.inode].clone();
        Self {
            disk: file.disk.clone(),
            inode: file.inode,
            then,
        }
    }
}

impl LaterSync for Later {
    fn sync(self) -> io::Result<()> {
        let Self { disk, inode, then } = self;
        match disk.change(Op::Sync) {
            Ok(mut world) => world.inodes.entry(inode).or_default().flush_as_of(then),
            Err(error) => {
                disk.sync_failed(inode);
                return Err(error);
            }
        }
        Ok(())
    }
}
