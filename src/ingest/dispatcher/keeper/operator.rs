//! What operators ask: lists, single effects, another try, none.

use std::time::Duration;

use tokio::sync::oneshot;

use super::super::super::Query;
use super::super::ways::Ways;
use super::{Keeper, parking};
use crate::delivery::{Done, Kept, Unable, Wish};
use crate::journal::{DeadLetter, Entry, Stored, Unrecorded};
use crate::protocol::envelope::Operation;
use crate::protocol::id::EffectId;
use crate::protocol::outbox::{
    NO_ID, OutboxAnswer, OutboxLetter, OutboxRecord, OutboxRequest, OutboxVerb, UNKNOWN,
};

/// Of a dead letter that nobody would take if it were open.
const NO_ROUTE: &str =
    "its route is gone: drop it, or configure the route again and type `falco reload` before";

/// Records in one answer.
const LIST_MAX: usize = 1000;

/// How long a look at the disk may take.
const LOOK_PATIENCE: Duration = Duration::from_millis(100);

/// A request that waits for the disk.
#[derive(Debug)]
pub(super) struct Asked {
    answer: oneshot::Sender<OutboxAnswer>,
    given: OutboxAnswer,
    /// Whom it would change.
    ids: Vec<EffectId>,
}

impl Keeper {
    /// Answers at once, or once what was asked for is on disk.
    pub(in super::super) fn handle_asked(
        &mut self,
        request: &OutboxRequest,
        answer: oneshot::Sender<OutboxAnswer>,
        ways: &mut Ways,
    ) {
        let given = match request.verb {
            OutboxVerb::List => self.list(request, ways),
            OutboxVerb::Stats => OutboxAnswer {
                stats: Some(self.status()),
                ..OutboxAnswer::default()
            },
            OutboxVerb::Show => return self.show(&request.ids, answer, ways),
            OutboxVerb::Compact => return self.compact(answer),
            OutboxVerb::Requeue => return self.change(request, Wish::Requeue, answer, ways),
            OutboxVerb::Drop => return self.change(request, Wish::Drop, answer, ways),
        };
        _ = answer.send(given);
    }

    /// The changes an operator wants are recorded and happen, or they are not
    /// and do not; but a disk that failed may have kept what it said it did not,
    /// and then they have happened after a crash. Returns what is dropped.
    pub(super) fn decide(&mut self, asked: Asked, result: &Result<(), Unrecorded>) -> Vec<Done> {
        let Asked {
            answer,
            mut given,
            ids,
        } = asked;
        let mut dropped = Vec::new();
        for id in ids {
            match result {
                Ok(()) => {
                    dropped.extend(self.grant(id));
                }
                Err(_) => self.outbox.handle_denied(id),
            }
        }
        if let Err(why) = result {
            given.changed = 0;
            given.error = Some(unchanged(why));
        }
        _ = answer.send(given);
        dropped
    }

    /// Has who asks wait until what the journal holds is known, if that is what
    /// is asked about; else the question is returned.
    pub(in super::super) fn defer(&mut self, query: Query) -> Option<Query> {
        if self.has_read() || !query.is_about_what_is_kept() {
            return Some(query);
        }
        self.early.push(query);
        None
    }

    /// Those who asked before what the journal holds was taken over, once it is.
    pub(in super::super) fn take_early(&mut self) -> Vec<Query> {
        if self.has_read() {
            self.early.take()
        } else {
            Vec::new()
        }
    }

    fn list(&self, request: &OutboxRequest, ways: &Ways) -> OutboxAnswer {
        let limit = request.limit.clamp(1, LIST_MAX);
        let mut all = self.outbox.list(request.dead_only, request.skip);
        let records = all.by_ref().take(limit);
        let records = records.map(|kept| self.record(&kept, ways));
        OutboxAnswer {
            records: records.collect(),
            more: all.next().is_some(),
            ..OutboxAnswer::default()
        }
    }

    fn record(&self, kept: &Kept, ways: &Ways) -> OutboxRecord {
        let letter = self.letters.get(&kept.id).filter(|_| kept.is_dead);
        let dead = letter.map(|letter| {
            let mut dead = told(letter);
            if self.unwritten.contains(&kept.id) {
                dead.error.insert_str(0, "unrecorded: ");
            }
            dead
        });
        OutboxRecord {
            id: kept.id.to_string(),
            lane: kept.lane.to_string(),
            arrived_ms: kept.arrived_ms,
            dead,
            route: ways.name(kept.route).map(Into::into),
            ..OutboxRecord::default()
        }
    }

    fn show(&self, ids: &[String], answer: oneshot::Sender<OutboxAnswer>, ways: &Ways) {
        let known = ids.iter().filter_map(|id| id.parse().ok());
        let kept = known.filter_map(|id| self.outbox.kept(id));
        let records: Vec<_> = kept.map(|kept| self.record(&kept, ways)).collect();
        let Some(journal) = self.stage.journal().cloned() else {
            _ = answer.send(self.unreadable());
            return;
        };
        let ids = records.iter().filter_map(|record| record.id.parse().ok());
        let ids: Vec<EffectId> = ids.collect();
        self.shutdown.spawn(async move {
            let stored = match journal.read(ids).await {
                Ok(stored) => stored,
                Err(closed) => {
                    _ = answer.send(OutboxAnswer::failed(closed.to_string()));
                    return;
                }
            };
            let shown = records.into_iter().zip(stored);
            let records = shown.map(|(record, stored)| with_content(record, stored.ok().flatten()));
            _ = answer.send(OutboxAnswer {
                records: records.collect(),
                ..OutboxAnswer::default()
            });
        });
    }

