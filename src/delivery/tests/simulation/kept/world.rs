//! What happens to a Falco with an outbox, and to its disk.

use super::super::*;
use crate::protocol::envelope::SideEffect;

impl World {
    /// Frames that come soon after one another are read together.
    pub(in super::super) fn read(&mut self, submission: Submission, effect: SideEffect) {
        let Some(kept) = self.falco.kept() else {
            return;
        };
        kept.frames.push((submission, effect));
        if kept.frames.len() == 1 {
            let takes = self.random.between(0, 3000);
            self.after(takes, Event::Read);
        }
    }

    pub(in super::super) fn flush_frames(&mut self) {
        if let Some(kept) = self.falco.kept() {
            kept.flush_frames();
        }
    }

    /// The journal's thread takes its turn; Falco may end of it.
    pub(in super::super) fn turn_journal(&mut self) {
        let Some(kept) = self.falco.kept() else {
            return;
        };
        if kept.turn_at.is_some_and(|at| at <= self.now) {
            kept.turn();
        }
    }

    /// What follows every event.
    pub(in super::super) fn settle_kept(&mut self) {
        let now = self.now;
        let takes = self.random.between(20, 4000);
        let is_done = self.daemon.is_done();
        let Some(kept) = self.falco.kept() else {
            return;
        };
        self.record.dropped(&kept.decision());
        let Some(life) = &mut kept.life else { return };
        if life.falco.verdict().is_some() {
            return self.crash_falco();
        }
        let idle = kept.time.since(life.writer.due(kept.time.now()));
        let idle = u64::try_from(idle.as_micros()).unwrap_or(u64::MAX);
        let is_idle = idle >= now + 60 * SECOND || is_done && kept.is_drained();
        let due = match kept.wants_turn {
            true => now + takes,
            false if is_idle => return,
            false => idle.max(now + 20),
        };
        if kept.turn_at.is_none_or(|at| due < at) {
            kept.turn_at = Some(due);
            self.after(due - now, Event::Journal);
        }
    }

    /// Falco is gone, and perhaps the power.
    pub(in super::super) fn crash_kept(&mut self) {
        let is_cut = self.options.outbox.map_or(0, |outbox| outbox.power_cuts);
        let is_cut = self.random.chance(is_cut);
        let Some(kept) = self.falco.kept() else {
            return;
        };
        self.record.died(&kept.undecided());
        kept.life = None;
        self.trace.add_files(&kept.files());
        kept.end(is_cut);
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Start);
    }

    /// Falco has stopped, and perhaps the whole machine.
    pub(in super::super) fn stop_kept(&mut self) {
        let is_cut = self.random.chance(500);
        let Some(kept) = self.falco.kept() else {
            return;
        };
        let undecided = kept.undecided();
        let in_peace = kept.close_in_peace();
        // Else it may not have noted what was published.
        if in_peace {
            self.record.dropped(&undecided);
        } else {
            self.record.died(&undecided);
        }
        self.trace.add_files(&kept.files());
        kept.end(is_cut && in_peace);
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Start);
    }

    pub(in super::super) fn start_falco(&mut self) {
        let is_troubled = self.is_troubled;
        let Some(kept) = self.falco.kept().filter(|kept| !kept.is_running()) else {
            return;
        };
        if is_troubled {
            kept.disturb_start();
        }
        if !kept.start(&self.record, is_troubled) {
            let pause = self.random.between(0, SECOND);
            return self.after(pause, Event::Start);
        }
        // Whoever tried to connect meanwhile was refused.
        self.falco.first_connection = self.daemon.connection + 1;
        self.hang_up_on_daemon();
        let connection = self.daemon.connection;
        if let Some(kept) = self.falco.kept() {
            kept.open(connection);
        }
        self.link_soon();
    }

    pub(in super::super) fn break_disk(&mut self) {
        let Some(outbox) = self.options.outbox.filter(|_| self.is_troubled) else {
            return;
        };
        if let Some(kept) = self.falco.kept() {
            if kept.dice.below(3) == 0 {
                kept.disk.heal();
            } else {
                kept.break_disk();
            }
        }
        let pause = self.random.between(0, 2 * outbox.faults_every);
        self.after(pause * MS, Event::DiskFault);
    }

    pub(in super::super) fn heal_disk(&mut self) {
        if let Some(kept) = self.falco.kept() {
            kept.disk.heal();
        }
    }

    /// What is left at the end.
    pub(in super::super) fn check_kept(&mut self) {
        let Some(kept) = self.falco.kept() else {
            return;
        };
        assert!(kept.is_drained(), "not all is published: {:?}", kept.list());
        self.trace.add_files(&kept.files());
        let dead = kept.dead().unwrap_or_default();
        self.record.check_dead(&dead);
    }
}
