//! The one task that owns the lanes and the connections to the transports.
//!
//! Drives the lanes: brings it effects, answers and the time, sends what it
//! wants sent, and tells the sessions what it decided. Reads effects only while
//! the lanes have room, and asks for requests only while the connection has.
//!
//! Ends, after a shutdown, when nothing is on its way any more or the grace is
//! over; every effect it took is answered by then.

mod intake;
pub(super) mod keeper;
mod latency;
mod link;
mod outboxes;
mod outgo;
mod parking;
#[cfg(test)]
pub(crate) mod played;
mod rate;
mod status;
mod stopping;
mod stuck;
mod submission;
mod sums;
#[cfg(test)]
mod tests;
mod unguarded;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::alarm::Alarm;
use super::memo::{Left, Memo, Writing};
use super::{Config, Query, Verdict};
use crate::clock::BootTime;
use crate::delivery::{Admission, Amount, Owed};
use crate::journal::Note;
use crate::memory;
use crate::net::ipc;
use crate::protocol::outbox::OutboxAnswer;
use crate::shutdown::Shutdown;

use keeper::Keeper;
use outboxes::Outboxes;
use parking::Parking;
use stopping::Stop;
use submission::Origin;
pub(super) use submission::{Ack, News, Piece, Refused, Routed, Submission, WayBack};
use sums::Sums;
use unguarded::Unguarded;
use ways::{WayId, Ways};

/// A wake-up so late tells that Falco did not run.
const LATE: Duration = Duration::from_millis(100);

/// Reads of what was answered meanwhile, at most: somebody may write without end.
const HEARD_MAX: usize = 1024;

#[derive(Debug)]
pub(super) struct Dispatcher {
    admission: Admission<Origin>,
    ways: Ways,
    memo: Option<Memo>,
    closed: watch::Receiver<Option<Arc<str>>>,
    keeper: Option<Keeper>,
    verdict: watch::Sender<Option<Verdict>>,
    /// Whether what an earlier run has left is known.
    has_read: watch::Sender<bool>,
    outboxes: Outboxes,
    owed: Owed,
    submissions: mpsc::Receiver<Submission>,
    queries: mpsc::Receiver<Query>,
    stop: Stop,
    grace: Duration,
    /// How long an effect may wait for its answer.
    patience: Duration,
    alarm: Alarm,
    sums: Sums,
    parking: Parking,
    unguarded: Unguarded,
}

enum Event {
    Shutdown,
    Transport(WayId, ipc::Event),
    Submitted(Submission),
    Kept(keeper::Event),
    Asked(Query),
    Due,
}

/// Nothing is owed; the routes share what may be held over all lanes.
fn owed(config: &Config) -> Owed {
    let routes = config.routes.len() + 1;
    let max = Amount {
        effects: config.delivery.effects_max / routes,
        bytes: config.delivery.bytes_max / routes,
    };
    Owed::new(routes, max)
}

/// The memo of this boot, and what it holds from earlier lives.
fn open_memo(config: &Config) -> (Option<Memo>, Left) {
    let Some(place) = &config.memo else {
        return (None, Left::default());
    };
    let (memo, left) = Memo::open(place, BootTime::now());
    (Some(memo), left)
}

impl Dispatcher {
    pub(super) fn new(
        config: &Config,
        submissions: mpsc::Receiver<Submission>,
        queries: mpsc::Receiver<Query>,
        shutdown: &Shutdown,
    ) -> Self {
        let (outbox, patience) = (config.outbox.clone(), config.delivery.effect_deadline);
        let keeper = outbox.map(|outbox| Keeper::new(outbox, patience, shutdown));
        let dispatcher = Self::with(config, keeper, submissions, queries);
        // A long memo takes more to be read than to be remembered.
        memory::give_back();
        dispatcher
    }

    fn with(
        config: &Config,
        mut keeper: Option<Keeper>,
        submissions: mpsc::Receiver<Submission>,
        queries: mpsc::Receiver<Query>,
    ) -> Self {
        let (memo, mut left) = open_memo(config);
        let ways = Ways::new(config, &left.lists());
        let mut admission = Admission::new();
        left.tell(&mut admission);
        if let Some(keeper) = &mut keeper {
            keeper.handle_published_before(left.published);
        }
        Self {
            admission,
            ways,
            memo,
            closed: config.closed.clone(),
            keeper,
            verdict: watch::Sender::new(None),
            has_read: watch::Sender::new(config.outbox.is_none()),
            outboxes: Outboxes::default(),
            owed: owed(config),
            submissions,
            queries,
            stop: Stop::No,
            grace: config.shutdown_grace,
            patience: config.delivery.effect_deadline,
            alarm: Alarm::default(),
            sums: Sums::new(),
            parking: Parking::new(config.life.clone()),
            unguarded: Unguarded::default(),
        }
    }

    /// Tells whether there is a connection to the transport.
    pub(super) fn linked(&self) -> watch::Receiver<bool> {
        self.ways.linked()
    }

    /// Tells why Falco cannot go on, once that is so.
    pub(super) fn verdict(&self) -> watch::Receiver<Option<Verdict>> {
        self.verdict.subscribe()
    }

    /// Tells whether what an earlier run has left is known, and so effects are
    /// taken.
    pub(super) fn has_read(&self) -> watch::Receiver<bool> {
        self.has_read.subscribe()
    }

