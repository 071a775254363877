//! What goes in and out of Falco: frames, requests, answers, acks.

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};
use requests::{Meaning, Sent};

/// Frames that come soon after one another are read together.
const READ_EVERY: Time = 3 * MS;

/// How long an effect may wait for its answer, whatever holds it up.
const DEADLINE: Time = 16_500 * MS;

/// How long one may wait for a disk that works or fails at once: until the
/// journal's thread has come a few times, milliseconds apart.
const ON_DISK: Time = 100 * MS;

/// How much longer Falco waits than it lets the transport take.
const MARGIN: Time = 150 * MS;

impl Options {
    /// The effect a submission stands for.
    pub(super) fn effect(self, submission: Submission) -> SideEffect {
        let (session, number) = submission.message;
        let identity = Uuid::from_u128(u128::from(session) << 32 | u128::from(number));
        let attempt = u128::from(submission.attempt);
        let habit = self.habit(session);
        let (id, nonce) = if self.has_fresh_ids(session) {
            (Uuid::from_u128(1 << 100 | attempt), submission.attempt)
        } else {
            (identity, 0)
        };
        let mix = self.mix(session);
        let is_numbered = habit == Habit::Numbers || mix.is_numbered(number);
        let name = match (submission.is_imposter, is_numbered) {
            (true, _) => "other",
            (_, true) => "sequence_number",
            _ => "number",
        };
        let route = self.route(session);
        SideEffect {
            id: EffectId::from(id),
            lane: LaneKey::new(session.to_string()),
            route: (route > 0).then(|| OTHER_ROUTE.into()),
            key: IdempotencyKey::Uuid(identity),
            operation: self.operation(
                submission.message,
                &format!(r#"{{"{name}":{number},"nonce":{nonce}}}"#),
            ),
            bytes: EFFECT_BYTES,
            is_ordered: habit == Habit::Flag && mix.has_flag(number),
        }
    }

    fn operation(self, (session, number): Message, body: &str) -> Operation {
        let elsewhere = if self.mix(session).is_elsewhere(number) {
            ":elsewhere"
        } else {
            ""
        };
        let channel = format!("{session}{elsewhere}").into();
        let body = Bytes::from(body.to_owned());
        if self.sets_objects(session) {
            return Operation::ObjectSet {
                channel,
                key: "key".into(),
                value: body.into(),
            };
        }
        Operation::Publish {
            channel,
            event: "e".into(),
            payload: body.into(),
        }
    }
}

impl World {
    pub(super) fn take_frame(&mut self, submission: Submission) {
        let falco = &mut self.falco;
        // Its connection ended with the Falco it was made to.
        let is_late = submission.is_imposter
            && submission.connection != self.daemon.connection_of(submission.message.0);
        let is_gone = submission.connection < falco.first_connection || is_late;
        if is_gone || falco.is_stopping || !falco.program.is_running() {
            return;
        }
        let effect = self.options.effect(submission);
        let owed = (submission, self.now);
        falco.owed.insert(submission.attempt, owed);
        if !submission.is_imposter {
            // What an outbox has is not given up for that.
            if let Some(id) = self.record.untold(submission.message, falco.life)
                && self.options.outbox.is_none()
                && !falco.program.is_open(id)
            {
                self.record.given_up(submission.message, self.now);
            }
            self.record.came(&effect, submission.message);
            if self.options.outbox.is_some() {
                self.record.came_to_journal(submission.message, self.now);
            } else {
                self.record.order.came(submission);
            }
        }
        let is_first = falco.program.comes(submission, effect);
        self.turn_frames();
        if is_first {
            let takes = self.random.between(0, READ_EVERY);
            self.after(takes, Event::Read);
        }
        if self.is_troubled && std::mem::take(&mut self.falco.stops_unread) {
            self.stop_falco();
        }
    }

    /// Falco finds a connection closed.
    pub(super) fn close(&mut self, connection: u32) {
        let untold = self.falco.close(connection).into_iter();
        for submission in untold.filter(|submission| !submission.is_imposter) {
            let id = self.options.effect(submission).id;
            let life = self.falco.life;
            self.record.nobody_is_told(submission.message, id, life);
        }
    }

    pub(super) fn take_answer(&mut self, answer: &server::Answer) {
        let falco = &mut self.falco;
        let is_stale = (answer.life, answer.link) != falco.link_of(answer.way);
        if is_stale || !falco.is_linked(answer.way) {
            return;
        }
        let is_stopping = falco.is_stopping;
        self.learn(answer, is_stopping);
        let refusal = answer.refusal.map(|(code, retryable)| Refusal {
            error: "refused",
            code,
            retryable,
        });
        let to = (answer.way, answer.id);
        self.falco.program.answer(to, refusal.as_ref());
    }

