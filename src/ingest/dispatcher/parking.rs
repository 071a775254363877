//! Lanes that are parked: what is told of them, and what operators do.
//!
//! A lane waits for an effect that was refused for good: in [`Admission`] for
//! one that its daemon has, in the keeper for one that is kept. To an operator
//! they are the same lanes.
//!
//! `resume` lets a lane go on without the effect: one that its daemon has is an
//! effect like any other if it comes again, a dead letter stays one. `discard`
//! drops the dead letter besides; of what its daemon has there is nothing to drop.
//!
//! [`Admission`]: crate::delivery::Admission

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::{info, warn};

use super::Dispatcher;
use super::keeper::{Keeper, parking};
use crate::clock::{self, BootTime};
use crate::delivery::Wish;
use crate::process::capture::Journal;
use crate::protocol::control::IngestStatus;
use crate::protocol::id::{EffectId, LaneKey};
use crate::protocol::lane::{LaneAnswer, LaneRequest, LaneVerb, ParkedLane};
use crate::protocol::life::Life;

/// Lanes in one answer.
pub(super) const LIST_MAX: usize = 500;

/// Lanes in a status.
const SHOWN_MAX: usize = 10;

/// What was told so far.
#[derive(Debug)]
pub(super) struct Parking {
    life: Option<Journal>,
    /// How often a lane was parked.
    count: u64,
    /// How often one was not that was to be.
    unparked: u64,
    warned_at: Option<Instant>,
}

/// How often it is worth a warning that no more lanes may be parked.
const WARNING_EVERY: Duration = Duration::from_secs(1);

impl Parking {
    pub(super) fn new(life: Option<Journal>) -> Self {
        Self {
            life,
            count: 0,
            unparked: 0,
            warned_at: None,
        }
    }

    fn parked(&mut self, route: Option<&str>, lane: &LaneKey, by: EffectId, error: &str) {
        self.count += 1;
        warn!(%lane, route, effect_id = %by, error, "A lane is parked.");
        self.note(Life::LaneParked {
            lane: lane.to_string(),
            route: route.map(Into::into),
            effect_id: by.to_string(),
            error: error.to_owned(),
        });
    }

    /// So many lanes were not parked that were to be.
    fn unparked(&mut self, unparked: u64) {
        if self.unparked == unparked {
            return;
        }
        let is_long_ago = |at: Instant| at.elapsed() >= WARNING_EVERY;
        if self.warned_at.is_none_or(is_long_ago) {
            self.unparked = unparked;
            self.warned_at = Some(Instant::now());
            warn!(
                unparked,
                "No more lanes may be parked; others go on without what was refused."
            );
        }
    }

    fn open(&self, route: Option<&str>, lane: &LaneKey, why: &str) {
        info!(%lane, route, why, "A parked lane goes on.");
        self.note(Life::LaneOpen {
            lane: lane.to_string(),
            route: route.map(Into::into),
            why: why.to_owned(),
        });
    }

    fn unrouted(&self, route: &str, effects: u64) {
        warn!(
            route,
            effects, "Kept effects became dead letters: their route is gone."
        );
        let route = route.to_owned();
        self.note(Life::RouteGone { route, effects });
    }

    fn missed(&self, why: &str) {
        let why = why.to_owned();
        self.note(Life::OutboxMissed { why });
    }

    fn note(&self, life: Life) {
        if let Some(journal) = &self.life {
            journal.note(life);
        }
    }
}

impl Dispatcher {
    /// Tells of lanes that were parked, or are open again, and of routes and
    /// outboxes that are gone.
    pub(super) fn tell_changes(&mut self) {
        while let Some(change) = self.admission.poll_change() {
            let (route, lane) = (change.route.as_deref(), &change.lane);
            match change.parked {
                Some((by, error)) => self.parking.parked(route, lane, by, &error),
                None => self.parking.open(route, lane, "it came again"),
            }
        }
        self.parking.unparked(self.admission.unparked());
        self.unguarded.tell(self.admission.unguarded());
        let Some(keeper) = &mut self.keeper else {
            return;
        };
        if let Some(why) = keeper.poll_missed() {
            self.parking.missed(&why);
        }
        while let Some((route, effects)) = keeper.poll_unrouted() {
            self.parking.unrouted(&route, effects);
        }
        while let Some(change) = keeper.poll_change() {
            let (route, lane) = (self.ways.name(change.route), &change.lane);
            match change.what {
                parking::What::Parked(by, failure) => {
                    let error = failure.to_string();
                    self.parking.parked(route, lane, by, &error);
                }
                parking::What::Open(how) => {
                    let why = format!("its dead letter was {how}");
                    self.parking.open(route, lane, &why);
                }
            }
        }
    }

