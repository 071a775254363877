//! Falco without its sockets: its dispatcher and its memo as they are; with an
//! outbox also keeper and journal, on a disk that lies, fails, fills, and loses
//! what was not synced.

mod disk;
mod memo;
mod operator;
mod options;
mod world;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::*;
use crate::ingest::played::{self, Plan, Played};
use crate::journal::played::{Dice, Lying, Played as Writer};
use crate::journal::{Health, Journal};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;
pub(super) use memo::Files;
use memo::Memo;
use operator::Asked;
pub(super) use options::Options;

/// No story is as long.
const FAR: Duration = Duration::from_secs(3600);

/// A Falco that lives.
struct Life {
    falco: Played,
    held: Option<Held>,
}

/// What has its outbox.
struct Held {
    writer: Writer,
    journal: Journal,
}

pub(super) struct Program {
    outbox: Option<Options>,
    plan: Plan,
    memo: Option<Memo>,
    disk: Lying,
    dice: Dice,
    time: played::Time,
    life: Option<Life>,
    /// What is wrong with the story on purpose.
    flaw: Option<Flaw>,
    /// Frames that came together, and when.
    frames: Vec<(Submission, SideEffect, Instant)>,
    /// There was no room for them.
    waits: bool,
    /// By connection and id.
    submitted: BTreeMap<(u64, EffectId), Submission>,
    now: Time,
    /// The disk answers nothing before.
    hangs_until: Time,
    /// When the journal's thread works next.
    turn_at: Option<Time>,
    /// It may have something to do.
    wants_turn: bool,
    asked: Option<Asked>,
    /// The journal ends with the mark of a stop in peace.
    is_marked: bool,
    /// What an operator was refused to drop: the record of it may stand in a
    /// segment that could not be synced, and counts if Falco dies before the
    /// next segment says that it does not.
    undecided: BTreeSet<EffectId>,
    /// What lanes waited for that somebody opened: until the journal has that,
    /// nobody else can change it.
    opened: BTreeSet<EffectId>,
}

impl Program {
    pub(super) fn new(options: super::Options) -> Self {
        let mut program = Self {
            outbox: options.outbox,
            plan: Plan {
                routes: [OTHER_ROUTE][..options.routes - 1].to_vec(),
                delivery: options.delivery(),
                memo: None,
            },
            memo: Memo::of(options.memo),
            disk: Lying::default(),
            dice: Dice(options.dice),
            time: played::Time::new(),
            life: None,
            flaw: options.flaw,
            frames: Vec::new(),
            waits: false,
            submitted: BTreeMap::new(),
            now: 0,
            hangs_until: 0,
            turn_at: None,
            wants_turn: true,
            asked: None,
            is_marked: false,
            undecided: BTreeSet::new(),
            opened: BTreeSet::new(),
        };
        program.limit_writes();
        let is_begun = program.start(&Record::default(), false);
        assert!(is_begun, "the disk is empty");
        for connection in (1..).take(options.daemons) {
            program.open(connection);
        }
        program
    }

    /// Begins a life with what is on disk; whether that could be read.
    pub(super) fn start(&mut self, record: &Record, may_switch: bool) -> bool {
        self.plan.memo = self.memo.as_ref().map(Memo::place);
        let Some(options) = self.outbox else {
            let falco = Played::direct(&self.time, &self.plan);
            self.life = Some(Life { falco, held: None });
            return true;
        };
        let config = options.journal();
        let now = self.time.now();
        // Whoever tries to read it may have begun to write.
        let is_marked = std::mem::take(&mut self.is_marked);
        let Ok((mut writer, journal, recovered)) = Writer::open(&self.disk, &config, now) else {
            return false;
        };
        if options.hurries() {
            writer.hurry();
        }
        let report = &recovered.report;
        assert!(!report.is_corrupt(), "{report:?}");
        assert!(!is_marked || report.clean, "stopped in peace: {report:?}");
        record.check_recovered(&recovered);
        let records = !(may_switch && options.switches && self.dice.below(4) == 0);
        let opened = (journal.clone(), recovered);
        self.life = Some(Life {
            falco: Played::begin(&self.time, opened, &config, &self.plan, records),
            held: Some(Held { writer, journal }),
        });
        true
    }

