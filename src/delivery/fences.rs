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
//! A fence belongs to the connection that was told of the failure. It is gone
//! when the connection closes, since a daemon that comes back begins with what
//! is not acked; or 30 s after the last failure, since then the effect is not
//! coming. Failures that are final raise none.
//!
//! Holds 65 536 effects at most; beyond, new failures raise no more fences.
//!
//! [`FLAG_ORDERED`]: crate::protocol::frame::FLAG_ORDERED

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::Duration;

use super::effect::Producer;
use super::gaps::Stream;
use super::path::Path;
use crate::clock::BootTime;
use crate::protocol::id::EffectId;

/// How long an effect that failed is waited for; longer than the longest pause
/// of our own client.
const PATIENCE: Duration = Duration::from_secs(30);

/// Effects held over all fences.
const EFFECTS_MAX: usize = 65_536;

/// Whose, and where.
type Whose = (Producer, Path);

fn whose(stream: &Stream<'_>) -> Whose {
    (stream.producer, Path::new(stream.route, stream.lane))
}

#[derive(Debug)]
struct Fence {
    until: BootTime,
    /// What has to come again, by its place; never empty.
    failed: BTreeMap<u64, EffectId>,
    /// The same, to be asked for: behind a failure thousands may be refused.
    ids: HashSet<EffectId>,
}

