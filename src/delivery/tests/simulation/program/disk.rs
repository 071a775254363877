//! What goes wrong with the disk of an outbox.

use nix::libc::{EIO, ENOSPC};

use super::Program;
use crate::journal::played::{Fault, Op};

impl Program {
    /// Writes are cut short where they are too long for it.
    pub(super) fn limit_writes(&self) {
        if let Some(outbox) = self.outbox {
            self.disk.set_write_max(outbox.write_max);
        }
    }

    /// Something goes wrong while it starts.
    pub(in super::super) fn disturb_start(&mut self) {
        if self.dice.below(3) > 0 {
            return;
        }
        let dice = &mut self.dice;
        let fault = Fault {
            op: [Op::List, Op::Open, Op::Read, Op::Sync, Op::Rename][dice.below(5)],
            nth: dice.below(8) as u64,
            times: 1,
            errno: EIO,
        };
        self.disk.fail(fault);
    }

    /// What the segments take, and the one that is made ready.
    pub(in super::super) fn disk_bytes(&self) -> u64 {
        self.disk.used_by("seg-") + self.disk.used_by("next-")
    }

    /// One more thing that is wrong with the disk.
    pub(super) fn break_disk(&mut self) {
        const OPS: [Op; 8] = [
            Op::Create,
            Op::Rename,
            Op::Remove,
            Op::SyncFolder,
            Op::Write,
            Op::Truncate,
            Op::Sync,
            Op::Read,
        ];
        if self.dice.below(4) == 0 {
            let room = self.dice.below(6000) as u64;
            return self.disk.set_capacity(Some(self.disk.used() + room));
        }
        let fault = Fault {
            op: OPS[self.dice.below(OPS.len())],
            nth: self.dice.below(6) as u64,
            times: 1 + self.dice.below(5) as u64,
            errno: [EIO, ENOSPC][self.dice.below(2)],
        };
        self.disk.fail(fault);
    }
}