    pub(super) fn is_running(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn advance_to(&mut self, now: Time) {
        self.now = now;
        self.time.advance_to(Duration::from_micros(now));
    }

    pub(super) fn open(&mut self, connection: u32) {
        if let Some(life) = &mut self.life {
            life.falco.open(u64::from(connection));
        }
    }

    pub(super) fn memo_files(&self) -> Files {
        self.memo.as_ref().map_or_else(Files::new, Memo::files)
    }

    /// Of what the memo was given since `before`, only a part is there.
    pub(super) fn cut_memo(&self, before: &Files, random: &mut Random) {
        if let Some(memo) = &self.memo {
            memo.cut(before, random);
        }
    }

    /// A frame came; whether it is the first of those that will be read together.
    pub(super) fn comes(&mut self, submission: Submission, effect: SideEffect) -> bool {
        self.frames.push((submission, effect, self.time.now().0));
        self.frames.len() == 1
    }

    /// Those that came together have come the other way round.
    pub(super) fn turn_frames(&mut self) {
        self.frames.reverse();
    }

    /// Whether there is room again for frames that wait for that.
    pub(super) fn may_read_on(&self) -> bool {
        let life = self.life.as_ref();
        self.waits && life.is_some_and(|life| life.falco.has_room())
    }

    /// What the lanes hold of each route, but for what is kept on disk.
    pub(super) fn held(&self) -> Vec<(Vec<Amount>, Amount)> {
        let life = self.life.as_ref();
        life.map_or_else(Vec::new, |life| life.falco.held().collect())
    }

    /// Something happened.
    pub(super) fn wants_turn(&mut self) {
        self.wants_turn = true;
    }

    pub(super) fn close(&mut self, connection: u32) {
        self.flush_frames();
        // There was no room for them, and nobody waits any more.
        self.frames
            .retain(|(submission, ..)| submission.connection != connection);
        if let Some(life) = &mut self.life {
            life.falco.close(&self.time, u64::from(connection));
        }
    }

    /// Hands over the frames that came together, if there is room, and lets the
    /// journal work in between, as a thread does.
    pub(super) fn flush_frames(&mut self) {
        let Some(life) = &mut self.life else {
            return self.frames.clear();
        };
        self.waits = !self.frames.is_empty() && !life.falco.has_room();
        if self.waits {
            return;
        }
        for (submission, effect, came) in std::mem::take(&mut self.frames) {
            let connection = u64::from(submission.connection);
            self.submitted.insert((connection, effect.id), submission);
            life.falco
                .submit_late(&self.time, connection, vec![effect], came);
            if let Some(held) = &mut life.held
                && self.dice.below(4) == 0
                && self.hangs_until <= self.now
            {
                _ = held.writer.turn(self.time.now());
            }
        }
        life.falco.advance(&self.time);
    }

    /// Whether the disk answers nothing now.
    fn hangs(&self) -> bool {
        self.now < self.hangs_until
    }

    fn turn(&mut self) {
        self.turn_at = None;
        if self.hangs() {
            return;
        }
        let Some(life) = &mut self.life else { return };
        let Some(held) = &mut life.held else { return };
        let was_asked = held.writer.turn(self.time.now());
        // What it said may be heard later.
        let is_heard = self.dice.below(3) != 0;
        self.wants_turn = !is_heard || life.falco.hear(&self.time) || was_asked;
    }

    pub(super) fn advance(&mut self) {
        if let Some(life) = &mut self.life {
            life.falco.advance(&self.time);
        }
    }

    pub(super) fn wake(&mut self) {
        if let Some(life) = &mut self.life {
            life.falco.wake(&self.time);
        }
    }

    pub(super) fn due(&self) -> Option<Duration> {
        let due = self.life.as_ref()?.falco.due()?;
        let due = self.time.since(due);
        // What is kept has a century.
        (due < FAR).then_some(due)
    }

    pub(super) fn link(&mut self, way: usize, peer: Peer) {
        if let Some(life) = &mut self.life {
            life.falco.link(way, peer);
        }
    }

    pub(super) fn unlink(&mut self, way: usize) {
        if let Some(life) = &mut self.life {
            life.falco.unlink(&self.time, way);
        }
    }

    /// It is to stop, with frames that it has not read.
    pub(super) fn stop(&mut self) {
        let Some(life) = &mut self.life else { return };
        let mut unread = Vec::new();
        for (submission, effect, _) in std::mem::take(&mut self.frames) {
            let from = u64::from(submission.connection);
            self.submitted.insert((from, effect.id), submission);
            unread.push((from, effect));
        }
        life.falco.stop(&self.time, unread);
    }

    /// Whether it has stopped.
    pub(super) fn is_done(&self) -> bool {
        let life = self.life.as_ref();
        life.is_some_and(|life| life.falco.is_done())
    }

    /// The last thing it does: it waits for its journal's end, though not for a
    /// disk that takes too long. Whether that has taken all it was given.
    fn close_in_peace(&mut self) -> bool {
        let Some(Life { falco, held }) = self.life.take() else {
            return false;
        };
        let Some(Held { writer, journal }) = held else {
            return !falco.end(&self.time, || {});
        };
        if self.hangs_until > self.now || self.dice.below(8) == 0 {
            falco.end_unheard(&self.time);
            return false;
        }
        let (now, mut closed) = (self.time.now(), None);
        falco.end(&self.time, || closed = writer.close(now));
        let closed = closed.expect("Falco waits for the end of its journal");
        let has_all = closed.is_ok() && journal.stats().owed == 0;
        self.is_marked = has_all && *journal.health().borrow() == Health::Ok;
        has_all
    }

    /// Whether all that was published from the outbox is noted, for good.
    fn has_noted_all(&self) -> bool {
        let noted = |life: &Life| {
            let held = life.held.as_ref();
            life.falco.is_written() && held.is_some_and(|held| held.writer.has_all())
        };
        self.life.as_ref().is_some_and(noted)
    }

    /// Nothing is left of a life but its disk, and of that what a power cut
    /// leaves.
    fn end(&mut self, is_cut: bool) {
        self.frames.clear();
        self.submitted.clear();
        self.turn_at = None;
        self.hangs_until = 0;
        self.wants_turn = true;
        if is_cut {
            let disk = self.disk.after_power_cut(&mut self.dice);
            self.disk = disk;
            self.limit_writes();
            if let Some(memo) = &mut self.memo {
                memo.lose_power();
            }
        }
    }

    pub(super) fn ways(&self) -> usize {
        self.life.as_ref().map_or(0, |life| life.falco.ways())
    }

    pub(super) fn request(&mut self, way: usize) -> Option<Request<'_>> {
        let life = self.life.as_mut()?;
        life.falco.request(&self.time, way)
    }

