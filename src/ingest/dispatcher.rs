//! The one task that owns the lanes and the connection to the transport.
//!
//! Drives [`Lanes`]: brings it effects, answers and the time, sends what it
//! wants sent, and tells the sessions what it decided. Reads effects only while
//! the lanes have room, and asks for requests only while the connection has.
//!
//! Ends, after a shutdown, when nothing is on its way any more or the grace is
//! over; every effect it took is answered by then.

mod link;
mod outboxes;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::alarm::Alarm;
use super::session::SessionId;
use super::{Config, SUBMISSIONS_MAX};
use crate::delivery::{Failure, Lanes, Outcome, Settled};
use crate::net::ipc;
use crate::protocol::control::IngestStatus;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;
use crate::shutdown::Shutdown;

use link::Link;
use outboxes::Outboxes;

/// What sessions tell the dispatcher.
#[derive(Debug)]
pub(super) enum Submission {
    /// A daemon connected; its acks go here.
    Open(SessionId, mpsc::Sender<Vec<Ack>>),
    /// Effects of one read, in order.
    Effects(SessionId, Vec<SideEffect>),
    /// Effects that went no further than their session.
    Refused(Refused),
    /// The daemon is gone; nobody waits for its acks.
    Close(SessionId),
}

/// Effects a session answered by itself, for the sums.
#[derive(Debug)]
pub(super) struct Refused {
    pub count: u64,
    pub last: Failure,
}

/// An effect's fate, on its way to its session.
#[derive(Debug)]
pub(super) struct Ack {
    pub id: EffectId,
    /// What its session counts it for.
    pub bytes: usize,
    pub outcome: Outcome,
}

/// Where an effect came from.
#[derive(Debug, Clone, Copy)]
struct Origin {
    session: SessionId,
    bytes: usize,
}

/// How often a failure is worth a warning; the ones between are counted.
const WARNING_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Dispatcher {
    lanes: Lanes<Origin>,
    link: Link,
    outboxes: Outboxes,
    submissions: mpsc::Receiver<Submission>,
    queries: mpsc::Receiver<oneshot::Sender<IngestStatus>>,
    stop: Stop,
    grace: Duration,
    alarm: Alarm,
    accepted: u64,
    succeeded: u64,
    failed: u64,
    last_error: Option<Failure>,
    warned_at: Option<Instant>,
}

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// What is on its way may be answered until then.
    Draining {
        until: Instant,
    },
}

enum Event {
    Shutdown,
    Transport(ipc::Event),
    Submitted(Submission),
    Asked(oneshot::Sender<IngestStatus>),
    Due,
}

impl Dispatcher {
    pub(super) fn new(
        config: Config,
        submissions: mpsc::Receiver<Submission>,
        queries: mpsc::Receiver<oneshot::Sender<IngestStatus>>,
    ) -> Self {
        Self {
            lanes: Lanes::new(config.delivery),
            link: Link::new(config.transport_socket),
            outboxes: Outboxes::default(),
            submissions,
            queries,
            stop: Stop::No,
            grace: config.shutdown_grace,
            alarm: Alarm::default(),
            accepted: 0,
            succeeded: 0,
            failed: 0,
            last_error: None,
            warned_at: None,
        }
    }

    /// Tells whether there is a connection to the transport.
    pub(super) fn linked(&self) -> watch::Receiver<bool> {
        self.link.watch()
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) {
        while !self.is_done() {
            match self.event(&shutdown).await {
                Event::Shutdown => self.begin_stop(),
                Event::Transport(event) => self.link.handle(event, &mut self.lanes),
                Event::Submitted(submission) => self.take_all(submission),
                Event::Asked(answer) => _ = answer.send(self.status()),
                Event::Due => self.handle_due(),
            }
            self.advance();
        }
        info!(
            succeeded = self.succeeded,
            failed = self.failed,
            "Falco has stopped."
        );
    }

    async fn event(&mut self, shutdown: &Shutdown) -> Event {
        let may_take = self.lanes.has_room() && !self.submissions.is_closed();
        let due = self.due();
        let is_wanted = !self.lanes.is_empty();
        tokio::select! {
            () = shutdown.begun(), if self.stop == Stop::No => Event::Shutdown,
            event = self.link.event(is_wanted) => Event::Transport(event),
            Some(submission) = self.submissions.recv(), if may_take => Event::Submitted(submission),
            Some(answer) = self.queries.recv() => Event::Asked(answer),
            () = self.alarm.wait(due) => Event::Due,
        }
    }

