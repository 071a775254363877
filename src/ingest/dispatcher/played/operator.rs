//! What an operator asks.

use tokio::sync::oneshot;

use super::super::super::Query;
use super::{Played, Time};
use crate::protocol::control::IngestStatus;
use crate::protocol::lane::{LaneAnswer, LaneRequest};
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest};

impl Played {
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

    /// What it says of itself.
    pub(crate) fn status(&mut self, time: &Time) -> IngestStatus {
        let _inside = time.runtime.enter();
        self.dispatcher.status()
    }
}
