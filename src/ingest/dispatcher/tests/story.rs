//! A Falco with an outbox, whose disk, time and transport are played.

use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::super::played::{Plan, Played, Time};
use crate::delivery::{self, OnRejected, Outcome, Peer, Refusal};
use crate::ingest::MemoPlace;
use crate::journal::played::{Dice, Fault, Lying, Op, Played as Writer};
use crate::journal::{self, OnFailure, Sync};
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest, OutboxVerb};

pub(super) const DAEMON: u64 = 1;

/// What happens at once takes as long.
const WHILE: Duration = Duration::from_millis(500);

pub(super) const FOR_GOOD: Refusal<'static> = Refusal {
    error: "not allowed",
    code: Some(40_160),
    retryable: Some(false),
};

/// An effect of the only lane.
pub(super) fn effect(number: u8) -> SideEffect {
    let id = Uuid::from_bytes([number; 16]);
    SideEffect {
        id: EffectId::from(id),
        lane: LaneKey::new("s"),
        route: None,
        key: IdempotencyKey::Uuid(id),
        operation: Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::from_static(b"{}").into(),
        },
        bytes: 100,
        is_ordered: false,
    }
}

/// Any other effect.
pub(super) fn another() -> SideEffect {
    let id = EffectId::random();
    SideEffect {
        id,
        key: IdempotencyKey::Uuid(id.as_uuid()),
        ..effect(0)
    }
}

pub(super) fn number(id: EffectId) -> u8 {
    id.as_uuid().as_bytes()[0]
}

pub(super) fn outbox(sync: Sync, on_failure: OnFailure) -> journal::Config {
    journal::Config {
        on_failure,
        low_water_bytes: 0,
        low_water_percent: 0,
        reserve_bytes: 0,
        ..journal::Config::with_sync(sync)
    }
}

/// An outbox that may be gone around.
pub(super) fn bypassing() -> journal::Config {
    outbox(Sync::INTERVAL, OnFailure::Bypass)
}

pub(super) struct Story {
    pub(super) disk: Lying,
    pub(super) time: Time,
    pub(super) falco: Played,
    /// What the transports have taken, in order.
    pub(super) published: Vec<u8>,
    config: journal::Config,
    plan: Plan,
    /// None once it has ended.
    writer: Option<Writer>,
    /// Whether the disk answers nothing.
    pub(super) hangs: bool,
    now: Duration,
}

impl Story {
    pub(super) fn new(config: journal::Config) -> Self {
        Self::with(config, Plan::default())
    }

    /// The same, and what is refused for good parks its lane.
    pub(super) fn parking(config: journal::Config) -> Self {
        let delivery = delivery::Config {
            on_rejected: OnRejected::Park,
            ..delivery::Config::default()
        };
        Self::with(
            config,
            Plan {
                delivery,
                ..Plan::default()
            },
        )
    }

    fn with(config: journal::Config, plan: Plan) -> Self {
        let plan = Plan {
            routes: vec!["other"],
            ..plan
        };
        let mut story = Self::open_on(
            Lying::default(),
            (config, plan),
            Time::new(),
            Duration::ZERO,
        );
        story.falco.restore_all(&story.time);
        story
    }

    /// What is on the disk is not read yet, and the journal is not open.
    pub(super) fn unopened(config: journal::Config) -> Self {
        let time = Time::new();
        let plan = Plan::default();
        let mut falco = Played::unopened(&time, &config, &plan, true);
        falco.open(DAEMON);
        Self {
            disk: Lying::default(),
            time,
            falco,
            published: Vec::new(),
            config,
            plan,
            writer: None,
            hangs: true,
            now: Duration::ZERO,
        }
    }

    /// Its disk answers, and it is read.
    pub(super) fn opens(&mut self) {
        let opened = Writer::open(&self.disk, &self.config, self.time.now());
        let (writer, journal, recovered) = opened.expect("it opens");
        self.writer = Some(writer);
        self.hangs = false;
        self.falco.recover(&self.time, (journal, recovered));
        self.falco.restore_all(&self.time);
    }

