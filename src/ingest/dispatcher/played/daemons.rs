//! What daemons do, and what they are told.

use std::time::Instant;

use tokio::sync::{mpsc, watch};

use super::super::super::session::{Debts, SessionId};
use super::super::{News, Routed, Submission, WayBack};
use super::{Played, Time};
use crate::delivery::{Amount, Outcome};
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::EffectId;

impl Played {
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

    /// Whether an effect of a connection is on its way.
    pub(crate) fn is_open(&self, id: EffectId) -> bool {
        self.dispatcher.admission.is_open(id)
    }
}
