//! The one task that owns the lanes and the connections to the transports.
//!
//! Drives the lanes: brings it effects, answers and the time, sends what it
//! wants sent, and tells the sessions what it decided. Reads effects only while
//! the lanes have room, and asks for requests only while the connection has.
//!
//! Ends, after a shutdown, when nothing is on its way any more or the grace is
//! over; every effect it took is answered by then.

pub(super) mod keeper;
mod latency;
mod link;
mod outboxes;
#[cfg(test)]
pub(crate) mod played;
mod rate;
mod sums;
#[cfg(test)]
mod tests;
mod ways;

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tracing::info;

use super::alarm::Alarm;
use super::memo::{Batch, Memo};
use super::session::SessionId;
use super::{Config, Query, SUBMISSIONS_MAX};
use crate::clock::BootTime;
use crate::delivery::{Admission, Admitted, Class, Failure, Outcome};
use crate::journal::Note;
use crate::net::ipc;
use crate::protocol::control::{IngestStatus, RouteStatus};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;
use crate::shutdown::Shutdown;

use keeper::{Keeper, Offer};
use outboxes::Outboxes;
use sums::Sums;
use ways::{OWN, WayId, Ways};

/// What sessions tell the dispatcher.
#[derive(Debug)]
pub(super) enum Submission {
    /// A daemon connected; its acks go here.
    Open(SessionId, mpsc::Sender<Vec<Ack>>),
    /// Effects of one read, in order.
    Effects(SessionId, Vec<SideEffect>),
    /// Lines of a file, and how far in it they reach.
    Piece(Piece),
    /// So many effects of the inbox are on disk, however often they were offered.
    Taken(u64),
    /// Effects that went no further than their session.
    Refused(Refused),
    /// The daemon is gone; nobody waits for its acks.
    Close(SessionId),
}

/// Effects of the inbox, which acks them as a session's.
#[derive(Debug)]
pub(super) struct Piece {
    pub effects: Vec<SideEffect>,
    /// Recorded with the effects, and only if none of them is lost.
    pub note: Note,
    /// Told when the note is recorded; dropped if it is not.
    pub noted: oneshot::Sender<()>,
}

/// Effects a session answered by itself, or the inbox gave up, for the sums.
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
    taken: Instant,
}

/// How long the journal may take to mark its end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Dispatcher {
    admission: Admission<Origin>,
    ways: Ways,
    memo: Option<Memo>,
    closed: watch::Receiver<Option<&'static str>>,
    keeper: Option<Keeper>,
    verdict: watch::Sender<Option<String>>,
    /// Whether what an earlier run has left is known.
    has_read: watch::Sender<bool>,
    outboxes: Outboxes,
    submissions: mpsc::Receiver<Submission>,
    queries: mpsc::Receiver<Query>,
    stop: Stop,
    grace: Duration,
    alarm: Alarm,
    sums: Sums,
}

/// How far a shutdown has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// What is on its way may be answered until then.
    Draining {
        until: Instant,
    },
    /// Nothing is waited for any more.
    Over,
}

enum Event {
    Shutdown,
    Transport(WayId, ipc::Event),
    Submitted(Submission),
    Kept(keeper::Event),
    Asked(Query),
    Due,
}

/// The memo of this boot, and what it holds from earlier lives.
fn open_memo(config: &Config) -> (Option<Memo>, Vec<Batch>) {
    let Some(place) = &config.memo else {
        return (None, Vec::new());
    };
    let (memo, sent_before) = Memo::open(&place.dir, &place.boot_id, BootTime::now());
    (Some(memo), sent_before)
}

impl Dispatcher {
    pub(super) fn new(
        config: &Config,
        submissions: mpsc::Receiver<Submission>,
        queries: mpsc::Receiver<Query>,
        shutdown: &Shutdown,
    ) -> Self {
        let outbox = config.outbox.clone();
        let keeper = outbox.map(|outbox| Keeper::new(outbox, shutdown));
        Self::with(config, keeper, submissions, queries)
    }

    fn with(
        config: &Config,
        keeper: Option<Keeper>,
        submissions: mpsc::Receiver<Submission>,
        queries: mpsc::Receiver<Query>,
    ) -> Self {
        let (memo, sent_before) = open_memo(config);
        let mut admission = Admission::new();
        for batch in sent_before.iter().filter(|batch| batch.is_accepted) {
            batch.tell(&mut admission);
        }
        Self {
            admission,
            ways: Ways::new(config, &sent_before),
            memo,
            closed: config.closed.clone(),
            keeper,
            verdict: watch::Sender::new(None),
            has_read: watch::Sender::new(config.outbox.is_none()),
            outboxes: Outboxes::default(),
            submissions,
            queries,
            stop: Stop::No,
            grace: config.shutdown_grace,
            alarm: Alarm::default(),
            sums: Sums::new(),
        }
    }