    /// What is on the disk was read, and is still to be taken over.
    fn open_on(
        disk: Lying,
        (config, plan): (journal::Config, Plan),
        time: Time,
        now: Duration,
    ) -> Self {
        let opened = Writer::open(&disk, &config, time.now());
        let (writer, journal, recovered) = opened.expect("it opens");
        let mut falco = Played::opened(&time, (journal, recovered), &config, &plan, true);
        falco.open(DAEMON);
        Self {
            disk,
            time,
            falco,
            published: Vec::new(),
            config,
            plan,
            writer: Some(writer),
            hangs: false,
            now,
        }
    }

    /// Its next life, on this disk.
    fn next(self, disk: Lying) -> Self {
        Self::open_on(disk, (self.config, self.plan), self.time, self.now)
    }

    /// The power goes, and Falco is started again.
    pub(super) fn power_cut(self, dice: u64) -> Self {
        let disk = self.disk.after_power_cut(&mut Dice(dice));
        let mut story = self.next(disk);
        story.falco.restore_all(&story.time);
        story
    }

    /// Falco alone is killed, and its next lives note at `memo` what they send.
    pub(super) fn killed_with(mut self, memo: MemoPlace) -> Self {
        self.plan.memo = Some(memo);
        self.killed()
    }

    /// Falco alone is killed.
    pub(super) fn killed(self) -> Self {
        let mut story = self.killed_and_unread();
        story.falco.restore_all(&story.time);
        story
    }

    /// The same, and its next life has taken over nothing yet.
    pub(super) fn killed_and_unread(self) -> Self {
        let disk = Lying::holding(&self.disk.files());
        self.next(disk)
    }

    /// Calls fail: `times` of them, after `nth` that do not.
    pub(super) fn fail(&self, op: Op, (nth, times): (u64, u64), errno: i32) {
        self.disk.fail(Fault {
            op,
            nth,
            times,
            errno,
        });
    }

    pub(super) fn end_journal(&mut self) {
        self.writer = None;
    }

    /// A while passes, in which the journal works.
    pub(super) fn pass(&mut self) {
        self.now += WHILE;
        self.time.advance_to(self.now);
        self.falco.wake(&self.time);
        self.work();
        self.falco.hear(&self.time);
    }

    /// The journal does what it was asked to, and nobody hears of it yet.
    pub(super) fn work(&mut self) {
        if let Some(writer) = self.writer.as_mut().filter(|_| !self.hangs) {
            writer.turn(self.time.now());
        }
    }

