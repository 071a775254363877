//! Falco without its sockets: what its dispatcher does, in virtual time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::clock::BootTime;
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

pub(super) struct Falco {
    options: Options,
    start: Instant,
    /// Counts its lives.
    pub life: u32,
    /// Counts its connections to the transport.
    pub link: u32,
    pub is_linked: bool,
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
            link: 0,
            is_linked: false,
            first_connection: 0,
            body: match options.outbox {
                None => Body::Direct(Box::new(Direct::new(options))),
                Some(outbox) => Body::Kept(Box::new(Kept::new(outbox))),
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

    /// The effect a submission stands for.
    pub(super) fn effect(&self, submission: Submission) -> SideEffect {
        let (session, number) = submission.message;
        let identity = Uuid::from_u128(u128::from(session) << 32 | u128::from(number));
        let attempt = u128::from(submission.attempt);
        let (id, nonce) = if self.options.fresh_ids {
            (Uuid::from_u128(1 << 100 | attempt), submission.attempt)
        } else {
            (identity, 0)
        };
        let payload = format!(r#"{{"sequence_number":{number},"nonce":{nonce}}}"#);
        SideEffect {
            id: EffectId::from(id),
            lane: LaneKey::new(session.to_string()),
            route: None,
            key: IdempotencyKey::Uuid(identity),
            operation: Operation::Publish {
                channel: session.to_string().into(),
                event: "e".into(),
                payload: Bytes::from(payload),
            },
            bytes: 100,
            is_ordered: false,
        }
    }
}

fn boot_time(now: Time) -> BootTime {
    BootTime::default().after(Duration::from_micros(now))
}

/// The message an effect stands for.
fn message(effect: &Effect) -> Message {
    let session = effect.operation.channel().parse().unwrap();
    let number = effect.operation.sequence_number().unwrap();
    (session, u32::try_from(number).unwrap())
}

impl World {
    pub(super) fn take_frame(&mut self, submission: Submission) {
        // Its connection ended with the Falco it was made to.
        if submission.connection < self.falco.first_connection {
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
                self.record.named(effect.id, submission.message);
                return self.read(submission, effect);
            }
        };
        let owed = (submission, self.now);
        falco.owed.insert(submission.attempt, owed);
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
            direct.lanes.handle_submit(effect, place, ticket, now);
        }
    }

    pub(super) fn take_answer(&mut self, answer: &server::Answer) {
        let falco = &mut self.falco;
        if (answer.life, answer.link) != (falco.life, falco.link) || !falco.is_linked {
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

    pub(super) fn link(&mut self) {
        let falco = &mut self.falco;
        let lives = falco.kept().is_none_or(|kept| kept.is_running());
        if falco.is_linked || !lives {
            return;
        }
        falco.is_linked = true;
        falco.link += 1;
        let peer = Peer {
            batches: self.options.batches,
            window: 8192,
        };
        match &mut falco.body {
            Body::Direct(direct) => direct.lanes.handle_connected(peer),
            Body::Kept(kept) => kept.link(peer),
        }
    }

    /// The connection between Falco and the transport ends.
    pub(super) fn unlink(&mut self) {
        let falco = &mut self.falco;
        if !falco.is_linked {
            return;
        }
        falco.is_linked = false;
        let now = falco.instant(self.now);
        match &mut falco.body {
            Body::Direct(direct) => direct.lanes.handle_disconnected(now),
            Body::Kept(kept) => kept.unlink(),
        }
        let pause = self.random.between(0, 2 * SECOND);
        self.after(pause, Event::Linked);
    }

    /// Falco dies, with what it knows; all its connections end.
    pub(super) fn crash_falco(&mut self) {
        if self.falco.kept().is_some_and(|kept| !kept.is_running()) {
            return;
        }
        self.record.forgot(self.daemon.open_messages());
        let falco = &mut self.falco;
        falco.life += 1;
        falco.owed.clear();
        falco.wake_at = None;
        falco.is_linked = false;
        falco.first_connection = self.daemon.connection + 1;
        match &mut falco.body {
            Body::Direct(direct) => **direct = Direct::new(falco.options),
            Body::Kept(_) => return self.crash_kept(),
        }
        self.hang_up_on_daemon();
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Linked);
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
        let messages: Vec<_> = request.effects.iter().map(|e| message(e)).collect();
        let (id, base) = (request.id, request.base());
        let number = self.record.sent(&messages);
        let takes = self.random.between(10, 2000);
        let falco = &mut self.falco;
        falco.last_request = falco.last_request.max(self.now + takes);
        let request = server::Request {
            life: falco.life,
            link: falco.link,
            way,
            id,
            base,
            number,
            messages,
            was_late: false,
        };
        let takes = falco.last_request - self.now;
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
