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
    is_linked: bool,
    /// Connections before this one ended with an earlier life.
    first_connection: u32,
    admission: Admission<Submission>,
    lanes: Lanes<Ticket>,
    wake_at: Option<Time>,
    /// Frames arrive in order.
    last_frame: Time,
    /// So do requests, at the transport.
    last_request: Time,
    /// What it owes an answer, and since when.
    owed: BTreeMap<u32, (Submission, Time)>,
}

fn lanes(options: Options) -> Lanes<Ticket> {
    Lanes::new(Config {
        lane_effects_max: options.lane_effects_max,
        ..Config::default()
    })
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
            admission: Admission::new(),
            lanes: lanes(options),
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

    pub(super) fn close(&mut self, connection: u32) {
        self.admission
            .handle_closed(Producer(u64::from(connection)));
        self.owed
            .retain(|_, (submission, _)| submission.connection != connection);
    }

    /// The effect a submission stands for.
    fn effect(&self, submission: Submission) -> SideEffect {
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
        let producer = Producer(u64::from(submission.connection));
        falco
            .owed
            .insert(submission.attempt, (submission, self.now));
        let time = boot_time(self.now);
        if let Some(admitted) = falco
            .admission
            .handle_submit(effect, producer, submission, time)
        {
            let Admitted {
                effect,
                place,
                ticket,
            } = admitted;
            falco.lanes.handle_submit(effect, place, ticket, now);
        }
    }

    pub(super) fn take_answer(&mut self, answer: &server::Answer) {
        let falco = &mut self.falco;
        if (answer.life, answer.link) != (falco.life, falco.link) || !falco.is_linked {
            return;
        }
        let now = falco.instant(self.now);
        self.record.answered(answer);
        match &answer.refusal {
            None => falco.lanes.handle_accepted(answer.id),
            Some((code, retryable)) => {
                let refusal = Refusal {
                    error: "refused",
                    code: *code,
                    retryable: *retryable,
                };
                falco.lanes.handle_refused(answer.id, &refusal, now);
            }
        }
    }

    pub(super) fn wake(&mut self) {
        let falco = &mut self.falco;
        if falco.wake_at.is_some_and(|at| at <= self.now) {
            falco.wake_at = None;
        }
        falco.lanes.handle_timeout(falco.instant(self.now));
        falco.admission.handle_timeout(boot_time(self.now));
    }

    pub(super) fn link(&mut self) {
        let falco = &mut self.falco;
        if !falco.is_linked {
            falco.is_linked = true;
            falco.link += 1;
            falco.lanes.handle_connected(Peer {
                batches: self.options.batches,
                window: 8192,
            });
        }
    }

    /// The connection between Falco and the transport ends.
    pub(super) fn unlink(&mut self) {
        let falco = &mut self.falco;
        if falco.is_linked {
            falco.is_linked = false;
            falco.lanes.handle_disconnected(falco.instant(self.now));
            let pause = self.random.between(0, 2 * SECOND);
            self.after(pause, Event::Linked);
        }
    }

    /// Falco keeps nothing; all its connections end.
    pub(super) fn crash_falco(&mut self) {
        self.record.forgot(self.daemon.open_messages());
        let falco = &mut self.falco;
        falco.life += 1;
        falco.admission = Admission::new();
        falco.lanes = lanes(self.options);
        falco.owed.clear();
        falco.wake_at = None;
        falco.is_linked = false;
        falco.first_connection = self.daemon.connection + 1;
        self.hang_up_on_daemon();
        let pause = self.random.between(0, SECOND);
        self.after(pause, Event::Linked);
    }

    /// What the dispatcher does after every event.
    pub(super) fn pump(&mut self) {
        self.send_requests();
        let time = boot_time(self.now);
        while let Some(settled) = self.falco.lanes.poll_settled() {
            self.falco.admission.handle_settled(settled, time);
        }
        while let Some(answer) = self.falco.admission.poll_answer() {
            self.give_ack(
                answer.origin,
                answer.outcome.map_err(|failure| failure.class),
            );
        }
        self.check_patience();
        self.set_wake();
    }

    fn send_requests(&mut self) {
        let now = self.falco.instant(self.now);
        while let Some(request) = self.falco.lanes.poll_request(now) {
            let messages: Vec<_> = request.effects.iter().map(|e| message(e)).collect();
            let (id, base) = (request.id, request.base());
            let number = self.record.sent(&messages);
            let takes = self.random.between(10, 2000);
            let falco = &mut self.falco;
            falco.last_request = falco.last_request.max(self.now + takes);
            let request = server::Request {
                life: falco.life,
                link: falco.link,
                id,
                base,
                number,
                messages,
                was_late: false,
            };
            let takes = falco.last_request - self.now;
            self.after(takes, Event::Request(request));
        }
    }

    fn give_ack(&mut self, submission: Submission, outcome: Result<(), Class>) {
        let owed = self.falco.owed.remove(&submission.attempt);
        // A connection that is closed is owed nothing.
        if owed.is_some() {
            let takes = self.soon();
            self.after(takes, Event::Ack(submission, outcome));
        }
    }

    /// Every submission is answered in bounded time.
    fn check_patience(&self) {
        for (submission, since) in self.falco.owed.values() {
            let waited = self.now - since;
            assert!(
                waited <= 16_500 * MS,
                "{submission:?} waits for {waited} µs"
            );
        }
    }

    fn set_wake(&mut self) {
        let Some(due) = self.falco.lanes.poll_timeout() else {
            return;
        };
        let due = due.saturating_duration_since(self.falco.start);
        let due = u64::try_from(due.as_nanos().div_ceil(1000))
            .unwrap()
            .max(self.now);
        if self.falco.wake_at.is_none_or(|at| due < at) {
            self.falco.wake_at = Some(due);
            self.after(due - self.now, Event::Wake);
        }
    }
}
