//! What operators ask of an outbox that no Falco has open.
//!
//! Reads the journal itself; to change it, opens it under its lock and closes it
//! again. The answers are those of a running Falco, but for lanes of effects that
//! daemons have.

mod lanes;

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::dispatcher::keeper::operator::{told, with_content};
use crate::clock;
use crate::journal::{
    self, Entry, Home, Journal, Live, Look, OpenError, Reading, Recovered, State, Unrecorded,
};
use crate::protocol::id::EffectId;
use crate::protocol::outbox::{
    NO_ID, OutboxAnswer, OutboxRecord, OutboxRequest, OutboxStatus, OutboxVerb, UNKNOWN,
};

pub(crate) use lanes::ask_lanes;

/// How often it is looked whether there is more space to gain.
const COMPACTING_LOOK: Duration = Duration::from_millis(5);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OfflineError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was asked for is not on disk, as far as the disk says.
    #[error("failed to change the outbox")]
    Unrecorded(#[from] Unrecorded),
}

/// Answers `request` from the journal in `directory`; only what changes it opens
/// it, as one of `home`.
///
/// # Errors
///
/// See [`OfflineError`].
pub(crate) async fn ask(
    directory: &Path,
    config: &journal::Config,
    home: &Home,
    request: &OutboxRequest,
) -> Result<OutboxAnswer, OfflineError> {
    match request.verb {
        OutboxVerb::List | OutboxVerb::Stats | OutboxVerb::Show => {
            let (look, recovered) = Look::at(directory, config)?;
            Ok(answer(&look, &recovered.live, request))
        }
        OutboxVerb::Compact => compact(directory, config, home).await,
        OutboxVerb::Requeue => change(open(directory, config, home)?, request, requeue).await,
        OutboxVerb::Drop => {
            let discard = |live: &Live| Ok(Entry::Discard(live.id));
            change(open(directory, config, home)?, request, discard).await
        }
    }
}

/// Opened as Falco does, so that who closes it with nothing kept takes its mark
/// away.
fn open(
    directory: &Path,
    config: &journal::Config,
    home: &Home,
) -> Result<(Journal, Recovered), OpenError> {
    Journal::open_watched(directory, config, &Reading::default(), home)
}

/// Gains space until there is no more to gain.
async fn compact(
    directory: &Path,
    config: &journal::Config,
    home: &Home,
) -> Result<OutboxAnswer, OfflineError> {
    // To open it costs a segment.
    let no_gain = Look::at(directory, config)?.0.no_gain(config);
    if no_gain.is_some() {
        return Ok(OutboxAnswer {
            no_gain,
            ..OutboxAnswer::default()
        });
    }
    let (journal, _) = open(directory, config, home)?;
    let asked = journal.compact().await;
    asked.map_err(|_| Unrecorded::Closed)?;
    // Answered after what was asked before.
    while journal.read(Vec::new()).await.is_ok() && journal.stats().compacting {
        tokio::time::sleep(COMPACTING_LOOK).await;
    }
    let no_gain = journal.stats().no_gain.map(Into::into);
    journal.close().await?;
    Ok(OutboxAnswer {
        no_gain,
        ..OutboxAnswer::default()
    })
}

/// Changes every effect that is named, or every dead letter; in one append, so
/// that all of it happens or nothing.
async fn change(
    (journal, recovered): (Journal, Recovered),
    request: &OutboxRequest,
    one: impl Fn(&Live) -> Result<Entry, &'static str>,
) -> Result<OutboxAnswer, OfflineError> {
    let live = recovered.live;
    let mut answer = OutboxAnswer::default();
    let mut entries = Vec::new();
    let all = live.iter().filter(|live| is_dead(live));
    let all = all.map(|live| live.id.to_string());
    let ids = if request.all {
        all.collect()
    } else {
        request.ids.clone()
    };
    for id in ids {
        match find(&live, &id).and_then(&one) {
            Ok(entry) => entries.push(entry),
            Err(why) => answer.refused.push(format!("{id}: {why}")),
        }
    }
    answer.changed = entries.len() as u64;
    record(&journal, entries).await?;
    Ok(answer)
}

