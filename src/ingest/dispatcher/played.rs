//! The dispatcher without its sockets, tasks and clocks: whoever plays with it
//! says what happens and what time it is.
//!
//! Lives on one thread, in a runtime whose time stands still; the transport's
//! part is played on the lanes themselves.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot, watch};

use super::super::session::{Debts, SessionId};
use super::super::{Config, MemoPlace, Outbox, Query};
use super::keeper::{Event, Keeper};
use super::link::Noting;
use super::{Ack, Dispatcher, News, Routed, Stop, Submission, WayBack};
use crate::clock::{self, BootTime};
use crate::delivery::{self, Amount, Outcome, Peer, Refusal, Request, RequestId};
use crate::journal::{self, Journal, Recovered};
use crate::protocol::control::IngestStatus;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;
use crate::protocol::lane::{LaneAnswer, LaneRequest};
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest};

/// Time that passes when it is told to; one for all lives of a Falco.
pub(crate) struct Time {
    runtime: Runtime,
    begun: Instant,
    /// Since it began.
    since: Duration,
}

impl Time {
    pub(crate) fn new() -> Self {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime");
        clock::played::set(Duration::ZERO);
        let inside = runtime.enter();
        let begun = tokio::time::Instant::now().into_std();
        drop(inside);
        Self {
            runtime,
            begun,
            since: Duration::ZERO,
        }
    }

    pub(crate) fn advance_to(&mut self, since: Duration) {
        if self.since < since {
            let passed = since.saturating_sub(self.since);
            let inside = self.runtime.enter();
            // What it would wait for are other tasks, and there are none.
            _ = tokio::time::advance(passed).now_or_never();
            drop(inside);
            self.since = since;
            clock::played::set(since);
        }
    }

    /// As the lanes and the journal have it.
    pub(crate) fn now(&self) -> (Instant, u64) {
        (self.begun + self.since, clock::now_ms())
    }

    /// How long after the beginning that is, but no less than now.
    pub(crate) fn since(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.begun).max(self.since)
    }
}

/// Of what has come and is not taken there is never more.
const UNREAD_MAX: usize = 1024;

/// What a Falco is told beside its outbox.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub routes: Vec<&'static str>,
    pub delivery: delivery::Config,
    pub memo: Option<MemoPlace>,
}

impl Plan {
    fn config(&self, outbox: Option<Outbox>) -> Config {
        let routes = self.routes.iter().map(|name| super::super::Route {
            name: (*name).into(),
            socket: PathBuf::new(),
        });
        Config {
            outbox,
            routes: routes.collect(),
            delivery: self.delivery.clone(),
            memo: self.memo.clone(),
            ..Config::new("device", PathBuf::new())
        }
    }
}

/// One life of a Falco.
pub(crate) struct Played {
    dispatcher: Dispatcher,
    acks: BTreeMap<u64, mpsc::Receiver<Vec<Ack>>>,
    news: BTreeMap<u64, watch::Receiver<News>>,
    ends: (mpsc::Sender<Submission>, mpsc::Sender<Query>),
}

impl Played {
    /// One without an outbox.
    pub(crate) fn direct(time: &Time, plan: &Plan) -> Self {
        let _inside = time.runtime.enter();
        let (submit, submissions) = mpsc::channel(UNREAD_MAX);
        let (query, queries) = mpsc::channel(1);
        let config = plan.config(None);
        Self {
            dispatcher: Dispatcher::with(&config, None, submissions, queries),
            acks: BTreeMap::new(),
            news: BTreeMap::new(),
            ends: (submit, query),
        }
    }

    /// The same; unless it `records`, it only publishes what is kept already.
    pub(crate) fn begin(
        time: &Time,
        opened: (Journal, Recovered),
        config: &journal::Config,
        plan: &Plan,
        records: bool,
    ) -> Self {
        let mut played = Self::opened(time, opened, config, plan, records);
        played.restore_all(time);
        played
    }