    /// What Falco knows by an answer, and notes for the lives to come.
    fn learn(&mut self, answer: &server::Answer, is_stopping: bool) {
        let Record {
            requests, known, ..
        } = &mut self.record;
        let meaning = requests.answered(answer, self.now, is_stopping);
        let Sent { messages, ids, .. } = requests.get(answer.number);
        let remembers = !self.options.forgets();
        match meaning {
            Meaning::Published => {
                let is_kept = self.options.routes <= answer.way;
                known.published(messages, self.now, remembers || is_kept);
            }
            // A memo has nothing of object sets but what is settled.
            Meaning::PublishedLate if remembers && !self.options.sets_objects(messages[0].0) => {
                known.published_late(ids);
            }
            Meaning::PublishedLate | Meaning::Other => {}
        }
        if remembers {
            known.all_is_noted();
        }
    }

    pub(super) fn wake(&mut self) {
        let falco = &mut self.falco;
        if falco.wake_at.is_some_and(|at| at <= self.now) {
            falco.wake_at = None;
        }
        falco.program.wake();
    }

    /// What the dispatcher does after every event.
    pub(super) fn pump(&mut self) {
        self.send_requests();
        if self.dies_writing() {
            return;
        }
        let answers = self.falco.program.answers();
        for (submission, outcome) in self.told(answers) {
            let outcome = outcome.map_err(|failure| failure.class);
            self.give_ack(submission, outcome);
        }
        self.record.order.check();
        self.check_patience();
        self.end_in_peace();
        self.set_wake();
    }

    fn send_requests(&mut self) {
        loop {
            let mut has_sent = false;
            for way in 0..self.falco.program.ways() {
                while self.send_request(way) {
                    has_sent = true;
                }
            }
            // Whoever asks for requests may learn that one's time is over, and
            // that is settled before anything else happens.
            self.falco.program.advance();
            if !has_sent {
                return;
            }
        }
    }

    fn send_request(&mut self, way: usize) -> bool {
        let Some(request) = self.falco.program.request(way) else {
            return false;
        };
        for effect in &request.effects {
            self.record.check_effect(effect);
        }
        let record = &mut self.record;
        let timeout = u64::try_from(request.timeout.as_micros()).unwrap();
        // Its own verdict comes before that of whoever waits for it.
        let number = record
            .requests
            .sent(&request.effects, self.now + timeout + MARGIN);
        let Sent { messages, ids, .. } = record.requests.get(number);
        record.known.check(messages, ids);
        let messages = messages.clone();
        record.go_out(&messages);
        if !self.options.forgets() {
            record.check_not_acked(&messages);
        }
        if self.options.outbox.is_none() {
            record.order.goes_out(&messages);
        }
        let keys = request.effects.iter().map(|e| e.key.clone()).collect();
        let (id, base) = (request.id, request.base());
        let takes = self.random.between(10, 2000);
        let falco = &mut self.falco;
        falco.last_request = falco.last_request.max(self.now + takes);
        let (life, link) = falco.link_of(way);
        let request = server::Request {
            life,
            link,
            way,
            id,
            keys,
            base,
            number,
            messages,
            was_late: false,
        };
        let takes = falco.last_request - self.now;
        self.record.requests.on_its_way(&request, self.now);
        self.after(takes, Event::Request(request));
        true
    }

    fn give_ack(&mut self, submission: Submission, outcome: Result<(), Class>) {
        // Closed connections are owed nothing, and have nowhere to be told.
        let owed = self.falco.owed.remove(&submission.attempt);
        assert!(
            owed.is_some(),
            "{submission:?} was not asked, or was answered"
        );
        if submission.is_imposter {
            // An outbox is asked last, behind the gates and what a disk refuses.
            let is_kept = self.options.outbox.is_some();
            let is_true = |class| matches!(class, Class::Rejected | Class::ShuttingDown);
            let is_refused = outcome.is_err_and(|class| is_kept || is_true(class));
            assert!(is_refused, "{submission:?} was {outcome:?}");
            return;
        }
        self.record.order.answered(submission.message);
        match outcome {
            Ok(()) => self.record.promised(submission.message),
            Err(_) => self.record.given_up(submission.message, self.now),
        }
        // A daemon may be slow to read it, and Falco dies before.
        let is_slow = self.is_troubled && self.random.chance(150);
        let longest = if is_slow { SECOND } else { 3 * MS };
        let at = self.now + self.random.between(10, longest);
        let arrives = self.falco.ack_arrives(submission.connection, at);
        self.after(arrives - self.now, Event::Ack(submission, outcome));
    }

    /// Every submission is answered in bounded time from when it was read. With an
    /// outbox that is never gone around, nobody waits for a transport.
    fn check_patience(&self) {
        let is_kept = self.options.outbox.is_some_and(program::Options::keeps_all);
        let hangs = self.options.outbox.is_some_and(|outbox| 0 < outbox.hangs);
        let deadline = if is_kept && !hangs { ON_DISK } else { DEADLINE };
        for (submission, since) in self.falco.owed.values() {
            let waited = self.now - since;
            assert!(
                waited <= READ_EVERY + deadline,
                "{submission:?} waits for {waited} µs"
            );
        }
    }

    fn set_wake(&mut self) {
        let Some(due) = self.falco.program.due() else {
            return;
        };
        let due = u64::try_from(due.as_nanos().div_ceil(1000))
            .unwrap()
            .max(self.now);
        if self.falco.wake_at.is_none_or(|at| due < at) {
            self.falco.wake_at = Some(due);
            self.after(due - self.now, Event::Wake);
        }
    }
}
