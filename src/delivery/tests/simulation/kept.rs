//! Falco with an outbox: its dispatcher, keeper and journal as they are, on a
//! disk that lies, fails, fills, and loses what was not synced.

use std::collections::BTreeSet;
use std::time::Duration;

use nix::libc::{EIO, ENOSPC};

use super::*;
use crate::ingest::played::{self, Played};
use crate::journal::played::{Dice, Fault, Lying, Op, Played as Writer};
use crate::journal::{self, OnFailure, Sync};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest, OutboxVerb};

/// No story is as long.
const FAR: Duration = Duration::from_secs(3600);

/// What this story's outbox is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    is_synced: bool,
    bypasses: bool,
    bytes_max: u64,
    /// At most so many bytes go with one write.
    write_max: usize,
    /// Milliseconds between two faults of the disk, about.
    faults_every: u64,
    /// Of a thousand deaths, how many take the power with them.
    power_cuts: u64,
    seed: u64,
}

impl Options {
    pub(super) fn of(random: &mut Random) -> Self {
        let is_synced = random.chance(600);
        Self {
            is_synced,
            bypasses: random.chance(500),
            // Twice what all dead letters take: else it may be full for good.
            bytes_max: random.between(20_000, 60_000),
            write_max: usize::from(random.small(7, 250)) * 32,
            faults_every: random.between(100, 8_000),
            // Without a sync before the ack, a power cut may take some back.
            power_cuts: if is_synced { 500 } else { 0 },
            seed: random.between(0, u64::MAX - 1),
        }
    }

    fn journal(self) -> journal::Config {
        let sync = if self.is_synced {
            Sync::Always
        } else {
            Sync::INTERVAL
        };
        journal::Config {
            on_failure: if self.bypasses {
                OnFailure::Bypass
            } else {
                OnFailure::Exit
            },
            bytes_max: self.bytes_max,
            segment_bytes_max: 2500,
            dedupe_horizon: Duration::from_secs(20),
            low_water_bytes: 0,
            low_water_percent: 0,
            reserve_bytes: 4096,
            ..journal::Config::with_sync(sync)
        }
    }
}

/// A Falco that lives.
struct Life {
    falco: Played,
    writer: Writer,
}

pub(super) struct Kept {
    options: Options,
    disk: Lying,
    dice: Dice,
    time: played::Time,
    life: Option<Life>,
    /// Frames that came together.
    frames: Vec<(Submission, SideEffect)>,
    /// By connection and id.
    submitted: BTreeMap<(u64, EffectId), Submission>,
    /// When the journal's thread works next.
    turn_at: Option<Time>,
    /// It may have something to do.
    wants_turn: bool,
    asked: Option<Asked>,
    /// What an operator was refused to drop: the record of it may stand in a
    /// segment that could not be synced, and counts if Falco dies before the
    /// next segment says that it does not.
    undecided: BTreeSet<EffectId>,
}

/// What an operator wants, of which effects.
struct Asked {
    verb: OutboxVerb,
    ids: BTreeSet<EffectId>,
    answer: Answer,
}

type Answer = tokio::sync::oneshot::Receiver<OutboxAnswer>;

impl Kept {
    pub(super) fn new(options: Options) -> Self {
        let mut kept = Self {
            options,
            disk: Lying::default(),
            dice: Dice(options.seed),
            time: played::Time::new(),
            life: None,
            frames: Vec::new(),
            submitted: BTreeMap::new(),
            turn_at: None,
            wants_turn: true,
            asked: None,
            undecided: BTreeSet::new(),
        };
        kept.disk.set_write_max(options.write_max);
        assert!(kept.start(&Record::default()), "the disk is empty");
        kept.open(1);
        kept
    }

    /// Begins a life with what is on disk; whether that could be read.
    fn start(&mut self, record: &Record) -> bool {
        let config = self.options.journal();
        let now = self.time.now();
        let Ok((writer, journal, recovered)) = Writer::open(&self.disk, &config, now) else {
            return false;
        };
        assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
        record.check_recovered(&recovered);
        let falco = Played::new(&self.time, journal, &config, recovered, &[]);
        self.life = Some(Life { falco, writer });
        true
    }

