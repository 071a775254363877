//! What has to be so after every step.

use std::collections::BTreeSet;

use super::{Class, Lane, Model, OnRejected, number};

impl Model {
    /// Every effect is settled once; published only if accepted; failed for
    /// more than itself only together with all behind it.
    pub(super) fn settle(&mut self) {
        let mut flushed: Vec<(u8, u32)> = Vec::new();
        let mut parked = BTreeSet::new();
        while let Some(settled) = self.lanes.poll_settled() {
            let (lane, effect) = (settled.origin, number(settled.id));
            let open = self.open.get_mut(&lane).expect("a lane");
            let at = open.iter().position(|open| *open == effect);
            let at = at.expect("settled once");
            open.remove(at);
            self.settled += 1;
            match settled.outcome {
                Ok(()) => {
                    assert_eq!(at, 0, "published in order");
                    assert!(self.accepted.contains(&effect), "published if accepted");
                }
                Err(failure) if failure.class == Class::LaneFull => _ = self.full.insert(lane),
                Err(failure) if settled.parks => {
                    assert_eq!(at, 0, "refused for good in order");
                    assert!(self.config.on_rejected == OnRejected::Park, "{failure}");
                    parked.insert(lane);
                }
                Err(failure) if failure.class == Class::Rejected => {
                    assert_eq!(at, 0, "rejected alone, in order");
                    assert!(self.config.on_rejected == OnRejected::Skip);
                }
                Err(failure) if failure.class == Class::Parked => {
                    assert_eq!(at, 0, "parked in order");
                    assert!(parked.contains(&lane), "behind what was refused");
                }
                Err(_) => flushed.push((lane, effect)),
            }
        }
        for lane in parked {
            assert!(self.open[&lane].is_empty(), "nothing goes on in it");
        }
        for (lane, effect) in flushed {
            let open = &self.open[&lane];
            assert!(
                open.iter().all(|open| *open < effect),
                "nothing overtakes a failure"
            );
        }
        while let Some(published) = self.lanes.poll_published_late() {
            let mut published = published.into_iter().map(number);
            assert!(published.all(|effect| self.accepted.contains(&effect)));
        }
        self.check_emptied();
        self.check_deadlines();
        self.check_sums();
        self.check_still();
    }

    /// Of a lane that was full one is told once that it is empty.
    fn check_emptied(&mut self) {
        while let Some(lane) = self.lanes.poll_emptied() {
            let lane = lane.as_str().parse().expect("a number");
            assert!(self.full.remove(&lane), "it was full");
        }
        for lane in &self.full {
            assert!(!self.open[lane].is_empty(), "one is told");
        }
    }

    /// What one was told of lanes that stand still is so, and was news.
    fn check_still(&mut self) {
        while let Some((lane, is_still)) = self.lanes.poll_still() {
            let is_news = if is_still {
                self.still.insert(lane)
            } else {
                self.still.remove(&lane)
            };
            assert!(is_news, "told once");
        }
        let lanes = self.lanes.slots.iter().flatten();
        let still = lanes.filter(|lane| lane.stands_still());
        let still: BTreeSet<_> = still.map(|lane| lane.key.clone()).collect();
        assert_eq!(still, self.still);
    }

    fn check_deadlines(&self) {
        for effect in self.open.values().flatten() {
            let age = self.now - self.arrived[effect];
            assert!(
                age <= self.config.effect_deadline,
                "answered in bounded time"
            );
        }
    }

    fn check_sums(&self) {
        let open: usize = self.open.values().map(Vec::len).sum();
        let depth = self.lanes.depth(self.now);
        assert_eq!(depth.effects, open);
        assert_eq!(open + self.settled, self.next as usize);
        let lanes = self.open.values().filter(|open| !open.is_empty());
        assert_eq!(depth.lanes, lanes.count());
        let in_lanes = self.lanes.slots.iter().flatten();
        assert_eq!(self.lanes.bytes, in_lanes.map(Lane::bytes).sum::<usize>());
    }
}
