//! Requests that were given up, or taken apart, and may be answered all the same.
//!
//! Their daemon was told `ambiguous`, and sends again when it likes: minutes later,
//! when Ably does not know the id any more. But a transport that was slow, or stood
//! still, works off what it was given, and says what became of it. Once it says
//! that it is published, whoever answers daemons, or keeps dead letters, hears of it
//! ([`Lanes::poll_published_late`]), and what comes again is published no second
//! time.
//!
//! The effects of a batch that was refused, or of which one was taken back, go out
//! one by one, or with others: under ids that Ably does not know, for it knows the
//! batch by the list. If an earlier sending of it is accepted after that, they are
//! published, and settled; but for those that are part of another request by then,
//! which is sent again as it was.
//!
//! Only what nobody has answered is remembered, and no longer than the connection
//! lasts by which it went out. Holds 8192 requests at most, 5 MiB if all are whole
//! batches; the oldest are forgotten first, which may cost copies.

use std::collections::{BTreeMap, VecDeque};

use super::Lanes;
use crate::delivery::lane::Lane;
use crate::delivery::request::RequestId;
use crate::protocol::id::{EffectId, LaneKey};

/// Requests that are remembered.
const REQUESTS_MAX: usize = 8192;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    /// By their generation, and so the oldest first.
    requests: BTreeMap<u64, Unanswered>,
    /// Effects that were published together, and nobody knows it yet.
    published: VecDeque<Vec<EffectId>>,
}

#[derive(Debug)]
struct Unanswered {
    lane: LaneKey,
    effects: Vec<EffectId>,
    /// Sendings that may be answered.
    sendings: u32,
}

impl GivenUp {
    fn insert(&mut self, generation: u64, unanswered: Unanswered) {
        self.requests.insert(generation, unanswered);
        if REQUESTS_MAX < self.requests.len() {
            self.requests.pop_first();
        }
    }

    /// A sending is answered, maybe of one of them: which that is, if it is accepted.
    fn answer(&mut self, generation: u64, is_accepted: bool) -> Option<Unanswered> {
        let mut unanswered = self.requests.remove(&generation)?;
        unanswered.sendings -= 1;
        if is_accepted {
            return Some(unanswered);
        }
        if 0 < unanswered.sendings {
            self.requests.insert(generation, unanswered);
        }
        None
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// The connection is gone: no answers come any more.
    pub(super) fn forget(&mut self) {
        self.requests.clear();
    }
}

impl<T> Lanes<T> {
    /// The next effects that went out together, were given up or taken apart, and
    /// are published: told after those of them that are settled by that.
    pub(crate) fn poll_published_late(&mut self) -> Option<Vec<EffectId>> {
        self.given_up.published.pop_front()
    }

    /// The front of this lane is about to be given up, or taken apart; so many of its
    /// sendings may still be answered.
    pub(super) fn remember_unanswered(&mut self, lane: &Lane<T>, sendings: u32) {
        if sendings == 0 {
            return;
        }
        let effects = lane.front().into_iter().map(|effect| effect.id);
        let unanswered = Unanswered {
            lane: lane.key.clone(),
            effects: effects.collect(),
            sendings,
        };
        self.given_up.insert(lane.generation, unanswered);
    }

    /// An answer came to what no lane has in front.
    pub(super) fn take_stray(&mut self, id: RequestId, is_accepted: bool) {
        let was_asked = (1..self.next_generation).contains(&id.generation);
        self.late += u64::from(was_asked);
        let Some(accepted) = self.given_up.answer(id.generation, is_accepted) else {
            return;
        };
        if let Some(&slot) = self.by_key.get(&accepted.lane) {
            self.update(slot, |lanes, lane| {
                lanes.settled.extend(lane.accept_known(&accepted.effects));
            });
        }
        self.hear(accepted.effects.len());
        self.given_up.published.push_back(accepted.effects);
    }

    /// An answer came to what a lane has in front, and has stopped to wait for.
    pub(super) fn take_late(&mut self, lane: &mut Lane<T>) {
        lane.unheard = lane.unheard.saturating_sub(1);
        self.late += 1;
    }
}