impl Fence {
    /// Returns whether one more has to come again.
    fn insert(&mut self, arrival: u64, id: EffectId) -> bool {
        let before = self.failed.insert(arrival, id);
        if let Some(before) = before {
            self.ids.remove(&before);
        }
        self.ids.insert(id);
        before.is_none()
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fences {
    standing: HashMap<Whose, Fence>,
    effects: usize,
    /// Until when each stands, the one that is over first in front.
    ends: BTreeSet<(BootTime, Whose)>,
}

impl Fences {
    /// An effect arrives, `arrival` being its place if it has to wait; the
    /// effect that has to come first, if it may not pass.
    pub(super) fn arrive(
        &mut self,
        stream: &Stream<'_>,
        id: EffectId,
        arrival: u64,
        now: BootTime,
    ) -> Option<EffectId> {
        if self.standing.is_empty() {
            return None;
        }
        let path = whose(stream);
        let fence = self.standing.get_mut(&path)?;
        let first = *fence.failed.first_key_value()?.1;
        if fence.until <= now {
            self.drop_fence(&path);
            return None;
        }
        if first != id {
            if !fence.ids.contains(&id) && self.effects < EFFECTS_MAX {
                self.effects += usize::from(fence.insert(arrival, id));
            }
            return Some(first);
        }
        fence.failed.pop_first();
        fence.ids.remove(&id);
        self.effects -= 1;
        if fence.failed.is_empty() {
            self.drop_fence(&path);
        }
        None
    }

    /// Where an effect stands that is waited for next: turned away once more, it
    /// must not come behind those that wait for it.
    pub(super) fn place(&self, stream: &Stream<'_>, id: EffectId) -> Option<u64> {
        if self.standing.is_empty() {
            return None;
        }
        let fence = self.standing.get(&whose(stream))?;
        let (place, first) = fence.failed.first_key_value()?;
        (*first == id).then_some(*place)
    }

    /// Where an effect stands that has to come again.
    pub(super) fn standing_at(&self, stream: &Stream<'_>, id: EffectId) -> Option<u64> {
        if self.standing.is_empty() {
            return None;
        }
        let fence = self.standing.get(&whose(stream))?;
        let mut places = fence.failed.iter().filter(|_| fence.ids.contains(&id));
        places.find_map(|(place, failed)| (*failed == id).then_some(*place))
    }

    /// An effect failed and may come again.
    pub(super) fn fail(&mut self, stream: &Stream<'_>, id: EffectId, arrival: u64, now: BootTime) {
        self.make_room(now);
        if self.effects >= EFFECTS_MAX {
            return;
        }
        let path = whose(stream);
        let fence = self.standing.entry(path.clone()).or_insert(Fence {
            until: now,
            failed: BTreeMap::new(),
            ids: HashSet::new(),
        });
        self.effects += usize::from(fence.insert(arrival, id));
        self.prolong(path, now);
    }

    /// The same of an effect that may have failed before, and keeps its place.
    pub(super) fn hold(&mut self, stream: &Stream<'_>, id: EffectId, arrival: u64, now: BootTime) {
        let path = whose(stream);
        let fence = self.standing.get(&path);
        match fence.filter(|fence| fence.ids.contains(&id)) {
            Some(_) => self.prolong(path, now),
            None => self.fail(stream, id, arrival, now),
        }
    }

    /// It stands for its whole time from now on.
    fn prolong(&mut self, path: Whose, now: BootTime) {
        let Some(fence) = self.standing.get_mut(&path) else {
            return;
        };
        let until = now.after(PATIENCE);
        let before = std::mem::replace(&mut fence.until, until);
        let (_, path) = self
            .ends
            .take(&(before, path.clone()))
            .unwrap_or((before, path));
        self.ends.insert((until, path));
    }

    /// An effect comes whatever the fence says, and is waited for no more. Returns
    /// the place it had there.
    pub(super) fn pass(&mut self, stream: &Stream<'_>, id: EffectId) -> Option<u64> {
        if self.standing.is_empty() {
            return None;
        }
        let path = whose(stream);
        let fence = self.standing.get_mut(&path)?;
        if !fence.ids.remove(&id) {
            return None;
        }
        let before = fence.failed.len();
        // What comes again in its order stands in front.
        let mut places = fence.failed.iter();
        let place = places.find_map(|(place, failed)| (*failed == id).then_some(*place))?;
        fence.failed.remove(&place);
        if fence.failed.len() > fence.ids.len() {
            fence.failed.retain(|_, failed| *failed != id);
        }
        self.effects -= before - fence.failed.len();
        if fence.failed.is_empty() {
            self.drop_fence(&path);
        }
        Some(place)
    }

    /// A connection is closed; its daemon will begin anew.
    pub(super) fn close(&mut self, producer: Producer) {
        let paths = self.standing.keys();
        let closed = paths.filter(|(whose, _)| *whose == producer);
        let closed: Vec<_> = closed.cloned().collect();
        for path in closed {
            self.drop_fence(&path);
        }
    }

    fn drop_fence(&mut self, path: &Whose) {
        if let Some(fence) = self.standing.remove(path) {
            self.effects -= fence.failed.len();
            self.ends.remove(&(fence.until, path.clone()));
        }
    }

    /// Drops what is over, one fence after the other, until there is room.
    fn make_room(&mut self, now: BootTime) {
        while self.effects >= EFFECTS_MAX {
            let first = self.ends.first().filter(|(until, _)| *until <= now);
            let Some((_, path)) = first.cloned() else {
                return;
            };
            self.drop_fence(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::LaneKey;

    struct Story {
        fences: Fences,
        now: BootTime,
        arrivals: u64,
    }

    fn id(n: u8) -> EffectId {
        EffectId::from_bytes([n; 16])
    }

    fn stream(lane: &LaneKey, producer: u64) -> Stream<'_> {
        Stream {
            lane,
            route: None,
            producer: Producer(producer),
        }
    }

    impl Story {
        fn with_failed(failed: &[u8]) -> Self {
            let mut story = Self {
                fences: Fences::default(),
                now: BootTime::default(),
                arrivals: 100,
            };
            for n in failed {
                let lane = LaneKey::new("s");
                let stream = stream(&lane, 1);
                story.fences.fail(&stream, id(*n), u64::from(*n), story.now);
            }
            story
        }

        /// Which effect has to come before this one.
        fn arrive(&mut self, lane: &str, producer: u64, n: u8) -> Option<EffectId> {
            let lane = LaneKey::new(lane);
            let stream = stream(&lane, producer);
            self.arrivals += 1;
            self.fences.arrive(&stream, id(n), self.arrivals, self.now)
        }

        fn expect_nothing_held(&self) {
            assert!(self.fences.standing.is_empty());
            assert!(self.fences.ends.is_empty());
            assert_eq!(self.fences.effects, 0);
        }
    }

    #[test]
    fn what_was_on_its_way_behind_a_failure_waits_until_all_before_it_came_again() {
        let mut story = Story::with_failed(&[5, 6]);
        assert_eq!(story.arrive("s", 1, 7), Some(id(5)));
        assert_eq!(story.arrive("s", 1, 8), Some(id(5)));
        assert_eq!(story.arrive("s", 1, 6), Some(id(5)), "out of its order");
        for n in [5, 6] {
            assert_eq!(story.arrive("s", 1, n), None);
        }
        assert_eq!(story.arrive("s", 1, 8), Some(id(7)));
        for n in [7, 8, 9] {
            assert_eq!(story.arrive("s", 1, n), None);
        }
        story.expect_nothing_held();
    }

    #[test]
    fn other_lanes_and_other_connections_pass() {
        let mut story = Story::with_failed(&[5]);
        assert_eq!(story.arrive("other", 1, 7), None);
        assert_eq!(story.arrive("s", 2, 7), None);
        assert_eq!(story.arrive("s", 1, 7), Some(id(5)));
    }

    #[test]
    fn a_fence_is_gone_with_its_connection_and_after_thirty_seconds() {
        let mut story = Story::with_failed(&[5]);
        story.fences.close(Producer(1));
        story.expect_nothing_held();

        let mut story = Story::with_failed(&[5]);
        story.now = story.now.after(PATIENCE);
        assert_eq!(story.arrive("s", 1, 7), None);
        story.expect_nothing_held();
    }

    #[test]
    fn no_more_effects_are_held_than_the_bound() {
        let mut fences = Fences::default();
        let lane = LaneKey::new("s");
        for n in 0..70_000 {
            fences.fail(&stream(&lane, n), id(1), n, BootTime::default());
        }
        assert_eq!(fences.effects, EFFECTS_MAX);
    }

    #[test]
    fn whatever_is_over_makes_room_at_once() {
        let mut fences = Fences::default();
        let lane = LaneKey::new("s");
        let began = BootTime::default();
        for n in 0..EFFECTS_MAX as u64 {
            fences.fail(
                &stream(&lane, n),
                id(1),
                n,
                began.after(Duration::from_millis(n % 2)),
            );
        }
        let over = began.after(PATIENCE);
        for (n, now) in [
            (70_000, over.before(Duration::from_millis(1))),
            (70_001, over),
        ] {
            fences.fail(&stream(&lane, n), id(2), n, now);
            let is_held = fences
                .arrive(&stream(&lane, n), id(3), n + 1, now)
                .is_some();
            assert_eq!(is_held, now == over);
        }
    }
}
