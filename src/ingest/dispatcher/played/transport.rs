//! What the transport does, played on the lanes themselves.

use super::super::Dispatcher;
use super::super::link::Noting;
use super::{Played, Time};
use crate::clock::BootTime;
use crate::delivery::{Peer, Refusal, Request, RequestId};

impl Played {
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
}
