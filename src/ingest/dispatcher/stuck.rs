//! Lanes that stand still without being parked: what is told of them.
//!
//! They are looked for when somebody asks, and nothing is noted of them before.

use std::time::Instant;

use super::Dispatcher;
use super::parking::LIST_MAX;
use super::status::ms;
use super::ways::Way;
use crate::clock;
use crate::delivery::Stuck;
use crate::protocol::lane::{LaneAnswer, LaneRequest, StuckLane};

/// One of them, and where it is.
struct Found<'a> {
    route: usize,
    way: &'a Way,
    lane: Stuck<'a>,
}

impl Dispatcher {
    /// The one that has stood still the longest, over all routes.
    pub(super) fn longest_stuck(&self, now: Instant) -> Option<StuckLane> {
        let longest = self.stuck().min_by_key(|found| found.lane.since)?;
        Some(self.told(&longest, now))
    }

    /// Those a request asks for, the one that has stood still the longest first.
    pub(super) fn list_stuck(&self, request: &LaneRequest) -> LaneAnswer {
        let now = tokio::time::Instant::now().into_std();
        let mut all: Vec<_> = self.stuck().collect();
        all.sort_by_key(|found| found.lane.since);
        let limit = request.limit.clamp(1, LIST_MAX);
        let listed = all.iter().skip(request.skip).take(limit);
        let stuck: Vec<_> = listed.map(|found| self.told(found, now)).collect();
        let left_out = all
            .len()
            .saturating_sub(request.skip)
            .saturating_sub(stuck.len());
        LaneAnswer {
            stuck,
            more: 0 < left_out,
            left_out: left_out as u64,
            ..LaneAnswer::default()
        }
    }

    fn stuck(&self) -> impl Iterator<Item = Found<'_>> {
        self.ways.by_route().flat_map(|(route, way)| {
            let lanes = way.lanes.stuck();
            lanes.map(move |lane| Found { route, way, lane })
        })
    }

    fn told(&self, found: &Found<'_>, now: Instant) -> StuckLane {
        let Found { route, way, lane } = found;
        let kept = way.lanes.keeps();
        // Not all that is kept of a lane is loaded.
        let keeper = self.keeper.as_ref().filter(|_| kept);
        let held = keeper.map_or(0, |keeper| keeper.unpublished(*route, lane.lane));
        let for_ms = ms(now.saturating_duration_since(lane.since));
        StuckLane {
            lane: lane.lane.to_string(),
            route: self.ways.name(*route).map(str::to_owned),
            effect_id: lane.front.to_string(),
            attempts: lane.attempts.into(),
            error: lane.failure.to_string(),
            since_ms: clock::now_ms().saturating_sub(for_ms),
            waiting: held.max(lane.effects) as u64 - 1,
            kept,
        }
    }
}