    /// Tells whether there is a connection to the transport.
    pub(super) fn linked(&self) -> watch::Receiver<bool> {
        self.ways.linked()
    }

    /// Tells why Falco cannot go on, once that is so.
    pub(super) fn verdict(&self) -> watch::Receiver<Option<String>> {
        self.verdict.subscribe()
    }

    /// Tells whether what an earlier run has left is known, and so effects are
    /// taken.
    pub(super) fn has_read(&self) -> watch::Receiver<bool> {
        self.has_read.subscribe()
    }

    /// What the journal remembers for the inbox, once it was read; `None` if
    /// nothing that arrives is recorded.
    pub(super) fn notes(&mut self) -> Option<oneshot::Receiver<Vec<Note>>> {
        self.keeper.as_mut().and_then(Keeper::notes)
    }

    pub(super) async fn run(mut self, shutdown: Shutdown) {
        while !self.is_done() {
            match self.event(&shutdown).await {
                Event::Shutdown => self.begin_stop(),
                Event::Transport(way, event) => {
                    self.ways.way(way).handle(event, self.memo.as_mut());
                }
                Event::Submitted(submission) => self.take_all(submission),
                Event::Kept(event) => self.handle_kept(event),
                Event::Asked(query) => self.answer(query),
                Event::Due => self.handle_due(),
            }
            self.advance();
        }
        if let Some(keeper) = self.keeper {
            _ = timeout(CLOSE_PATIENCE, keeper.close()).await;
        }
        info!(
            succeeded = self.sums.succeeded,
            failed = self.sums.failed,
            "Falco has stopped."
        );
    }

    async fn event(&mut self, shutdown: &Shutdown) -> Event {
        let may_take = self.has_room() && !self.submissions.is_closed();
        let due = self.due();
        tokio::select! {
            () = shutdown.begun(), if self.stop == Stop::No => Event::Shutdown,
            (way, event) = self.ways.event() => Event::Transport(way, event),
            Some(submission) = self.submissions.recv(), if may_take => Event::Submitted(submission),
            event = kept(self.keeper.as_mut()) => Event::Kept(event),
            Some(query) = self.queries.recv() => Event::Asked(query),
            () = self.alarm.wait(due) => Event::Due,
        }
    }

    /// Does everything that can be done without waiting: brings to the lanes
    /// what is kept, sends what may be sent, and answers what is decided.
    fn advance(&mut self) {
        let now = Instant::now();
        loop {
            if let Some(keeper) = self.keeper.as_mut().filter(|_| self.stop == Stop::No) {
                keeper.load(&mut self.ways, now);
            }
            if !self.send(now) {
                break;
            }
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.write(now, self.stop != Stop::No);
        }
        // Before the transport or a daemon can see any of it.
        if let Some(memo) = &mut self.memo {
            memo.flush();
        }
        self.tell();
    }

    /// Sends what may be sent. Returns whether kept effects were settled, and
    /// so others may be brought to the lanes.
    fn send(&mut self, now: Instant) -> bool {
        let boot_time = BootTime::now();
        let mut has_settled = false;
        for way in self.ways.iter_mut() {
            way.send(self.memo.as_mut(), boot_time);
            while let Some(settled) = way.lanes.poll_settled() {
                if settled.outcome.is_ok() {
                    self.sums.count_published(now);
                }
                match (settled.origin, &mut self.keeper) {
                    (Some(ticket), _) => {
                        let settled = settled.of(ticket);
                        self.admission.handle_settled(settled, boot_time);
                    }
                    (None, Some(keeper)) => {
                        keeper.handle_settled(&settled);
                        has_settled = true;
                    }
                    (None, None) => {}
                }
            }
        }
        has_settled
    }

    /// Hands out the answers.
    fn tell(&mut self) {
        let now = Instant::now();
        while let Some(answer) = self.admission.poll_answer() {
            // The inbox offers again what is not taken, and says how it ends.
            if answer.origin.session != SessionId::INBOX {
                self.sums.count(&answer, now);
            }
            let Origin { session, bytes, .. } = answer.origin;
            let ack = Ack {
                id: answer.id,
                bytes,
                outcome: answer.outcome,
            };
            self.outboxes.push(session, ack);
        }
        self.outboxes.flush();
        self.admission.handle_told();
    }

    /// Takes what has come, for as long as there is room.
    fn take_all(&mut self, submission: Submission) {
        self.take(submission);
        for _ in 1..SUBMISSIONS_MAX {
            if !self.has_room() {
                return;
            }
            let Ok(submission) = self.submissions.try_recv() else {
                return;
            };
            self.take(submission);
        }
    }