    pub(super) fn is_running(&self) -> bool {
        self.life.is_some()
    }

    pub(super) fn advance_to(&mut self, now: Time) {
        self.time.advance_to(Duration::from_micros(now));
    }

    fn open(&mut self, connection: u32) {
        if let Some(life) = &mut self.life {
            life.falco.open(u64::from(connection));
        }
    }

    /// Something happened.
    pub(super) fn wants_turn(&mut self) {
        self.wants_turn = true;
    }

    pub(super) fn close(&mut self, connection: u32) {
        self.flush_frames();
        if let Some(life) = &mut self.life {
            life.falco.close(&self.time, u64::from(connection));
        }
        self.open(connection + 1);
    }

    /// Hands over the frames that came together, and lets the journal work in
    /// between, as a thread does.
    fn flush_frames(&mut self) {
        let Some(life) = &mut self.life else {
            return self.frames.clear();
        };
        assert!(life.falco.has_room() || life.falco.verdict().is_some());
        for (submission, effect) in std::mem::take(&mut self.frames) {
            let connection = u64::from(submission.connection);
            self.submitted.insert((connection, effect.id), submission);
            life.falco.submit(&self.time, connection, vec![effect]);
            if self.dice.below(4) == 0 {
                life.writer.turn(self.time.now());
            }
        }
        life.falco.advance(&self.time);
    }