    /// Takes over all that was recovered.
    pub(crate) fn restore_all(&mut self, time: &Time) {
        while !*self.dispatcher.has_read.borrow() {
            self.restore(time);
        }
    }

    /// The same, and what was recovered is still to be taken over.
    pub(crate) fn opened(
        time: &Time,
        (journal, recovered): (Journal, Recovered),
        config: &journal::Config,
        plan: &Plan,
        records: bool,
    ) -> Self {
        let mut played = Self::unopened(time, config, plan, records);
        played.recover(time, (journal, recovered));
        played
    }

    /// The same, and its journal is not open yet.
    pub(crate) fn unopened(
        time: &Time,
        config: &journal::Config,
        plan: &Plan,
        records: bool,
    ) -> Self {
        let _inside = time.runtime.enter();
        let outbox = Outbox {
            effects_max: usize::MAX,
            directory: PathBuf::new(),
            journal: config.clone(),
            home: journal::Home::default(),
            records,
            resume_grace: Duration::ZERO,
        };
        let config = plan.config(Some(outbox.clone()));
        let (submit, submissions) = mpsc::channel(UNREAD_MAX);
        let (query, queries) = mpsc::channel(1);
        let keeper = Keeper::unopened(outbox);
        Self {
            dispatcher: Dispatcher::with(&config, Some(keeper), submissions, queries),
            acks: BTreeMap::new(),
            news: BTreeMap::new(),
            ends: (submit, query),
        }
    }

    /// The journal is open, and was read.
    pub(crate) fn recover(&mut self, time: &Time, (journal, recovered): (Journal, Recovered)) {
        let _inside = time.runtime.enter();
        let keeper = self.dispatcher.keeper.as_mut();
        keeper.expect("it has an outbox").open(journal);
        let recovered = Event::Recovered(Box::new(recovered));
        self.dispatcher.handle_kept(recovered);
    }

    /// Takes over some more of what was recovered.
    pub(crate) fn restore(&mut self, time: &Time) {
        let _inside = time.runtime.enter();
        self.dispatcher.handle_kept(Event::Restoring);
        self.dispatcher.advance();
    }

    /// A daemon connects.
    pub(crate) fn open(&mut self, connection: u64) {
        if self.acks.contains_key(&connection) {
            return;
        }
        let (acks, decided) = mpsc::channel(32_768);
        self.acks.insert(connection, decided);
        let (news, heard) = watch::channel(News::default());
        self.news.insert(connection, heard);
        let open = Submission::Open(SessionId(connection), WayBack { acks, news });
        self.dispatcher.take(open);
    }

    /// Whether a connection is not read, because too much of what it sent waits for
    /// the outcome of another.
    pub(crate) fn crowds(&self, connection: u64) -> bool {
        self.news[&connection].borrow().crowds
    }

    /// What decides whether its session reads a connection; nothing is owed yet.
    pub(in crate::ingest) fn debts(&self, connection: u64) -> Debts {
        Debts::new(self.news[&connection].clone())
    }

    pub(crate) fn close(&mut self, time: &Time, connection: u64) {
        let _inside = time.runtime.enter();
        self.acks.remove(&connection);
        self.news.remove(&connection);
        self.dispatcher
            .take(Submission::Close(SessionId(connection)));
        self.dispatcher.advance();
    }

    /// Effects of one read; nobody is told anything before [`Self::advance`].
    pub(crate) fn submit(&mut self, time: &Time, connection: u64, effects: Vec<SideEffect>) {
        self.submit_late(time, connection, effects, time.now().0);
    }

    /// The same of what was read then, and waited for room.
    pub(crate) fn submit_late(
        &mut self,
        time: &Time,
        connection: u64,
        effects: Vec<SideEffect>,
        read: Instant,
    ) {
        let _inside = time.runtime.enter();
        let arrived = read.into();
        let routed = Routed { effects, arrived };
        let routed = Submission::Effects(SessionId(connection), routed);
        self.dispatcher.take(routed);
    }