    fn has_room(&self) -> bool {
        let is_kept = self.keeper.as_ref().is_none_or(Keeper::has_room);
        is_kept && self.ways.has_room() && self.admission.has_room()
    }

    fn take(&mut self, submission: Submission) {
        match submission {
            Submission::Open(session, acks) => self.outboxes.open(session, acks),
            Submission::Close(session) => {
                self.outboxes.close(session);
                self.admission.handle_closed(session.producer());
            }
            Submission::Piece(piece) => self.take_piece(piece),
            Submission::Taken(count) => {
                self.sums.accepted += count;
                self.sums.succeeded += count;
            }
            Submission::Refused(Refused { count, last }) => {
                self.sums.accepted += count;
                self.sums.count_failed(count, &last);
            }
            Submission::Effects(session, effects) => {
                self.sums.accepted += effects.len() as u64;
                let taken = Instant::now();
                for effect in effects {
                    let bytes = effect.bytes;
                    let origin = Origin {
                        session,
                        bytes,
                        taken,
                    };
                    self.submit(effect, origin);
                }
            }
        }
    }

    /// An effect that waits for another append than the next may still be lost,
    /// and the note must not be recorded before it.
    fn take_piece(&mut self, piece: Piece) {
        let records = self.keeper.as_ref().is_some_and(Keeper::records);
        let mut is_whole = records;
        let taken = Instant::now();
        for effect in piece.effects {
            let origin = Origin {
                session: SessionId::INBOX,
                bytes: effect.bytes,
                taken,
            };
            if !records {
                let failure = Failure::new(Class::Unrecorded, "the disk takes nothing");
                self.refuse(effect.id, origin, failure);
                continue;
            }
            let is_done = self.admission.is_done(&effect, BootTime::now());
            is_whole &= self.submit(effect, origin) || is_done;
        }
        if let Some(keeper) = self.keeper.as_mut().filter(|_| is_whole) {
            keeper.note(piece.note, piece.noted);
        }
    }

    /// Returns whether the effect is on disk, or will be with the next append.
    fn submit(&mut self, effect: SideEffect, origin: Origin) -> bool {
        let Some(route) = self.ways.find(effect.route.as_deref()) else {
            let route = effect.route.as_deref().unwrap_or_default();
            let text = format!("there is no route {route:?}");
            self.refuse(effect.id, origin, Failure::new(Class::Rejected, text));
            return false;
        };
        let now = BootTime::now();
        let producer = origin.session.producer();
        let admitted = self.admission.handle_submit(effect, producer, origin, now);
        let Some(admitted) = admitted else {
            return false;
        };
        let follows = self.ways.direct(route).holds(&admitted.effect.lane);
        let offer = match &mut self.keeper {
            Some(keeper) => keeper.offer(admitted, route, follows),
            None => Offer::Direct(admitted),
        };
        let is_kept = matches!(offer, Offer::Taken | Offer::Kept(_));
        match offer {
            Offer::Taken => {}
            Offer::Kept(ticket) => self.admission.handle_done(ticket, now),
            Offer::Direct(admitted) => self.deliver(admitted, route),
            Offer::Refused(admitted, failure) => {
                self.admission.handle_refused(admitted, failure, now);
            }
        }
        is_kept
    }

    /// Brings an effect that is not kept to the lanes.
    fn deliver(&mut self, admitted: Admitted, route: usize) {
        if let (OWN, Some(why)) = (route, *self.closed.borrow()) {
            let failure = Failure::new(Class::Throttled, why);
            let now = BootTime::now();
            return self.admission.handle_refused(admitted, failure, now);
        }
        let way = self.ways.direct(route);
        if !way.lanes.has_room() {
            let text = "its route has as many effects waiting as it may";
            let failure = Failure::new(Class::LaneFull, text);
            let now = BootTime::now();
            return self.admission.handle_refused(admitted, failure, now);
        }
        let Admitted {
            effect,
            place,
            ticket,
        } = admitted;
        let now = Instant::now().into_std();
        way.submit(effect, place, Some(ticket), now);
    }

