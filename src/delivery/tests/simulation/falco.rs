//! Falco without its sockets: what its dispatcher does, in virtual time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::clock::BootTime;
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// How long a stop waits for answers.
const GRACE: Time = 2 * SECOND;

pub(super) struct Falco {
    options: Options,
    start: Instant,
    /// Counts its lives.
    pub life: u32,
    /// Its connections to the transports, one on each way.
    links: Vec<Link>,
    is_stopping: bool,
    /// Connections before this one ended with an earlier life.
    pub first_connection: u32,
    body: Body,
    pub wake_at: Option<Time>,
    /// Frames arrive in order.
    last_frame: Time,
    /// So do requests, at the transport.
    last_request: Time,
    /// What it owes an answer, and since when.
    pub owed: BTreeMap<u32, (Submission, Time)>,
}

/// A connection to a transport.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    /// Counts those of its way.
    number: u32,
    is_up: bool,
}

/// What decides.
enum Body {
    Direct(Box<Direct>),
    Kept(Box<Kept>),
}

struct Direct {
    admission: Admission<Submission>,
    lanes: Lanes<Ticket>,
}

impl Direct {
    fn new(options: Options) -> Self {
        Self {
            admission: Admission::new(),
            lanes: Lanes::new(Config {
                lane_effects_max: options.lane_effects_max,
                ..Config::default()
            }),
        }
    }
}

impl Falco {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            start: Instant::now(),
            life: 0,
            links: vec![Link::default(); options.ways()],
            is_stopping: false,
            first_connection: 0,
            body: match options.outbox {
                None => Body::Direct(Box::new(Direct::new(options))),
                Some(outbox) => Body::Kept(Box::new(Kept::new(outbox, options.routes))),
            },
            wake_at: None,
            last_frame: 0,
            last_request: 0,
            owed: BTreeMap::new(),
        }
    }

    fn instant(&self, now: Time) -> Instant {
        self.start + Duration::from_micros(now)
    }

    pub(super) fn frame_arrives(&mut self, now: Time, takes: Time) -> Time {
        self.last_frame = self.last_frame.max(now + takes);
        self.last_frame
    }

    /// The outbox, where there is one.
    pub(super) fn kept(&mut self) -> Option<&mut Kept> {
        match &mut self.body {
            Body::Kept(kept) => Some(kept),
            Body::Direct(_) => None,
        }
    }

    /// Its life is over, and all its connections end.
    fn end(&mut self, connection: u32) {
        self.life += 1;
        self.owed.clear();
        self.wake_at = None;
        self.is_stopping = false;
        for link in &mut self.links {
            link.is_up = false;
        }
        self.first_connection = connection + 1;
        if let Body::Direct(direct) = &mut self.body {
            **direct = Direct::new(self.options);
        }
    }

    pub(super) fn close(&mut self, connection: u32) {
        match &mut self.body {
            Body::Direct(direct) => {
                let producer = Producer(u64::from(connection));
                direct.admission.handle_closed(producer);
            }
            Body::Kept(kept) => kept.close(connection),
        }
        self.owed
            .retain(|_, (submission, _)| submission.connection != connection);
    }

    /// Names the connection that a way has now.
    pub(super) fn link_of(&self, way: usize) -> (u32, u32) {
        (self.life, self.links[way].number)
    }

    /// The effect a submission stands for.
    pub(super) fn effect(&self, submission: Submission) -> SideEffect {
        let (session, number) = submission.message;
        let identity = Uuid::from_u128(u128::from(session) << 32 | u128::from(number));
        let attempt = u128::from(submission.attempt);
        let habit = self.options.habit(session);
        let is_ordered = habit == Habit::Flag;
        let (id, nonce) = if self.options.fresh_ids && !is_ordered {
            (Uuid::from_u128(1 << 100 | attempt), submission.attempt)
        } else {
            (identity, 0)
        };
        let name = match habit {
            Habit::Numbers => "sequence_number",
            _ => "number",
        };
        let payload = format!(r#"{{"{name}":{number},"nonce":{nonce}}}"#);
        let route = self.options.route(session);
        SideEffect {
            id: EffectId::from(id),
            lane: LaneKey::new(session.to_string()),
            route: (route > 0).then(|| OTHER_ROUTE.into()),
            key: IdempotencyKey::Uuid(identity),
            operation: Operation::Publish {
                channel: session.to_string().into(),
                event: "e".into(),
                payload: Bytes::from(payload),
            },
            bytes: 100,
            is_ordered,
        }
    }
}

fn boot_time(now: Time) -> BootTime {
    BootTime::default().after(Duration::from_micros(now))
}

/// The message an effect stands for.
fn message(effect: &Effect) -> Message {
    message_with(&effect.key)
}

