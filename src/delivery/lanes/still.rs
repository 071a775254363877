//! Which lanes stand still, and whether the transport does.
//!
//! A lane stands still while its last attempt was not answered, or the last two
//! were refused for no fault of the effect, and while the request that is out
//! has been so for long and others were heard meanwhile. One slow or refused
//! request alone says little, and what is sent to a lane that stands still may
//! find it full. It waits for its turn and is tried like any other; but nobody
//! should wait for it.
//!
//! By others one knows that a lane stands still long before its attempt is over. It
//! might be slow all the same: what of that has to be given back is for whoever
//! counts what stands still in all ([`Owed`]), and nothing is while no other goes on.
//!
//! The transport is quiet once it is away, or without Ably, for a while, and
//! while what is out for long is the last that was sent, or nothing sent after
//! it was answered either. The first answer ends that.
//!
//! [`Owed`]: crate::delivery::owed::Owed

use std::time::Instant;

use super::Lanes;
use crate::delivery::config::Keeping;
use crate::delivery::effect::Producer;
use crate::delivery::health::Shared;
use crate::delivery::lane::{Lane, Stuck};
use crate::delivery::owed::Amount;
use crate::protocol::id::LaneKey;

/// Whether anything comes back from the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quiet {
    No,
    /// It has been in trouble since.
    Since(Instant),
    Yes,
}

impl<T> Lanes<T> {
    /// Whether nothing comes back from the transport for a while now, and
    /// something waits for that.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet == Quiet::Yes && !self.is_empty()
    }

    /// The lanes whose front has been tried in vain; none while there is no
    /// transport to try it on.
    pub(crate) fn stuck(&self) -> impl Iterator<Item = Stuck<'_>> {
        let lanes = self.peer.iter().flat_map(|_| self.slots.iter().flatten());
        lanes.filter_map(Lane::stuck)
    }

    /// Whether what it holds is kept, and no daemon waits for it.
    pub(crate) fn keeps(&self) -> bool {
        self.config.keeping == Keeping::Outbox
    }

    /// The next lane that stands still, or goes on.
    pub(crate) fn poll_still(&mut self) -> Option<(LaneKey, bool)> {
        self.moved.pop_front()
    }

    /// The next lane whose request is slow, so that it may stand still, or is not
    /// any more.
    pub(crate) fn poll_slow(&mut self) -> Option<(LaneKey, bool)> {
        self.slowed.pop_front()
    }

    /// Whether the last request of this lane met trouble.
    pub(crate) fn is_ill(&self, lane: &LaneKey) -> bool {
        let slot = self.by_key.get(lane);
        let lane = slot.and_then(|slot| self.slots[*slot as usize].as_ref());
        lane.is_some_and(|lane| !lane.health.is_well())
    }

    /// Whether others have shown that this lane stands still, and still go on.
    pub(crate) fn is_alone(&self, lane: &LaneKey) -> bool {
        let slot = self.by_key.get(lane);
        let lane = slot.and_then(|slot| self.slots[*slot as usize].as_ref());
        self.quiet == Quiet::No && lane.is_some_and(Lane::is_alone)
    }

    /// The next lane of which others have shown that; none while nobody is answered.
    pub(crate) fn poll_alone(&mut self) -> Option<LaneKey> {
        while self.quiet == Quiet::No {
            let lane = self.alone.pop_front()?;
            if self.is_alone(&lane) {
                return Some(lane);
            }
        }
        None
    }

    /// So much too much stands still of a connection: this lane refuses the latest it
    /// holds of it. Returns whether that is anything.
    pub(crate) fn handle_surplus(
        &mut self,
        lane: &LaneKey,
        whose: Producer,
        surplus: Amount,
    ) -> bool {
        let Some(&slot) = self.by_key.get(lane) else {
            return false;
        };
        self.update(slot, |lanes, lane| {
            let before = lanes.settled.len();
            lanes.settled.extend(lane.refuse_latest(whose, surplus));
            before < lanes.settled.len()
        })
    }

    /// An effect of this lane found no room. None that comes behind it overtakes
    /// it by finding some before the lane is empty.
    pub(crate) fn handle_full(&mut self, lane: &LaneKey) {
        if let Some(&slot) = self.by_key.get(lane) {
            self.update(slot, |_, lane| lane.fill());
        }
    }

    /// The next lane that was full, and is empty.
    pub(crate) fn poll_emptied(&mut self) -> Option<LaneKey> {
        self.emptied.pop_front()
    }

    /// Nothing is known of a transport nobody has used.
    pub(super) fn begin_use(&mut self, now: Instant) {
        if self.is_empty() {
            self.quiet = Quiet::No;
        }
        if self.peer.is_none() {
            self.take_outage(now);
        }
    }

    /// What keeps lanes back has begun.
    pub(super) fn take_outage(&mut self, now: Instant) {
        if self.quiet == Quiet::No {
            self.quiet = Quiet::Since(now);
        }
    }

    /// Trouble of all lanes has begun, if it has.
    pub(super) fn note_outage(&mut self, now: Instant) {
        if self.shared != Shared::Nothing {
            self.take_outage(now);
        }
    }

    /// A request has been out for long, and was slow when `last` was sent. That is
    /// the lane's trouble if one sent later was answered; else it may be
    /// everybody's, and is looked at again.
    pub(super) fn take_stillness(&mut self, lane: &mut Lane<T>, last: u64, now: Instant) {
        if self.pace.has_not_heard_since(lane.number) {
            self.quiet = Quiet::Yes;
        }
        if self.pace.has_not_heard_since(last + 1) {
            lane.slow_down(now, last);
        } else {
            lane.grow_still();
            if self.config.keeping == Keeping::Daemon {
                self.alone.push_back(lane.key.clone());
            }
        }
    }

    /// Whether nothing comes back because the transport is away or without Ably,
    /// and not because of what was sent last.
    pub(crate) fn is_down(&self) -> bool {
        self.is_quiet() && (self.peer.is_none() || self.shared != Shared::Nothing)
    }

    /// When the transport has been away for long enough to be quiet. For what the
    /// outbox keeps nobody waits.
    pub(super) fn quiet_due(&self) -> Option<Instant> {
        let is_waited_for = self.config.keeping == Keeping::Daemon && !self.is_empty();
        match self.quiet {
            Quiet::Since(since) if is_waited_for => Some(since + self.config.quiet_after),
            Quiet::Since(_) | Quiet::No | Quiet::Yes => None,
        }
    }

    pub(super) fn quiet_timeout(&mut self, now: Instant) {
        if self.quiet_due().is_some_and(|due| due <= now) {
            self.quiet = Quiet::Yes;
        }
    }
}