    pub(super) fn answer(&mut self, to: (usize, RequestId), refusal: Option<&Refusal<'_>>) {
        if let Some(life) = &mut self.life {
            life.falco.answer(&self.time, to, refusal);
        }
    }

    pub(super) fn answers(&mut self) -> Vec<(Submission, Outcome)> {
        let Some(life) = &mut self.life else {
            return Vec::new();
        };
        let mut answers = Vec::new();
        for (connection, id, outcome) in life.falco.acks() {
            let connection = connection + u64::from(self.flaw == Some(Flaw::TellsAnother));
            let submission = self.submitted.remove(&(connection, id));
            let Some(submission) = submission else {
                panic!("an answer to {id} on connection {connection} was not asked for there");
            };
            answers.push((submission, outcome));
        }
        answers
    }

    /// Whether an effect of a connection is on its way.
    pub(super) fn is_open(&self, id: EffectId) -> bool {
        let life = self.life.as_ref();
        life.is_some_and(|life| life.falco.is_open(id))
    }

    /// Whether nothing waits to be published.
    pub(super) fn is_drained(&self) -> bool {
        let life = self.life.as_ref();
        life.is_some_and(|life| life.falco.is_drained())
    }

    /// What is on disk, every byte of it.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        self.disk.files()
    }
}
