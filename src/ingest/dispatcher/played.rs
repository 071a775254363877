//! The dispatcher without its sockets, tasks and clocks: whoever plays with it
//! says what happens and what time it is.
//!
//! Lives on one thread, in a runtime whose time stands still; the transport's
//! part is played on the lanes themselves.

mod daemons;
mod operator;
mod time;
mod transport;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, watch};

pub(crate) use self::time::Time;
use super::super::session::SessionId;
use super::super::{Config, MemoPlace, Outbox, Query};
use super::keeper::{Event, Keeper};
use super::{Ack, Dispatcher, News, Routed, Stop, Submission};
use crate::delivery;
use crate::journal::{self, Journal, Recovered};
use crate::protocol::envelope::SideEffect;

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

    /// Whether nothing waits to be published.
    pub(crate) fn is_drained(&self) -> bool {
        let keeper = self.dispatcher.keeper.as_ref();
        keeper.is_none_or(Keeper::is_drained)
    }
}
