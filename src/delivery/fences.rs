//! The fence: what was sent to come in order does not overtake what failed.
//!
//! A daemon that pipelines has more effects of a lane on their way while one of
//! them fails. Those that wait behind it fail too; those that are still between
//! the daemon and Falco would be published before the daemon sends the failed
//! one again. A frame with the flag [`FLAG_ORDERED`] asks for more: while an
//! effect with that flag has failed and may come again, those after it in its
//! lane fail with `gap: resend <effect id>`, until what failed, and what was
//! refused because of it, came again under their ids, in their order.
//!
//! What the [gap gate](super::gaps) refuses of them, or anything else for now, has
//! failed like any other.
//!
//! An effect stands in a fence once, wherever it was put first, however often it
//! was submitted. Several may have one place, where others went out before what
//! was to come before them: those are waited for in the order they failed
//! first.
//!
//! A fence belongs to the connection that was told of the failure. It is gone
//! when the connection closes, since a daemon that comes back begins with what
//! is not acked; or 30 s after the last failure, whatever was refused because of it
//! meanwhile, since then the effect is not coming. Failures that are final raise none.
//!
//! Holds 65 536 effects at most; beyond, new failures raise no more fences, and are
//! counted.
//!
//! [`FLAG_ORDERED`]: crate::protocol::frame::FLAG_ORDERED

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::effect::Producer;
use super::gaps::{Stream, Wait};
use super::path::Path;
use crate::clock::BootTime;
use crate::protocol::id::EffectId;

/// Effects held over all fences.
const EFFECTS_MAX: usize = 65_536;

/// Whose, and where; those of one connection stand side by side.
type Whose = (Producer, Path);

fn whose(stream: &Stream<'_>) -> Whose {
    (stream.producer, Path::new(stream.route, stream.lane))
}

/// Names a fence; none that is raised later has the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Number(u64);

/// Where an effect stands that has to come again, for whoever has no more of it
/// than its id later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    fence: Number,
    pub place: u64,
}

/// Where an effect stands: by its place, and by when it came among those that
/// have the same.
type Spot = (u64, u64);

/// What has to come next of a fence, and for how long it is waited for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub id: EffectId,
    pub place: u64,
    pub until: BootTime,
}

#[derive(Debug)]
struct Fence {
    whose: Whose,
    until: BootTime,
    /// What has to come again; never empty.
    failed: BTreeMap<Spot, EffectId>,
    /// The same, to be asked for: behind a failure thousands may be refused.
    spots: HashMap<EffectId, Spot>,
    /// Where those stood that came again, while others of their place have not.
    passed: HashMap<EffectId, Spot>,
    /// How many there were so far.
    count: u64,
    /// Where one of them went out, behind the place it had: what has an earlier one
    /// would leave its lane before it.
    floor: u64,
}

impl Fence {
    fn new(whose: Whose, until: BootTime) -> Self {
        Self {
            whose,
            until,
            failed: BTreeMap::new(),
            spots: HashMap::new(),
            passed: HashMap::new(),
            count: 0,
            floor: 0,
        }
    }

    /// What has to come next.
    fn head(&self) -> Option<Head> {
        let ((place, _), id) = self.failed.first_key_value()?;
        Some(Head {
            id: *id,
            place: *place,
            until: self.until,
        })
    }

    /// Returns whether one more has to come again; who stands there stays.
    fn insert(&mut self, arrival: u64, id: EffectId) -> bool {
        let Entry::Vacant(spot) = self.spots.entry(id) else {
            return false;
        };
        let before = self.passed.remove(&id);
        let before = before.filter(|(place, _)| *place == arrival);
        let at = *spot.insert(before.unwrap_or((arrival, self.count)));
        self.failed.insert(at, id);
        self.count += 1;
        true
    }