    /// Nothing can be said of a journal that could not be opened, or has ended.
    fn unreadable(&self) -> OutboxAnswer {
        let why = self.why();
        OutboxAnswer::failed(why.unwrap_or_else(|| "the outbox cannot be read now".to_owned()))
    }

    fn compact(&mut self, answer: oneshot::Sender<OutboxAnswer>) {
        let Some(journal) = self.stage.journal().cloned() else {
            _ = answer.send(self.unreadable());
            return;
        };
        // What is done by now is not kept any more.
        self.write_done(&journal);
        self.shutdown.spawn(async move {
            let mut asked = journal.compact().await;
            // Answered after what was asked before.
            asked = asked.and(journal.read(Vec::new()).await.map(drop));
            _ = answer.send(OutboxAnswer {
                error: asked.err().map(|error| error.to_string()),
                no_gain: journal.stats().no_gain.map(Into::into),
                ..OutboxAnswer::default()
            });
        });
    }

    /// Changes every effect that is named, or every dead letter; in one append,
    /// so that all of it happens or nothing.
    pub(super) fn change(
        &mut self,
        request: &OutboxRequest,
        wish: Wish,
        answer: oneshot::Sender<OutboxAnswer>,
        ways: &mut Ways,
    ) {
        let mut given = OutboxAnswer::default();
        let mut changed = Vec::new();
        let named = request.ids.iter().map(|id| (id.clone(), id.parse().ok()));
        let ids: Vec<_> = if request.all {
            let dead = self.outbox.dead();
            dead.map(|id| (id.to_string(), Some(id))).collect()
        } else {
            named.collect()
        };
        for (text, id) in ids {
            let id = id.ok_or(NO_ID);
            match id.and_then(|id| self.wish(id, wish, ways).map(|()| id)) {
                Ok(id) => changed.push(id),
                Err(why) => given.refused.push(format!("{text}: {why}")),
            }
        }
        given.changed = changed.len() as u64;
        let entry = |id: &EffectId| match wish {
            Wish::Requeue => Entry::Requeue(*id),
            Wish::Drop => Entry::Discard(*id),
            Wish::Resume => self.resumed(*id),
        };
        let entries: Vec<_> = changed.iter().map(entry).collect();
        self.batch.rest.extend(entries);
        let asked = Asked {
            answer,
            given,
            ids: changed,
        };
        if asked.ids.is_empty() {
            self.decide(asked, &Ok(()));
        } else if self.stage.journal().is_none() {
            self.batch.rest.clear();
            self.decide(asked, &Err(Unrecorded::Closed));
        } else {
            self.batch.asked.push(asked);
        }
    }

    fn wish(&mut self, id: EffectId, wish: Wish, ways: &mut Ways) -> Result<(), &'static str> {
        let kept = self.outbox.kept(id).filter(|kept| kept.is_dead);
        if wish == Wish::Requeue && kept.is_some_and(|kept| kept.route == ways.routes().end) {
            return Err(NO_ROUTE);
        }
        let mut asked = self.outbox.handle_wish(id, wish);
        if let Err(Unable::Loaded(route, lane)) = &asked {
            // All behind it waits for the decision too, or it would overtake.
            let taken = ways.kept(*route).withdraw(lane, id);
            for effect in taken {
                self.outbox.handle_returned(effect.id, Some(effect));
            }
            asked = self.outbox.handle_wish(id, wish);
        }
        asked.map_err(|unable| match unable {
            Unable::Unknown => UNKNOWN,
            Unable::NotDead => "it is no dead letter",
            Unable::NotParking => "no lane waits for it",
            Unable::Writing => "it is being written; try again",
            Unable::Undecided => "it is being changed already; try again",
            Unable::Loaded(..) => "it is on its way to Ably right now; try again",
        })
    }

    /// Has the disk looked at, and answers when that is done; soon in any case,
    /// for a disk that hangs must not keep its own status from anybody.
    pub(in super::super) fn look(&self, answer: oneshot::Sender<()>) {
        let Some(journal) = self.stage.journal().cloned() else {
            return;
        };
        self.shutdown.spawn(async move {
            _ = tokio::time::timeout(LOOK_PATIENCE, journal.look()).await;
            _ = answer.send(());
        });
    }
}

/// What an operator is told whose wish is not recorded.
fn unchanged(why: &Unrecorded) -> String {
    if why.may_come_back() {
        format!(
            "{why}: nothing has changed for now, but after a restart it may be found done all the same; look with `falco outbox list`, and ask again if need be"
        )
    } else {
        format!("nothing was changed: {why}")
    }
}

/// A dead letter, for whoever asks.
pub(in crate::ingest) fn told(letter: &DeadLetter) -> OutboxLetter {
    OutboxLetter {
        class: parking::class(letter).to_owned(),
        parks: parking::parks(letter),
        code: letter.code,
        error: letter.error.to_string(),
        attempts: letter.attempts,
        at_ms: letter.at_ms,
    }
}

/// The record with everything that is on disk about it.
pub(in crate::ingest) fn with_content(
    record: OutboxRecord,
    stored: Option<Stored>,
) -> OutboxRecord {
    let Some(Stored { effect }) = stored else {
        return record;
    };
    let (operation, body) = match &effect.operation {
        Operation::Publish { payload, .. } => ("publish", payload),
        Operation::ObjectSet { value, .. } => ("object set", value),
    };
    OutboxRecord {
        operation: Some(operation.to_owned()),
        channel: Some(effect.operation.channel().to_owned()),
        name: Some(effect.operation.name().to_owned()),
        key: Some(effect.key.to_string()),
        route: effect.route.map(Into::into),
        bytes: Some(body.len() as u64),
        payload: Some(String::from_utf8_lossy(body).into_owned()),
        ..record
    }
}