    fn handle_kept(&mut self, event: keeper::Event) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        self.has_read.send_replace(keeper.has_read());
        match event {
            keeper::Event::Recovered(recovered) => {
                keeper.handle_recovered(*recovered, &self.ways, &mut self.admission);
                for (request, answer) in keeper.take_early() {
                    keeper.handle_asked(request, answer, &mut self.ways);
                }
            }
            keeper::Event::Recorded(result) => {
                let around = keeper.handle_recorded(&result, &mut self.admission);
                for (route, admitted) in around {
                    self.deliver(admitted, route);
                }
            }
            keeper::Event::Read(read) => keeper.handle_read(read, &mut self.ways),
            keeper::Event::Ended | keeper::Event::Changed => {
                self.verdict.send_replace(keeper.verdict());
            }
        }
    }

    fn answer(&mut self, query: Query) {
        match (query, &mut self.keeper) {
            (Query::Status(answer), _) => _ = answer.send(self.status()),
            (Query::Outbox(request, answer), Some(keeper)) => {
                keeper.handle_asked(request, answer, &mut self.ways);
            }
            // Whoever asks is told by the silence.
            (Query::Outbox(..), None) => {}
        }
    }

    /// Answers an effect that goes no further.
    fn refuse(&mut self, id: EffectId, origin: Origin, failure: Failure) {
        let Origin { session, bytes, .. } = origin;
        if session != SessionId::INBOX {
            self.sums.count_failed(1, &failure);
        }
        let outcome = Err(failure);
        self.outboxes.push(session, Ack { id, bytes, outcome });
    }

    fn due(&self) -> Option<Instant> {
        let lanes = self.ways.poll_timeout().map(Instant::from_std);
        let sweep = self.admission.poll_timeout();
        let sweep = sweep.map(|at| Instant::now() + at.since(BootTime::now()));
        let until = match self.stop {
            Stop::No | Stop::Over => None,
            Stop::Draining { until } => Some(until),
        };
        let kept = self.keeper.as_ref().and_then(Keeper::poll_timeout);
        let all = lanes.into_iter().chain(sweep).chain(until).chain(kept);
        all.min()
    }

    fn handle_due(&mut self) {
        let now = Instant::now();
        self.admission.handle_timeout(BootTime::now());
        let is_over = matches!(self.stop, Stop::Draining { until } if until <= now);
        for way in self.ways.iter_mut() {
            way.handle_timeout(now.into_std());
            if is_over {
                way.lanes.handle_shutdown_deadline();
            }
        }
        if is_over {
            self.stop = Stop::Over;
        }
    }

    /// From here on nothing is sent, and what sessions still hand over shares
    /// the fate of what is before it in its lane: behind effects that fail now,
    /// nothing may be kept.
    fn begin_stop(&mut self) {
        let until = Instant::now() + self.grace;
        self.stop = Stop::Draining { until };
        self.submissions.close();
        while let Ok(submission) = self.submissions.try_recv() {
            self.take(submission);
        }
        for way in self.ways.iter_mut() {
            way.handle_shutdown(Instant::now().into_std());
        }
        let now = Instant::now().into_std();
        let waiting: usize = self.ways.iter().map(|w| w.lanes.depth(now).effects).sum();
        info!(waiting, "Falco is stopping.");
    }

    fn is_done(&self) -> bool {
        let is_written = self.keeper.as_ref().is_none_or(Keeper::is_idle);
        match self.stop {
            Stop::No => false,
            Stop::Draining { .. } => self.ways.are_empty() && is_written,
            Stop::Over => true,
        }
    }

    fn status(&self) -> IngestStatus {
        let now = Instant::now().into_std();
        let mut status = IngestStatus {
            connections: self.outboxes.len() as u64,
            transport_connected: *self.ways.linked().borrow(),
            outbox: self.keeper.as_ref().map(Keeper::status),
            ..self.sums.status()
        };
        status.routes = self
            .ways
            .names()
            .map(|name| RouteStatus {
                name: name.to_owned(),
                ..RouteStatus::default()
            })
            .collect();
        for (route, way) in self.ways.by_route() {
            let depth = way.lanes.depth(now);
            status.lanes += depth.lanes as u64;
            status.retries += depth.retries;
            status.doubtful += depth.doubtful;
            let route = &mut status.routes[route];
            let oldest = u64::try_from(depth.oldest.as_millis()).unwrap_or(u64::MAX);
            route.connected |= way.link.is_up();
            route.queued += (depth.effects - depth.in_flight) as u64;
            route.in_flight += depth.in_flight as u64;
            route.oldest_age_ms = route.oldest_age_ms.max(oldest);
        }
        let oldest = status.routes.iter().map(|route| route.oldest_age_ms);
        status.oldest_age_ms = oldest.max().unwrap_or(0);
        status.queued = status.routes.iter().map(|route| route.queued).sum();
        status.in_flight = status.routes.iter().map(|route| route.in_flight).sum();
        status
    }
}

async fn kept(keeper: Option<&mut Keeper>) -> keeper::Event {
    match keeper {
        Some(keeper) => keeper.event().await,
        None => std::future::pending().await,
    }
}
