//! Lanes that wait for a dead letter, in an outbox that no Falco has open.

use std::collections::HashMap;
use std::path::Path;

use super::super::dispatcher::keeper::parking::{class, parks, without_parking};
use super::{OfflineError, open, record};
use crate::journal::{self, DeadLetter, Entry, Home, Live, Look, State};
use crate::protocol::id::{EffectId, LaneKey};
use crate::protocol::lane::{LaneAnswer, LaneRequest, LaneVerb, ParkedLane};

/// A lane that waits.
struct Parked<'a> {
    lane: &'a LaneKey,
    route: Option<&'a str>,
    /// The letters it waits for, the oldest first.
    letters: Vec<(EffectId, &'a DeadLetter)>,
    /// Effects behind them.
    waiting: u64,
}

/// Answers `request` from the journal in `directory`, as a running Falco answers
/// about lanes of kept effects; only what changes it opens it, as one of
/// `home`.
///
/// # Errors
///
/// See [`OfflineError`].
pub(crate) async fn ask_lanes(
    directory: &Path,
    config: &journal::Config,
    home: &Home,
    request: &LaneRequest,
) -> Result<LaneAnswer, OfflineError> {
    match request.verb {
        LaneVerb::Resume | LaneVerb::Discard => {}
        LaneVerb::List => {
            let (_, recovered) = Look::at(directory, config)?;
            return Ok(list(&parked(&recovered.live), request));
        }
        LaneVerb::Stuck => return Ok(LaneAnswer::failed("without a Falco nothing is tried")),
    }
    let (journal, recovered) = open(directory, config, home)?;
    let parked = parked(&recovered.live);
    let (chosen, refused) = choose(&parked, request);
    let letters = chosen.iter().flat_map(|lane| &lane.letters);
    let entry = |(id, letter): &(EffectId, &DeadLetter)| match request.verb {
        LaneVerb::Discard => Entry::Discard(*id),
        LaneVerb::Resume | LaneVerb::List | LaneVerb::Stuck => {
            Entry::Failed(*id, without_parking(letter))
        }
    };
    let changed = chosen.len() as u64;
    record(&journal, letters.map(entry).collect()).await?;
    Ok(LaneAnswer {
        changed,
        refused,
        ..LaneAnswer::default()
    })
}

/// The lanes that wait, in the order of the letters they wait for.
fn parked(live: &[Live]) -> Vec<Parked<'_>> {
    let mut all: Vec<Parked<'_>> = Vec::new();
    let mut places = HashMap::new();
    for live in live {
        let State::Dead(letter) = &live.state else {
            continue;
        };
        if !parks(letter) {
            continue;
        }
        let (lane, route) = (&live.lane, live.route.as_deref());
        let place = *places.entry((route, lane)).or_insert(all.len());
        if place == all.len() {
            all.push(Parked {
                lane,
                route,
                letters: Vec::new(),
                waiting: 0,
            });
        }
        all[place].letters.push((live.id, letter));
    }
    for live in live.iter().filter(|live| live.state == State::Open) {
        if let Some(&place) = places.get(&(live.route.as_deref(), &live.lane)) {
            all[place].waiting += 1;
        }
    }
    all
}

fn list(parked: &[Parked<'_>], request: &LaneRequest) -> LaneAnswer {
    let all = parked.iter().skip(request.skip);
    let lanes: Vec<_> = all.take(request.limit.max(1)).map(told).collect();
    let left_out = parked.len().saturating_sub(request.skip);
    let left_out = left_out.saturating_sub(lanes.len());
    LaneAnswer {
        lanes,
        more: 0 < left_out,
        left_out: left_out as u64,
        ..LaneAnswer::default()
    }
}

fn told(parked: &Parked<'_>) -> ParkedLane {
    let (by, letter) = parked.letters[0];
    ParkedLane {
        lane: parked.lane.to_string(),
        route: parked.route.map(Into::into),
        effect_id: by.to_string(),
        error: format!("{}: {}", class(letter), letter.error),
        since_ms: letter.at_ms,
        waiting: parked.waiting,
        kept: true,
    }
}

/// The lanes a request names, and why others do not go on.
fn choose<'a, 'b>(
    parked: &'b [Parked<'a>],
    request: &LaneRequest,
) -> (Vec<&'b Parked<'a>>, Vec<String>) {
    if request.all {
        return (parked.iter().collect(), Vec::new());
    }
    let (mut chosen, mut refused) = (Vec::new(), Vec::new());
    for name in &request.lanes {
        let is_it =
            |one: &&Parked<'_>| one.lane.as_str() == name && one.route == request.route.as_deref();
        match parked.iter().find(is_it) {
            Some(lane) => chosen.push(lane),
            None => refused.push(format!("{name}: it is not parked")),
        }
    }
    (chosen, refused)
}

/// How many lanes wait.
pub(super) fn count(live: &[Live]) -> u64 {
    parked(live).len() as u64
}