impl World {
    pub(super) fn take_frame(&mut self, submission: Submission) {
        // Its connection ended with the Falco it was made to.
        if submission.connection < self.falco.first_connection || self.falco.is_stopping {
            return;
        }
        let falco = &mut self.falco;
        let now = falco.instant(self.now);
        let effect = falco.effect(submission);
        let direct = match &mut falco.body {
            Body::Direct(direct) => direct,
            Body::Kept(kept) => {
                if !kept.is_running() {
                    return;
                }
                let owed = (submission, self.now);
                falco.owed.insert(submission.attempt, owed);
                self.record.came(&effect, submission.message);
                return self.read(submission, effect);
            }
        };
        let owed = (submission, self.now);
        falco.owed.insert(submission.attempt, owed);
        self.record.came(&effect, submission.message);
        let producer = Producer(u64::from(submission.connection));
        let time = boot_time(self.now);
        let admitted = direct
            .admission
            .handle_submit(effect, producer, submission, time);
        if let Some(admitted) = admitted {
            let Admitted {
                effect,
                place,
                ticket,
            } = admitted;
            direct
                .lanes
                .handle_submit(Submitted::new(effect, place, ticket, now));
        }
    }

    pub(super) fn take_answer(&mut self, answer: &server::Answer) {
        let falco = &mut self.falco;
        let is_stale = (answer.life, answer.link) != falco.link_of(answer.way);
        if is_stale || !falco.links[answer.way].is_up {
            return;
        }
        let now = falco.instant(self.now);
        self.record.answered(answer);
        let refusal = answer.refusal.map(|(code, retryable)| Refusal {
            error: "refused",
            code,
            retryable,
        });
        match (&mut falco.body, &refusal) {
            (Body::Direct(direct), None) => direct.lanes.handle_accepted(answer.id),
            (Body::Direct(direct), Some(refusal)) => {
                direct.lanes.handle_refused(answer.id, refusal, now);
            }
            (Body::Kept(kept), refusal) => {
                kept.answer((answer.way, answer.id), refusal.as_ref());
            }
        }
    }

    pub(super) fn wake(&mut self) {
        let falco = &mut self.falco;
        if falco.wake_at.is_some_and(|at| at <= self.now) {
            falco.wake_at = None;
        }
        let now = falco.instant(self.now);
        match &mut falco.body {
            Body::Direct(direct) => {
                direct.lanes.handle_timeout(now);
                direct.admission.handle_timeout(boot_time(self.now));
            }
            Body::Kept(kept) => kept.wake(),
        }
    }

    pub(super) fn link(&mut self, way: usize) {
        let falco = &mut self.falco;
        let lives = falco.kept().is_none_or(|kept| kept.is_running());
        let link = &mut falco.links[way];
        if link.is_up || !lives {
            return;
        }
        link.is_up = true;
        link.number += 1;
        let peer = Peer {
            batches: self.options.batches,
            window: 8192,
        };
        match &mut falco.body {
            Body::Direct(direct) => direct.lanes.handle_connected(peer),
            Body::Kept(kept) => kept.link(way, peer),
        }
    }

    /// Falco finds a transport on every way, sooner or later.
    pub(super) fn link_soon(&mut self) {
        for way in 0..self.options.ways() {
            let pause = self.random.between(0, SECOND);
            self.after(pause, Event::Linked(way));
        }
    }

    /// The connection between Falco and a transport ends.
    pub(super) fn unlink(&mut self, way: usize) {
        let falco = &mut self.falco;
        if !falco.links[way].is_up {
            return;
        }
        falco.links[way].is_up = false;
        let now = falco.instant(self.now);
        match &mut falco.body {
            Body::Direct(direct) => direct.lanes.handle_disconnected(now),
            Body::Kept(kept) => kept.unlink(way),
        }
        let pause = self.random.between(0, 2 * SECOND);
        self.after(pause, Event::Linked(way));
    }

    /// Falco dies, with what it knows; all its connections end.
    pub(super) fn crash_falco(&mut self) {
        if self.falco.kept().is_some_and(|kept| !kept.is_running()) {
            return;
        }
        self.record.forgot(self.daemon.open_messages());
        self.falco.end(self.daemon.connection);
        if self.falco.kept().is_some() {
            return self.crash_kept();
        }
        self.hang_up_on_daemon();
        self.link_soon();
    }

    /// Falco is asked to stop.
    pub(super) fn stop_falco(&mut self) {
        let falco = &mut self.falco;
        let lives = falco.kept().is_none_or(|kept| kept.is_running());
        if !lives || std::mem::replace(&mut falco.is_stopping, true) {
            return;
        }
        match &mut falco.body {
            Body::Direct(direct) => direct.lanes.handle_shutdown(),
            // It knows itself how long to wait.
            Body::Kept(kept) => return kept.stop(),
        }
        let life = falco.life;
        self.after(GRACE, Event::GraceOver(life));
    }

