//! What happens to a Falco with an outbox, and to its disk.

use super::super::*;

impl World {
    /// The journal's thread takes its turn; Falco may end of it.
    pub(in super::super) fn turn_journal(&mut self) {
        let program = &mut self.falco.program;
        if program.turn_at.is_some_and(|at| at <= self.now) {
            program.turn();
            if program.has_noted_all() {
                self.record.known.all_is_noted();
            }
        }
    }

    /// What follows every event.
    pub(in super::super) fn settle_journal(&mut self) {
        let now = self.now;
        if self.options.outbox.is_none() {
            return;
        }
        let takes = self.random.between(20, 4000);
        let is_done = self.daemon.is_done();
        let program = &mut self.falco.program;
        self.record.dropped(&program.decision());
        let Some(life) = &mut program.life else {
            return;
        };
        if life.falco.verdict().is_some() {
            return self.crash_falco();
        }
        let Some(held) = &life.held else { return };
        let idle = program.time.since(held.writer.due(program.time.now()));
        let idle = u64::try_from(idle.as_micros()).unwrap_or(u64::MAX);
        let is_idle = idle >= now + 60 * SECOND || is_done && program.is_drained();
        let due = match program.wants_turn {
            _ if program.hangs() => program.hangs_until,
            true => now + takes,
            false if is_idle => return,
            false => idle.max(now + 20),
        };
        if program.turn_at.is_none_or(|at| due < at) {
            program.turn_at = Some(due);
            self.after(due - now, Event::Journal);
        }
    }

    /// Falco is gone, and perhaps the power.
    pub(in super::super) fn crash_program(&mut self) {
        let is_cut = self.options.outbox.map_or(0, |outbox| outbox.power_cuts);
        let is_cut = self.random.chance(is_cut);
        let program = &mut self.falco.program;
        // What an operator wanted to drop may be gone.
        self.record.dropped(&program.undecided());
        program.life = None;
        self.trace.add_files(|| program.files());
        program.end(is_cut);
        self.forget_life(true, is_cut);
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Start);
    }

    /// Falco has stopped, and perhaps the whole machine.
    pub(in super::super) fn stop_program(&mut self) {
        let is_cut = self.options.outbox.is_some() && self.random.chance(500);
        let program = &mut self.falco.program;
        let undecided = program.undecided();
        // A disk that takes nothing more has not what was published last.
        let in_peace = program.close_in_peace();
        self.record.dropped(&undecided);
        self.trace.add_files(|| program.files());
        let is_cut = is_cut && in_peace;
        program.end(is_cut);
        if in_peace {
            self.record.known.all_is_noted();
        }
        self.forget_life(!in_peace, is_cut);
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Start);
    }

    /// What only the life knew that is over, nobody does.
    fn forget_life(&mut self, has_died: bool, is_cut: bool) {
        let is_kept = self.options.outbox.is_some();
        let lost: Vec<Message> = if is_kept && has_died {
            // Also what its daemon has been told of may go out again.
            self.daemon.messages().collect()
        } else if self.options.forgets() {
            // A daemon that died may not have had its last acks.
            self.daemon.open_messages().collect()
        } else {
            Vec::new()
        };
        // A memo knows that of what it has room for, until the power goes.
        if is_cut || self.options.memo != Memory::All {
            self.record.lost_company(&lost);
        }
        self.record.forgot(lost.into_iter());
        self.record.known.end_life();
        self.record.order = Order::default();
    }

    pub(in super::super) fn break_disk(&mut self) {
        let Some(outbox) = self.options.outbox.filter(|_| self.is_troubled) else {
            return;
        };
        let program = &mut self.falco.program;
        if 0 < outbox.hangs && program.dice.below(8) == 0 {
            let time = self.random.between(0, outbox.hangs);
            program.hangs_until = self.now + time;
        } else if program.dice.below(3) == 0 {
            program.disk.heal();
        } else {
            program.break_disk();
        }
        let pause = self.random.between(0, 2 * outbox.faults_every);
        self.after(pause * MS, Event::DiskFault);
    }

    pub(in super::super) fn heal_disk(&mut self) {
        self.falco.program.disk.heal();
        self.falco.program.hangs_until = 0;
    }

    /// What is left at the end.
    pub(in super::super) fn check_kept(&mut self) {
        if self.options.outbox.is_none() {
            return;
        }
        let program = &mut self.falco.program;
        let is_drained = program.is_drained();
        assert!(is_drained, "not all is published: {:?}", program.list());
        self.trace.add_files(|| program.files());
        let dead = program.dead().unwrap_or_default();
        self.record.check_dead(&dead);
    }
}