    /// Does everything that can be done without waiting: sends what may be
    /// sent, and answers what is decided.
    fn advance(&mut self) {
        self.link.send(&mut self.lanes);
        while let Some(settled) = self.lanes.poll_settled() {
            self.count(&settled);
            let Origin { session, bytes } = settled.origin;
            let ack = Ack {
                id: settled.id,
                bytes,
                outcome: settled.outcome,
            };
            self.outboxes.push(session, ack);
        }
        self.outboxes.flush();
    }

    /// Takes what has come, for as long as there is room.
    fn take_all(&mut self, submission: Submission) {
        self.take(submission);
        for _ in 1..SUBMISSIONS_MAX {
            if !self.lanes.has_room() {
                return;
            }
            let Ok(submission) = self.submissions.try_recv() else {
                return;
            };
            self.take(submission);
        }
    }

    fn take(&mut self, submission: Submission) {
        match submission {
            Submission::Open(session, acks) => self.outboxes.open(session, acks),
            Submission::Close(session) => self.outboxes.close(session),
            Submission::Refused(Refused { count, last }) => {
                self.accepted += count;
                self.count_failed(count, &last);
            }
            Submission::Effects(session, effects) => {
                let now = Instant::now().into_std();
                self.accepted += effects.len() as u64;
                for effect in effects {
                    let bytes = effect.bytes;
                    self.lanes
                        .handle_submit(effect, Origin { session, bytes }, now);
                }
            }
        }
    }

    fn due(&self) -> Option<Instant> {
        let lanes = self.lanes.poll_timeout().map(Instant::from_std);
        match self.stop {
            Stop::No => lanes,
            Stop::Draining { until } => Some(lanes.map_or(until, |due| due.min(until))),
        }
    }

    fn handle_due(&mut self) {
        let now = Instant::now();
        self.lanes.handle_timeout(now.into_std());
        if let Stop::Draining { until } = self.stop
            && until <= now
        {
            self.lanes.handle_shutdown_deadline();
        }
    }

    /// From here on nothing is sent, and what sessions still hand over is
    /// refused.
    fn begin_stop(&mut self) {
        let until = Instant::now() + self.grace;
        self.stop = Stop::Draining { until };
        self.lanes.handle_shutdown();
        self.submissions.close();
        while let Ok(submission) = self.submissions.try_recv() {
            self.take(submission);
        }
        let waiting = self.lanes.depth(Instant::now().into_std()).effects;
        info!(waiting, "Falco is stopping.");
    }

    fn is_done(&self) -> bool {
        self.stop != Stop::No && self.lanes.is_empty()
    }

    fn count(&mut self, settled: &Settled<Origin>) {
        let Err(failure) = &settled.outcome else {
            self.succeeded += 1;
            return;
        };
        debug!(effect_id = %settled.id, error = %failure, "Effect failed.");
        self.count_failed(1, failure);
    }

    fn count_failed(&mut self, count: u64, failure: &Failure) {
        self.failed += count;
        self.last_error = Some(failure.clone());
        let failed = self.failed;
        if self
            .warned_at
            .is_none_or(|at| at.elapsed() >= WARNING_EVERY)
        {
            self.warned_at = Some(Instant::now());
            warn!(failed, error = %failure, "Effects fail; their daemons were told.");
        }
    }

    fn status(&self) -> IngestStatus {
        let depth = self.lanes.depth(Instant::now().into_std());
        IngestStatus {
            connections: self.outboxes.len() as u64,
            lanes: depth.lanes as u64,
            queued: (depth.effects - depth.in_flight) as u64,
            in_flight: depth.in_flight as u64,
            oldest_age_ms: u64::try_from(depth.oldest.as_millis()).unwrap_or(u64::MAX),
            accepted: self.accepted,
            succeeded: self.succeeded,
            failed: self.failed,
            retries: depth.retries,
            transport_connected: self.link.is_up(),
            last_error: self.last_error.as_ref().map(ToString::to_string),
        }
    }
}