    fn turn(&mut self) {
        self.turn_at = None;
        let Some(life) = &mut self.life else { return };
        life.writer.turn(self.time.now());
        // What it said may be heard later.
        self.wants_turn = self.dice.below(3) == 0 || life.falco.hear(&self.time);
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

    pub(super) fn link(&mut self, peer: Peer) {
        if let Some(life) = &mut self.life {
            life.falco.link(peer);
        }
    }

    pub(super) fn unlink(&mut self) {
        if let Some(life) = &mut self.life {
            life.falco.unlink(&self.time);
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
            let submission = self.submitted.remove(&(connection, id));
            answers.push((submission.expect("one ack for each submission"), outcome));
        }
        answers
    }

    fn ask(&mut self, verb: OutboxVerb, ids: &BTreeSet<EffectId>) -> Option<Answer> {
        let life = self.life.as_mut()?;
        let request = OutboxRequest {
            verb,
            ids: ids.iter().map(ToString::to_string).collect(),
            all: verb == OutboxVerb::Requeue,
            dead_only: false,
            limit: 1000,
            skip: 0,
        };
        Some(life.falco.ask(&self.time, request))
    }

    /// What is kept, and whether it is dead.
    fn list(&mut self) -> Option<BTreeMap<EffectId, bool>> {
        let answer = self.ask(OutboxVerb::List, &BTreeSet::new())?.try_recv();
        let records = answer.expect("at once").records.into_iter();
        let listed = records.map(|record| {
            let id = record.id.parse().expect("an id");
            (id, record.dead.is_some())
        });
        Some(listed.collect())
    }

    pub(super) fn dead(&mut self) -> Option<BTreeSet<EffectId>> {
        let dead = self.list()?.into_iter().filter(|(_, is_dead)| *is_dead);
        Some(dead.map(|(id, _)| id).collect())
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

    /// An operator was answered: what was dropped.
    fn decision(&mut self) -> Vec<EffectId> {
        let answer = self.asked.as_mut().map(|asked| asked.answer.try_recv());
        let Some(Ok(answer)) = answer else {
            return Vec::new();
        };
        let Some(Asked { verb, ids, .. }) = self.asked.take() else {
            return Vec::new();
        };
        assert_eq!(answer.refused, [""; 0]);
        if answer.error.is_some() {
            let dead = self.dead().expect("it runs");
            assert!(ids.is_subset(&dead), "a refused wish changed something");
            if verb == OutboxVerb::Drop {
                self.undecided.extend(ids);
            }
            return Vec::new();
        }
        self.undecided.clear();
        assert_eq!(answer.changed, ids.len() as u64);
        match verb {
            OutboxVerb::Drop => ids.into_iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Something goes wrong while it starts.
    fn disturb_start(&mut self) {
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

    /// One more thing that is wrong with the disk.
    fn break_disk(&mut self) {
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

impl World {
    /// Frames that come soon after one another are read together.
    pub(super) fn read(&mut self, submission: Submission, effect: SideEffect) {
        let Some(kept) = self.falco.kept() else {
            return;
        };
        kept.frames.push((submission, effect));
        if kept.frames.len() == 1 {
            let takes = self.random.between(0, 3000);
            self.after(takes, Event::Read);
        }
    }

    pub(super) fn flush_frames(&mut self) {
        if let Some(kept) = self.falco.kept() {
            kept.flush_frames();
        }
    }

    /// The journal's thread takes its turn; Falco may end of it.
    pub(super) fn turn_journal(&mut self) {
        let Some(kept) = self.falco.kept() else {
            return;
        };
        if kept.turn_at.is_some_and(|at| at <= self.now) {
            kept.turn();
        }
    }

    /// What follows every event.
    pub(super) fn settle_kept(&mut self) {
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
    pub(super) fn crash_kept(&mut self) {
        let is_cut = self.options.outbox.map_or(0, |outbox| outbox.power_cuts);
        let is_cut = self.random.chance(is_cut);
        let Some(kept) = self.falco.kept() else {
            return;
        };
        let mut dropped = std::mem::take(&mut kept.undecided);
        let asked = kept.asked.take().filter(|a| a.verb == OutboxVerb::Drop);
        dropped.extend(asked.into_iter().flat_map(|asked| asked.ids));
        self.record.died(&Vec::from_iter(dropped));
        kept.life = None;
        kept.frames.clear();
        kept.submitted.clear();
        kept.turn_at = None;
        kept.wants_turn = true;
        let files = kept.files();
        if is_cut {
            let disk = kept.disk.after_power_cut(&mut kept.dice);
            disk.set_write_max(kept.options.write_max);
            kept.disk = disk;
        }
        self.trace.add_files(&files);
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Start);
    }

    pub(super) fn start_falco(&mut self) {
        let is_troubled = self.is_troubled;
        let Some(kept) = self.falco.kept().filter(|kept| !kept.is_running()) else {
            return;
        };
        if is_troubled {
            kept.disturb_start();
        }
        if !kept.start(&self.record) {
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
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Linked);
    }

    pub(super) fn break_disk(&mut self) {
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

    pub(super) fn heal_disk(&mut self) {
        if let Some(kept) = self.falco.kept() {
            kept.disk.heal();
        }
    }

    /// Somebody looks at the dead letters.
    pub(super) fn operate(&mut self) {
        if !self.is_troubled {
            return;
        }
        let pause = self.random.between(1, 6000);
        self.after(pause * MS, Event::Operator);
        let drops = self.random.chance(400);
        let Some(kept) = self.falco.kept().filter(|kept| kept.asked.is_none()) else {
            return;
        };
        let Some(dead) = kept.dead().filter(|dead| !dead.is_empty()) else {
            return;
        };
        let (verb, ids) = if drops {
            (OutboxVerb::Drop, dead.into_iter().take(2).collect())
        } else {
            (OutboxVerb::Requeue, dead)
        };
        let answer = kept.ask(verb, &ids);
        kept.asked = answer.map(|answer| Asked { verb, ids, answer });
    }

    /// What is left at the end.
    pub(super) fn check_kept(&mut self) {
        let Some(kept) = self.falco.kept() else {
            return;
        };
        assert!(kept.is_drained(), "not all is published: {:?}", kept.list());
        self.trace.add_files(&kept.files());
        let dead = kept.dead().unwrap_or_default();
        self.record.check_dead(&dead);
    }
}