    /// Answers are waited for no more.
    pub(super) fn end_grace(&mut self, life: u32) {
        let falco = &mut self.falco;
        if let Body::Direct(direct) = &mut falco.body
            && falco.is_stopping
            && falco.life == life
        {
            direct.lanes.handle_shutdown_deadline();
        }
    }

    /// Falco has stopped, if it was to and nothing is on its way any more.
    fn end_in_peace(&mut self) {
        let falco = &mut self.falco;
        let is_over = match &falco.body {
            Body::Direct(direct) => direct.lanes.is_empty(),
            Body::Kept(kept) => kept.is_done(),
        };
        if !falco.is_stopping || !is_over {
            return;
        }
        assert!(falco.owed.is_empty(), "not answered: {:?}", falco.owed);
        if let Body::Direct(_) = &falco.body {
            // A daemon that died may not have had its last acks, and nobody else
            // knows of them here.
            self.record.forgot(self.daemon.open_messages());
        }
        let connection = self.daemon.connection;
        falco.end(connection);
        // Behind the last acks.
        self.after(4 * MS, Event::HungUp(connection));
        if self.falco.kept().is_some() {
            self.stop_kept();
        } else {
            self.link_soon();
        }
    }

    /// What the dispatcher does after every event.
    pub(super) fn pump(&mut self) {
        self.send_requests();
        let time = boot_time(self.now);
        let told = match &mut self.falco.body {
            Body::Direct(direct) => {
                while let Some(settled) = direct.lanes.poll_settled() {
                    direct.admission.handle_settled(settled, time);
                }
                direct.admission.handle_told();
                let answers = std::iter::from_fn(|| direct.admission.poll_answer());
                answers
                    .map(|answer| (answer.origin, answer.outcome))
                    .collect()
            }
            Body::Kept(kept) => kept.answers(),
        };
        for (submission, outcome) in told {
            let outcome = outcome.map_err(|failure| failure.class);
            self.give_ack(submission, outcome);
        }
        self.check_patience();
        self.end_in_peace();
        self.set_wake();
    }

    fn send_requests(&mut self) {
        let ways = match &self.falco.body {
            Body::Direct(_) => 1,
            Body::Kept(kept) => kept.ways(),
        };
        loop {
            let mut has_sent = false;
            for way in 0..ways {
                while self.send_request(way) {
                    has_sent = true;
                }
            }
            // Whoever asks for requests may learn that one's time is over, and
            // that is settled before anything else happens.
            if let Some(kept) = self.falco.kept() {
                kept.advance();
            }
            if !has_sent {
                return;
            }
        }
    }

    fn send_request(&mut self, way: usize) -> bool {
        let now = self.falco.instant(self.now);
        let request = match &mut self.falco.body {
            Body::Direct(direct) => direct.lanes.poll_request(now),
            Body::Kept(kept) => kept.request(way),
        };
        let Some(request) = request else {
            return false;
        };
        for effect in &request.effects {
            self.record.check_effect(effect);
        }
        let messages: Vec<_> = request.effects.iter().map(|e| message(e)).collect();
        let keys = request.effects.iter().map(|e| e.key.clone()).collect();
        let (id, base) = (request.id, request.base());
        let timeout = u64::try_from(request.timeout.as_micros()).unwrap();
        let number = self.record.sent(&messages);
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
        let times = (self.now, self.now + timeout);
        self.record.on_its_way(&request, times);
        self.after(takes, Event::Request(request));
        true
    }

    fn give_ack(&mut self, submission: Submission, outcome: Result<(), Class>) {
        let owed = self.falco.owed.remove(&submission.attempt);
        if outcome.is_ok() {
            self.record.promised(submission.message);
        }
        // A connection that is closed is owed nothing.
        if owed.is_some() {
            let takes = self.soon();
            self.after(takes, Event::Ack(submission, outcome));
        }
    }

    /// Every submission is answered in bounded time: an effect's deadline, and
    /// what the disk takes before it if it goes around that.
    fn check_patience(&self) {
        let on_disk = if self.options.outbox.is_some() {
            500
        } else {
            0
        };
        for (submission, since) in self.falco.owed.values() {
            let waited = self.now - since;
            assert!(
                waited <= (16_500 + on_disk) * MS,
                "{submission:?} waits for {waited} µs"
            );
        }
    }

    fn set_wake(&mut self) {
        let start = self.falco.start;
        let due = match &self.falco.body {
            Body::Direct(direct) => {
                let due = direct.lanes.poll_timeout();
                due.map(|due| due.saturating_duration_since(start))
            }
            Body::Kept(kept) => kept.due(),
        };
        let Some(due) = due else {
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