    /// Tells another thread of a disk that hangs and holds everything up.
    pub(super) fn writing(&self) -> Option<Writing> {
        self.memo.as_ref().map(Memo::writing)
    }

    /// What the journal remembers for the inbox, once it was read; `None`
    /// without a journal.
    pub(super) fn notes(&mut self) -> Option<oneshot::Receiver<Vec<Note>>> {
        self.keeper.as_mut().map(Keeper::notes)
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
                Event::Due => {
                    self.hear().await;
                    self.handle_due();
                }
            }
            self.advance();
        }
        self.end().await;
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
        // First of all: of a lane that was parked nothing more is loaded.
        self.settle(now);
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
        // The transport works while the daemons are told.
        for way in self.ways.iter_mut() {
            way.link.push();
        }
        self.tell();
    }

    fn handle_kept(&mut self, event: keeper::Event) {
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        match event {
            keeper::Event::Recovered(recovered) => keeper.handle_recovered(*recovered),
            keeper::Event::Restoring => {
                keeper.handle_restoring(&self.ways, &mut self.admission);
                for query in keeper.take_early() {
                    self.answer(query);
                }
            }
            keeper::Event::Recorded(result) => {
                let around = keeper.handle_recorded(&result, &mut self.admission);
                for (route, admitted) in around {
                    self.deliver(admitted, route);
                }
            }
            keeper::Event::Read(read) => keeper.handle_read(read, &mut self.ways),
            keeper::Event::Ended | keeper::Event::Changed => {}
        }
        // A journal may have failed by the time it is open.
        let verdict = self.keeper.as_ref().and_then(Keeper::verdict);
        self.verdict.send_if_modified(|told| {
            let is_new = *told != verdict;
            *told = verdict;
            is_new
        });
        let has_read = self.keeper.as_ref().is_none_or(Keeper::has_read);
        self.has_read
            .send_if_modified(|had| std::mem::replace(had, has_read) != has_read);
    }

    fn answer(&mut self, query: Query) {
        if query.is_withdrawn() {
            return;
        }
        let now = match &mut self.keeper {
            Some(keeper) => keeper.defer(query),
            None => Some(query),
        };
        let Some(query) = now else { return };
        match (query, &mut self.keeper) {
            (Query::Status(answer), _) => _ = answer.send(self.status()),
            (Query::Look(answer), Some(keeper)) => keeper.look(answer),
            (Query::Outbox(request, answer), Some(keeper)) => {
                keeper.handle_asked(&request, answer, &mut self.ways);
            }
            (Query::Outbox(_, answer), None) => {
                let error = "Falco keeps nothing on disk: delivery.mode is \"direct\"";
                _ = answer.send(OutboxAnswer::absent(error));
            }
            // There is nothing to look at.
            (Query::Look(_), None) => {}
            (Query::Lanes(request, answer), _) => self.answer_lanes(&request, answer),
        }
    }

    fn due(&self) -> Option<Instant> {
        let lanes = self.ways.poll_timeout().map(Instant::from_std);
        let sweep = self.admission.poll_timeout();
        let sweep = sweep.map(|at| Instant::now() + at.since(BootTime::now()));
        let until = match self.stop {
            Stop::No | Stop::Over => None,
            Stop::Draining { until } => Some(until),
        };
        let kept = self.kept_due();
        let all = lanes.into_iter().chain(sweep).chain(until).chain(kept);
        all.min()
    }

    /// When the keeper has something to do; in a stop it loads nothing more, and
    /// writes at once, but keeps nobody waiting longer for a disk that hangs.
    fn kept_due(&self) -> Option<Instant> {
        let keeper = self.keeper.as_ref()?;
        match self.stop {
            Stop::No => keeper.poll_timeout(),
            Stop::Draining { .. } | Stop::Over => keeper.hung_at(),
        }
    }

    /// After a stop of the whole process (a signal, a suspended machine) the time of
    /// requests is over whose answers are there: those are heard first.
    async fn hear(&mut self) {
        if self.due().is_none_or(|due| due.elapsed() < LATE) {
            return;
        }
        // By then the runtime knows what there is to be read.
        tokio::task::yield_now().await;
        for _ in 0..HEARD_MAX {
            let Some((way, event)) = self.ways.event().now_or_never() else {
                return;
            };
            self.ways.way(way).handle(event, self.memo.as_mut());
        }
    }

    fn handle_due(&mut self) {
        // First of all: after a stop of the whole process it is there, and its time over.
        while let Some(recorded) = self.keeper.as_mut().and_then(Keeper::answered) {
            self.handle_kept(recorded);
        }
        let now = Instant::now();
        self.admission.handle_timeout(BootTime::now());
        if let Some(keeper) = &mut self.keeper {
            keeper.handle_unread(now);
            keeper.handle_hanging(now, &mut self.admission);
        }
        let is_over = matches!(self.stop, Stop::Draining { until } if until <= now);
        for way in self.ways.iter_mut() {
            way.handle_timeout(now.into_std());
            if is_over {
                way.lanes.handle_shutdown_deadline();
            }
        }
        if is_over {
            if let Some(keeper) = &mut self.keeper {
                keeper.handle_stop_over(&mut self.admission);
            }
            self.stop = Stop::Over;
        }
    }
}

async fn kept(keeper: Option<&mut Keeper>) -> keeper::Event {
    match keeper {
        Some(keeper) => keeper.event().await,
        None => std::future::pending().await,
    }
}
