//! What operators ask of an outbox that no Falco has open.
//!
//! Opens the journal itself, under its lock, and closes it again; the answers
//! are those of a running Falco.

use std::path::Path;

use super::dispatcher::keeper::operator::{told, with_content};
use crate::journal::{self, Entry, Journal, Live, OpenError, State, Unrecorded};
use crate::protocol::id::EffectId;
use crate::protocol::outbox::{
    OutboxAnswer, OutboxRecord, OutboxRequest, OutboxStatus, OutboxVerb,
};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OfflineError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// What was asked for is not on disk.
    #[error("failed to change the outbox")]
    Unrecorded(#[from] Unrecorded),
}

/// Answers `request` from the journal in `directory`.
///
/// # Errors
///
/// See [`OfflineError`]; nothing was changed then.
pub(crate) async fn ask(
    directory: &Path,
    config: &journal::Config,
    request: &OutboxRequest,
) -> Result<OutboxAnswer, OfflineError> {
    let (journal, recovered) = Journal::open(directory, config)?;
    let offline = Offline {
        journal,
        live: recovered.live,
    };
    let answer = offline.answer(request).await?;
    offline.journal.close().await?;
    Ok(answer)
}

struct Offline {
    journal: Journal,
    live: Vec<Live>,
}

impl Offline {
    async fn answer(&self, request: &OutboxRequest) -> Result<OutboxAnswer, Unrecorded> {
        match request.verb {
            OutboxVerb::List => Ok(self.list(request)),
            OutboxVerb::Stats => Ok(self.stats()),
            OutboxVerb::Show => Ok(self.show(&request.ids).await),
            OutboxVerb::Compact => {
                let asked = self.journal.compact().await;
                asked.map_err(|_| Unrecorded::Closed)?;
                Ok(OutboxAnswer::default())
            }
            OutboxVerb::Requeue => self.change(request, requeue).await,
            OutboxVerb::Drop => {
                self.change(request, |live| Ok(Entry::Discard(live.id)))
                    .await
            }
        }
    }

    fn list(&self, request: &OutboxRequest) -> OutboxAnswer {
        let (dead, open): (Vec<_>, Vec<_>) = self.live.iter().partition(|live| is_dead(live));
        let open = open.into_iter().filter(|_| !request.dead_only);
        let mut all = dead.into_iter().chain(open).skip(request.skip);
        let records = all.by_ref().take(request.limit.max(1)).map(record);
        OutboxAnswer {
            records: records.collect(),
            more: all.next().is_some(),
            ..OutboxAnswer::default()
        }
    }

    fn stats(&self) -> OutboxAnswer {
        let dead = self.live.iter().filter(|live| is_dead(live)).count();
        let stats = self.journal.stats();
        let stats = OutboxStatus {
            state: "closed".to_owned(),
            depth: (self.live.len() - dead) as u64,
            dead: dead as u64,
            bytes: stats.bytes,
            bytes_max: stats.bytes_max,
            segments: stats.segments,
            quarantined: stats.quarantined,
            ..OutboxStatus::default()
        };
        OutboxAnswer {
            stats: Some(stats),
            ..OutboxAnswer::default()
        }
    }

    async fn show(&self, ids: &[String]) -> OutboxAnswer {
        let known = ids.iter().filter_map(|id| self.find(id));
        let known: Vec<_> = known.collect();
        let read = self
            .journal
            .read(known.iter().map(|live| live.id).collect());
        let stored = read.await.unwrap_or_default();
        let shown = known.into_iter().zip(stored);
        OutboxAnswer {
            records: shown
                .map(|(l, stored)| with_content(record(l), stored.ok().flatten()))
                .collect(),
            ..OutboxAnswer::default()
        }
    }

    async fn change(
        &self,
        request: &OutboxRequest,
        one: impl Fn(&Live) -> Result<Entry, &'static str>,
    ) -> Result<OutboxAnswer, Unrecorded> {
        let mut answer = OutboxAnswer::default();
        let mut entries = Vec::new();
        let all = self.live.iter().filter(|live| is_dead(live));
        let all = all.map(|live| live.id.to_string());
        let ids = if request.all {
            all.collect()
        } else {
            request.ids.clone()
        };
        for id in ids {
            let found = self
                .find(&id)
                .ok_or("there is no such effect in the outbox");
            match found.and_then(&one) {
                Ok(entry) => entries.push(entry),
                Err(why) => answer.refused.push(format!("{id}: {why}")),
            }
        }
        answer.changed = entries.len() as u64;
        if !entries.is_empty() {
            let receipt = self.journal.append(entries).await;
            receipt.map_err(|_| Unrecorded::Closed)?.await?;
        }
        Ok(answer)
    }

    fn find(&self, id: &str) -> Option<&Live> {
        let id: EffectId = id.parse().ok()?;
        self.live.iter().find(|live| live.id == id)
    }
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

fn record(live: &Live) -> OutboxRecord {
    let dead = match &live.state {
        State::Dead(letter) => Some(told(letter)),
        State::Open => None,
    };
    OutboxRecord {
        id: live.id.to_string(),
        lane: live.lane.to_string(),
        arrived_ms: live.arrived_ms,
        dead,
        ..OutboxRecord::default()
    }
}