    /// It is waited for no more. Returns the place it had.
    fn remove(&mut self, id: EffectId) -> Option<u64> {
        let spot = self.spots.remove(&id)?;
        self.failed.remove(&spot);
        let place = spot.0;
        let mut others = self.failed.range((place, 0)..=(place, u64::MAX));
        if others.next().is_some() {
            self.passed.insert(id, spot);
        } else {
            self.passed.retain(|_, (other, _)| *other != place);
        }
        Some(place)
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fences {
    standing: HashMap<Number, Fence>,
    by_whose: BTreeMap<Whose, Number>,
    raised: u64,
    effects: usize,
    /// How often there was no room for one more.
    refused: u64,
    /// Until when each stands, the one that is over first in front.
    ends: BTreeSet<(BootTime, Number)>,
}

impl Fences {
    fn find(&self, stream: &Stream<'_>) -> Option<(Number, &Fence)> {
        if self.standing.is_empty() {
            return None;
        }
        let number = *self.by_whose.get(&whose(stream))?;
        Some((number, self.standing.get(&number)?))
    }

    /// An effect arrives; the one that has to come first, if it may not pass. If
    /// it may, it still has to be let [pass](Self::pass).
    pub(super) fn arrive(
        &mut self,
        stream: &Stream<'_>,
        id: EffectId,
        now: BootTime,
    ) -> Option<Wait<EffectId>> {
        let (number, fence) = self.find(stream)?;
        let head = fence.head()?;
        if head.until <= now {
            self.drop_fence(number);
            return None;
        }
        let (first, until) = (head.id, head.until);
        (first != id).then_some(Wait { first, until })
    }

    /// The effect that is waited for next: turned away once more, it must not come
    /// behind those that wait for it.
    pub(super) fn head(&self, stream: &Stream<'_>) -> Option<Head> {
        self.find(stream)?.1.head()
    }

    /// Where an effect stands that has to come again.
    pub(super) fn standing_at(&self, stream: &Stream<'_>, id: EffectId) -> Option<Standing> {
        let (number, fence) = self.find(stream)?;
        fence.spots.get(&id).map(|(place, _)| Standing {
            fence: number,
            place: *place,
        })
    }

    /// An effect failed and may come again, until then at most. If it has to
    /// already, it keeps its place. Returns whether it stands in a fence.
    pub(super) fn fail(
        &mut self,
        stream: &Stream<'_>,
        id: EffectId,
        arrival: u64,
        until: BootTime,
        now: BootTime,
    ) -> bool {
        if let Some((number, fence)) = self.find(stream)
            && fence.until <= now
        {
            self.drop_fence(number);
        }
        let found = self.find(stream);
        let held = found.filter(|(_, fence)| fence.spots.contains_key(&id));
        let held = held.map(|(number, _)| number);
        let number = held.or_else(|| self.insert(stream, id, arrival, now));
        if let Some(number) = number {
            self.prolong(number, until);
        }
        number.is_some()
    }

    /// One more has to come again; returns in which fence, if there is room.
    fn insert(
        &mut self,
        stream: &Stream<'_>,
        id: EffectId,
        arrival: u64,
        now: BootTime,
    ) -> Option<Number> {
        self.make_room(now);
        if self.effects >= EFFECTS_MAX {
            self.refused += 1;
            return None;
        }
        let whose = whose(stream);
        let number = *self.by_whose.entry(whose.clone()).or_insert_with(|| {
            self.raised += 1;
            Number(self.raised)
        });
        let fence = self.standing.entry(number);
        let fence = fence.or_insert_with(|| Fence::new(whose, now));
        self.effects += usize::from(fence.insert(arrival, id));
        Some(number)
    }

    /// It stands until then from now on, if not for longer.
    fn prolong(&mut self, number: Number, until: BootTime) {
        let fence = self.standing.get_mut(&number);
        let Some(fence) = fence.filter(|fence| fence.until < until) else {
            return;
        };
        let before = std::mem::replace(&mut fence.until, until);
        self.ends.remove(&(before, number));
        self.ends.insert((until, number));
    }

    /// An effect comes whatever the fence says, and is waited for no more; it goes out
    /// `at` that place, if it does. Returns the place it had there.
    pub(super) fn pass(
        &mut self,
        stream: &Stream<'_>,
        id: EffectId,
        at: Option<u64>,
    ) -> Option<Standing> {
        let (number, _) = self.find(stream)?;
        self.take_out(number, id, at)
    }

    /// The place before which none that stands here may go out any more.
    pub(super) fn floor(&self, stream: &Stream<'_>) -> u64 {
        self.find(stream).map_or(0, |(_, fence)| fence.floor)
    }

    /// An effect that joined another of the same, and stood there, has its outcome,
    /// and does not come again.
    pub(super) fn settle(&mut self, standing: Standing, id: EffectId) {
        self.take_out(standing.fence, id, None);
    }

    fn take_out(&mut self, number: Number, id: EffectId, at: Option<u64>) -> Option<Standing> {
        let fence = self.standing.get_mut(&number)?;
        let place = fence.remove(id)?;
        let lost = at.filter(|at| place < *at);
        fence.floor = fence.floor.max(lost.unwrap_or(0));
        let is_over = fence.failed.is_empty();
        self.effects -= 1;
        if is_over {
            self.drop_fence(number);
        }
        Some(Standing {
            fence: number,
            place,
        })
    }

    /// How often an effect was not held, because no more are.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// A connection is closed; its daemon will begin anew.
    pub(super) fn close(&mut self, producer: Producer) {
        let first = (producer, Path::first());
        let its = self.by_whose.range(first..);
        let its = its.take_while(|((whose, _), _)| *whose == producer);
        let its: Vec<_> = its.map(|(_, number)| *number).collect();
        for number in its {
            self.drop_fence(number);
        }
    }

    fn drop_fence(&mut self, number: Number) {
        if let Some(fence) = self.standing.remove(&number) {
            self.by_whose.remove(&fence.whose);
            self.effects -= fence.failed.len();
            self.ends.remove(&(fence.until, number));
        }
    }

    /// Drops what is over, one fence after the other, until there is room.
    fn make_room(&mut self, now: BootTime) {
        while self.effects >= EFFECTS_MAX {
            let first = self.ends.first().filter(|(until, _)| *until <= now);
            let Some((_, number)) = first.copied() else {
                return;
            };
            self.drop_fence(number);
        }
    }
}

#[cfg(test)]
mod tests;