    /// What the lanes hold that are not kept on disk, by route: each of them, and
    /// what all are said to.
    pub(crate) fn held(&self) -> impl Iterator<Item = (Vec<Amount>, Amount)> {
        let routes = self.dispatcher.ways.routes().len();
        let direct = self.dispatcher.ways.iter().take(routes);
        direct.map(|way| {
            let (lanes, all) = way.lanes.held();
            (lanes.collect(), all)
        })
    }

    /// Whether it reads.
    pub(crate) fn has_room(&self) -> bool {
        self.dispatcher.has_room()
    }

    /// Does what its loop does after an event.
    pub(crate) fn advance(&mut self, time: &Time) {
        let _inside = time.runtime.enter();
        self.dispatcher.advance();
    }

    /// Whether what arrives is recorded.
    pub(crate) fn records(&self) -> bool {
        self.dispatcher.keeper.as_ref().is_some_and(Keeper::records)
    }

    /// It is to stop, while effects have come over connections and are not taken.
    pub(crate) fn stop(&mut self, time: &Time, unread: Vec<(u64, SideEffect)>) {
        let _inside = time.runtime.enter();
        for (connection, effect) in unread {
            let routed = Routed::now(vec![effect]);
            let effects = Submission::Effects(SessionId(connection), routed);
            self.ends.0.try_send(effects).expect("room for it");
        }
        self.dispatcher.begin_stop();
        self.dispatcher.advance();
    }

    /// Whether it has stopped.
    pub(crate) fn is_done(&self) -> bool {
        self.dispatcher.is_done()
    }

    /// The last thing it does. Whether it waits for its journal: then `work` is
    /// what that does meanwhile, and the end of both.
    pub(crate) fn end(self, time: &Time, work: impl FnOnce()) -> bool {
        let _inside = time.runtime.enter();
        let mut ending = pin!(self.dispatcher.end());
        let waits = ending.as_mut().now_or_never().is_none();
        if waits {
            work();
            let has_ended = ending.now_or_never().is_some();
            assert!(has_ended, "the journal has ended, and Falco waits for it");
        }
        waits
    }

    /// The same, and it waits in vain for what its journal may not do any more.
    pub(crate) fn end_unheard(self, time: &Time) {
        let _inside = time.runtime.enter();
        _ = self.dispatcher.end().now_or_never();
    }

    /// Whether the journal knows all it is to know.
    pub(crate) fn is_written(&self) -> bool {
        let keeper = self.dispatcher.keeper.as_ref();
        keeper.is_none_or(Keeper::is_idle)
    }

    /// Hears what the journal says; whether that was anything.
    pub(crate) fn hear(&mut self, time: &Time) -> bool {
        let _inside = time.runtime.enter();
        let keeper = |played: &mut Self| played.dispatcher.keeper.as_mut()?.happened();
        let mut has_heard = false;
        while let Some(event) = keeper(self) {
            self.dispatcher.handle_kept(event);
            self.dispatcher.advance();
            has_heard = true;
        }
        has_heard
    }

    /// Why it ends, if it does.
    pub(crate) fn verdict(&self) -> Option<super::super::Verdict> {
        let keeper = self.dispatcher.keeper.as_ref()?;
        keeper.verdict()
    }

    pub(crate) fn wake(&mut self, time: &Time) {
        let _inside = time.runtime.enter();
        self.dispatcher.handle_due();
        self.dispatcher.advance();
    }

    /// What it says of itself.
    pub(crate) fn status(&mut self, time: &Time) -> IngestStatus {
        let _inside = time.runtime.enter();
        self.dispatcher.status()
    }