/// Has all of it on disk, or nothing, and closes the journal.
async fn record(journal: &Journal, entries: Vec<Entry>) -> Result<(), OfflineError> {
    if !entries.is_empty() {
        let receipt = journal.append(entries).await;
        receipt.map_err(|_| Unrecorded::Closed)?.await?;
    }
    // What is on disk stays, though its end may not be marked.
    _ = journal.close().await;
    Ok(())
}

fn answer(look: &Look, live: &[Live], request: &OutboxRequest) -> OutboxAnswer {
    match request.verb {
        OutboxVerb::List => list(live, request),
        OutboxVerb::Stats => stats(look, live),
        _ => show(look, live, &request.ids),
    }
}

fn list(live: &[Live], request: &OutboxRequest) -> OutboxAnswer {
    let (dead, open): (Vec<_>, Vec<_>) = live.iter().partition(|live| is_dead(live));
    let open = open.into_iter().filter(|_| !request.dead_only);
    let mut all = dead.into_iter().chain(open).skip(request.skip);
    let records = all.by_ref().take(request.limit.max(1)).map(told_of);
    OutboxAnswer {
        records: records.collect(),
        more: all.next().is_some(),
        ..OutboxAnswer::default()
    }
}

fn stats(look: &Look, live: &[Live]) -> OutboxAnswer {
    let open: Vec<_> = live.iter().filter(|live| !is_dead(live)).collect();
    let in_use: HashSet<_> = open.iter().map(|l| (&l.route, l.lane.as_str())).collect();
    let oldest = open.iter().map(|live| live.arrived_ms).min();
    let age = |at| clock::now_ms().saturating_sub(at);
    let stats = look.stats();
    let stats = OutboxStatus {
        state: "closed".to_owned(),
        depth: open.len() as u64,
        dead: (live.len() - open.len()) as u64,
        lanes: in_use.len() as u64,
        parked: lanes::count(live),
        oldest_age_ms: oldest.map_or(0, age),
        bytes: stats.bytes,
        bytes_max: stats.bytes_max,
        segments: stats.segments,
        quarantined: stats.quarantined,
        untold: stats.untold,
        ..OutboxStatus::default()
    };
    OutboxAnswer {
        stats: Some(stats),
        ..OutboxAnswer::default()
    }
}

fn show(look: &Look, live: &[Live], ids: &[String]) -> OutboxAnswer {
    let known = ids.iter().filter_map(|id| find(live, id).ok());
    let shown = known.map(|live| with_content(told_of(live), look.read(live.id).ok().flatten()));
    OutboxAnswer {
        records: shown.collect(),
        ..OutboxAnswer::default()
    }
}

fn find<'a>(live: &'a [Live], id: &str) -> Result<&'a Live, &'static str> {
    let id: EffectId = id.parse().map_err(|_| NO_ID)?;
    let found = live.iter().find(|live| live.id == id);
    found.ok_or(UNKNOWN)
}

fn requeue(live: &Live) -> Result<Entry, &'static str> {
    match live.state {
        State::Dead(_) => Ok(Entry::Requeue(live.id)),
        State::Open => Err("it is no dead letter"),
    }
}

fn is_dead(live: &Live) -> bool {
    matches!(live.state, State::Dead(_))
}

fn told_of(live: &Live) -> OutboxRecord {
    let dead = match &live.state {
        State::Dead(letter) => Some(told(letter)),
        State::Open => None,
    };
    OutboxRecord {
        id: live.id.to_string(),
        lane: live.lane.to_string(),
        arrived_ms: live.arrived_ms,
        dead,
        route: live.route.as_deref().map(Into::into),
        ..OutboxRecord::default()
    }
}