    pub(super) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.pass();
    }

    pub(super) fn pass_until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        for _ in 0..1000 {
            if is_so(self) {
                return;
            }
            self.pass();
        }
        panic!("it never came");
    }

    pub(super) fn submit(&mut self, effects: Vec<SideEffect>) {
        self.falco.submit(&self.time, DAEMON, effects);
        self.falco.advance(&self.time);
    }

    /// Submits them, and returns what becomes of each, in order.
    pub(super) fn offer(&mut self, effects: Vec<SideEffect>) -> Vec<Outcome> {
        let ids: Vec<_> = effects.iter().map(|effect| effect.id).collect();
        self.submit(effects);
        let mut acks = Vec::new();
        self.pass_until(|story| {
            acks.append(&mut story.falco.acks());
            acks.len() == ids.len()
        });
        let ack = |id| acks.iter().find(|ack| ack.1 == id).expect("its ack");
        ids.into_iter().map(|id| ack(id).2.clone()).collect()
    }

    /// The same, while transports take everything.
    pub(super) fn offer_and_deliver(&mut self, effects: Vec<SideEffect>) -> Vec<Outcome> {
        let ids: Vec<_> = effects.iter().map(|effect| effect.id).collect();
        self.submit(effects);
        self.deliver();
        let acks = self.falco.acks();
        let ack = |id| acks.iter().find(|ack| ack.1 == id).expect("its ack");
        ids.into_iter().map(|id| ack(id).2.clone()).collect()
    }

    /// Whether its id, with other bytes, is known to mean this effect.
    pub(super) fn is_conflict(&mut self, other: SideEffect) -> bool {
        let outcome = self.offer(vec![other]).remove(0);
        outcome.is_err_and(|failure| failure.to_string().starts_with("rejected: id_conflict"))
    }

    /// Effects that are kept.
    pub(super) fn keep(&mut self, effects: Vec<SideEffect>) {
        let outcomes = self.offer(effects);
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }

    pub(super) fn link(&mut self) {
        self.link_to(false);
    }

    /// To transports that take several at once.
    pub(super) fn link_with_batches(&mut self) {
        self.link_to(true);
    }

    fn link_to(&mut self, batches: bool) {
        let window = 8;
        for way in 0..self.falco.ways() {
            self.falco.link(way, Peer { batches, window });
        }
    }

    /// The transports take what comes, or refuse it.
    pub(super) fn answer(&mut self, refusal: Option<&Refusal<'_>>) {
        for way in 0..self.falco.ways() {
            while let Some(request) = self.falco.request(&self.time, way) {
                let id = request.id;
                let numbers = request.effects.iter().map(|effect| number(effect.id));
                if refusal.is_none() {
                    self.published.extend(numbers);
                }
                self.falco.answer(&self.time, (way, id), refusal);
            }
        }
    }

    /// A transport takes the first request, if there is one.
    pub(super) fn answer_first(&mut self) -> bool {
        for way in 0..self.falco.ways() {
            let Some(request) = self.falco.request(&self.time, way) else {
                continue;
            };
            let id = request.id;
            let numbers = request.effects.iter().map(|effect| number(effect.id));
            self.published.extend(numbers);
            self.falco.answer(&self.time, (way, id), None);
            return true;
        }
        false
    }

    /// Some time passes, in which transports take everything.
    pub(super) fn deliver(&mut self) {
        for _ in 0..30 {
            self.answer(None);
            self.pass();
        }
    }

    /// What an operator is told, if it is told by now.
    pub(super) fn ask_now(&mut self, request: OutboxRequest) -> Option<OutboxAnswer> {
        let mut told = self.falco.ask(&self.time, request);
        told.try_recv().ok()
    }

    /// What an operator is told at last.
    pub(super) fn ask(&mut self, request: OutboxRequest) -> OutboxAnswer {
        let mut told = self.falco.ask(&self.time, request);
        let mut answer = None;
        self.pass_until(|_| {
            answer = told.try_recv().ok();
            answer.is_some()
        });
        answer.expect("one")
    }

    /// The numbers of what is kept and no dead letter.
    pub(super) fn open(&mut self) -> Vec<u8> {
        let listed = self.ask_now(list()).expect("it is known");
        let open = listed.records.iter().filter(|record| record.dead.is_none());
        open.map(|record| number(record.id.parse().expect("an id")))
            .collect()
    }

    /// Why each dead letter is one.
    pub(super) fn dead(&mut self) -> Vec<(u8, String)> {
        let listed = self.ask_now(list()).expect("it is known");
        let dead = listed.records.into_iter().filter_map(|record| {
            let number = number(record.id.parse().expect("an id"));
            Some((number, record.dead?.error))
        });
        dead.collect()
    }
}

pub(super) fn list() -> OutboxRequest {
    let limit = 1000;
    OutboxRequest {
        limit,
        ..OutboxRequest::default()
    }
}

pub(super) fn asked(verb: OutboxVerb, ids: &[u8]) -> OutboxRequest {
    let ids = ids.iter().map(|number| effect(*number).id.to_string());
    OutboxRequest {
        verb,
        ids: ids.collect(),
        ..OutboxRequest::default()
    }
}