    pub(super) fn add_parked(&self, status: &mut IngestStatus) {
        status.parked = self.parked_len() as u64;
        status.parked_lanes = self.parked().take(SHOWN_MAX).collect();
        status.parkings = self.parking.count;
        status.unparked = self.admission.unparked();
        status.unguarded = self.admission.unguarded();
    }

    fn parked_len(&self) -> usize {
        let kept = self.keeper.as_ref().map_or(0, Keeper::parked_len);
        self.admission.parked_len() + kept
    }

    pub(super) fn answer_lanes(
        &mut self,
        request: &LaneRequest,
        answer: oneshot::Sender<LaneAnswer>,
    ) {
        let wish = match request.verb {
            LaneVerb::List => {
                _ = answer.send(self.list(request));
                return;
            }
            LaneVerb::Stuck => {
                _ = answer.send(self.list_stuck(request));
                return;
            }
            LaneVerb::Resume => Wish::Resume,
            LaneVerb::Discard => Wish::Drop,
        };
        match self.lanes_of(request) {
            Ok(lanes) => self.open_lanes(&lanes, wish, answer),
            Err(error) => _ = answer.send(LaneAnswer::failed(error)),
        }
    }

    fn list(&self, request: &LaneRequest) -> LaneAnswer {
        let limit = request.limit.clamp(1, LIST_MAX);
        let all = self.parked().skip(request.skip);
        let lanes: Vec<_> = all.take(limit).collect();
        let left_out = self.parked_len().saturating_sub(request.skip);
        let left_out = left_out.saturating_sub(lanes.len());
        LaneAnswer {
            lanes,
            more: 0 < left_out,
            left_out: left_out as u64,
            ..LaneAnswer::default()
        }
    }

    /// Those of kept effects, then those that daemons have.
    fn parked(&self) -> impl Iterator<Item = ParkedLane> {
        let (now, now_ms) = (BootTime::now(), clock::now_ms());
        let kept = self.keeper.iter().flat_map(Keeper::parked);
        let kept = kept.map(move |(parked, letter)| ParkedLane {
            lane: parked.lane.to_string(),
            route: self.ways.name(parked.route).map(Into::into),
            effect_id: parked.by.to_string(),
            error: letter.map_or_else(String::new, |letter| {
                format!("{}: {}", parking::class(letter), letter.error)
            }),
            since_ms: letter.map_or(now_ms, |letter| letter.at_ms),
            waiting: parked.waiting as u64,
            kept: true,
        });
        let told = self.admission.parked().map(move |(route, lane, parked)| {
            let age: Duration = now.since(parked.since);
            let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
            ParkedLane {
                lane: lane.to_string(),
                route: route.map(Into::into),
                effect_id: parked.by.to_string(),
                error: parked.error.to_string(),
                since_ms: now_ms.saturating_sub(age_ms),
                waiting: 0,
                kept: false,
            }
        });
        kept.chain(told)
    }

    /// The lanes a request names, each with the number of its route.
    fn lanes_of(&self, request: &LaneRequest) -> Result<Vec<(usize, LaneKey)>, String> {
        let find = |route: Option<&str>| {
            let found = self.ways.find(route);
            found.ok_or_else(|| format!("there is no route {:?}", route.unwrap_or_default()))
        };
        if !request.all {
            let route = find(request.route.as_deref())?;
            let lanes = request.lanes.iter();
            return Ok(lanes.map(|lane| (route, LaneKey::new(&**lane))).collect());
        }
        let parked = self.admission.parked();
        let parked = parked.map(|(route, lane, _)| Ok((find(route)?, lane.clone())));
        let kept = self.keeper.iter().flat_map(Keeper::parked);
        let kept = kept.map(|(parked, _)| Ok((parked.route, parked.lane.clone())));
        parked.chain(kept).collect()
    }

    /// What daemons have goes on at once, what is kept once that is on disk.
    fn open_lanes(
        &mut self,
        lanes: &[(usize, LaneKey)],
        wish: Wish,
        answer: oneshot::Sender<LaneAnswer>,
    ) {
        let mut given = LaneAnswer::default();
        let mut kept = Vec::new();
        for (route, lane) in lanes {
            let name = self.ways.name(*route);
            let is_told = self.admission.handle_resumed(name, lane);
            if is_told {
                let why = "somebody let it go on without what it waited for";
                self.parking.open(name, lane, why);
            }
            let keeper = self.keeper.as_ref();
            if keeper.is_some_and(|keeper| keeper.is_parked(*route, lane)) {
                kept.push((*route, lane.clone()));
            } else if !is_told {
                given.refused.push(format!("{lane}: it is not parked"));
                continue;
            }
            given.changed += 1;
        }
        match &mut self.keeper {
            Some(keeper) if !kept.is_empty() => {
                keeper.open_lanes(&kept, wish, (given, answer), &mut self.ways);
            }
            _ => _ = answer.send(given),
        }
    }
}