    /// When it wants to be woken.
    pub(crate) fn due(&self) -> Option<Instant> {
        let kept = self.dispatcher.kept_due();
        let lanes = self.dispatcher.ways.poll_timeout();
        let until = match self.dispatcher.stop {
            Stop::Draining { until } => Some(until),
            Stop::No | Stop::Over => None,
        };
        let others = kept.into_iter().chain(until);
        let others = others.map(tokio::time::Instant::into_std);
        lanes.into_iter().chain(others).min()
    }

    /// All ways to the transport.
    pub(crate) fn ways(&self) -> usize {
        self.dispatcher.ways.iter().count()
    }

    pub(crate) fn link(&mut self, way: usize, peer: Peer) {
        let way = self.dispatcher.ways.iter_mut().nth(way);
        let lanes = &mut way.expect("one of its ways").lanes;
        lanes.handle_connected(peer);
    }

    pub(crate) fn unlink(&mut self, time: &Time, way: usize) {
        self.noting(way).lost();
        let way = self.dispatcher.ways.iter_mut().nth(way);
        let lanes = &mut way.expect("one of its ways").lanes;
        lanes.handle_disconnected(time.now().0);
        self.advance(time);
    }

    /// The next request that goes out on a way.
    pub(crate) fn request(&mut self, time: &Time, way: usize) -> Option<Request<'_>> {
        let now = time.now().0;
        let Dispatcher { ways, memo, .. } = &mut self.dispatcher;
        let request = ways.iter_mut().nth(way)?.lanes.poll_request(now)?;
        Noting::new(memo.as_mut(), way, BootTime::now()).sent(&request);
        Some(request)
    }

    fn noting(&mut self, way: usize) -> Noting<'_> {
        Noting::new(self.dispatcher.memo.as_mut(), way, BootTime::now())
    }

    pub(crate) fn answer(
        &mut self,
        time: &Time,
        (way, id): (usize, RequestId),
        refusal: Option<&Refusal<'_>>,
    ) {
        let now = time.now().0;
        self.noting(way).answered(id, refusal.is_none());
        let way = self.dispatcher.ways.iter_mut().nth(way);
        let lanes = &mut way.expect("one of its ways").lanes;
        match refusal {
            None => lanes.handle_accepted(id),
            Some(refusal) => lanes.handle_refused(id, refusal, now),
        }
        self.advance(time);
    }

    /// Whether nothing waits to be published.
    pub(crate) fn is_drained(&self) -> bool {
        let keeper = self.dispatcher.keeper.as_ref();
        keeper.is_none_or(Keeper::is_drained)
    }

    /// Whether an effect of a connection is on its way.
    pub(crate) fn is_open(&self, id: EffectId) -> bool {
        self.dispatcher.admission.is_open(id)
    }

    /// The acks of all connections since last asked.
    pub(crate) fn acks(&mut self) -> Vec<(u64, EffectId, Outcome)> {
        let mut told = Vec::new();
        for (connection, acks) in &mut self.acks {
            while let Ok(acks) = acks.try_recv() {
                let acks = acks.into_iter();
                told.extend(acks.map(|ack| (*connection, ack.id, ack.outcome)));
            }
        }
        told
    }

    /// An operator asks something.
    pub(crate) fn ask(
        &mut self,
        time: &Time,
        request: OutboxRequest,
    ) -> oneshot::Receiver<OutboxAnswer> {
        let _inside = time.runtime.enter();
        let (answer, told) = oneshot::channel();
        self.dispatcher.answer(Query::Outbox(request, answer));
        self.dispatcher.advance();
        told
    }

    /// An operator asks something of its lanes. Of what the journal has to
    /// write first, there is no answer.
    pub(crate) fn ask_lanes(
        &mut self,
        time: &Time,
        request: LaneRequest,
    ) -> oneshot::Receiver<LaneAnswer> {
        let _inside = time.runtime.enter();
        let (answer, told) = oneshot::channel();
        self.dispatcher.answer(Query::Lanes(request, answer));
        self.dispatcher.advance();
        told
    }
}
