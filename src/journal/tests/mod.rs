//! The journal against naive models, on a disk that lies.

mod compaction;
mod crash;
mod damage;
mod faults;
mod open;
mod refusals;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::config::{Config, OnFailure, Sync};
use super::entry::{DeadLetter, Effect, Entry, Recovered, State};
use super::error::{OpenError, Unrecorded};
use super::handle::{Appended, Round};
use super::reading::Reading;
use super::stats::Health;
use super::storage::lying::{Dice, Lying};
use super::writer::{Core, Job, Now};
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// When everything happens.
const MS: u64 = 1_800_000_000_000;

fn id(i: u64) -> EffectId {
    EffectId::from(Uuid::from_u64_pair(0xfa1c_0000, i))
}

fn effect(i: u64) -> Effect {
    let payload = match i % 4 {
        0 => format!("{{\"i\":{i}}}"),
        1 => format!("{{\n\"i\": {i} }}"),
        2 => format!("not json {i}"),
        _ => format!("{{\"v\":1,\"q\":\"{i}\"}}"),
    };
    let operation = if i % 5 == 4 {
        Operation::ObjectSet {
            channel: "objects".into(),
            key: format!("key \"{i}\"").into(),
            value: Bytes::from(payload),
        }
    } else {
        Operation::Publish {
            channel: format!("session:{}:conversation", i % 3).into(),
            event: "message.v1".into(),
            payload: Bytes::from(payload),
        }
    };
    Effect {
        id: id(i),
        lane: LaneKey::new(format!("lane\\{}", i % 3)),
        route: (i % 3 == 1).then(|| "second".into()),
        key: match i % 3 {
            0 => IdempotencyKey::Uuid(id(i).as_uuid()),
            1 => IdempotencyKey::Uuid(id(i + 1).as_uuid()),
            _ => IdempotencyKey::Given(format!("k\"{i}").into()),
        },
        fingerprint: i.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        arrived_ms: MS + i,
        operation,
    }
}

fn letter(i: u64) -> DeadLetter {
    DeadLetter {
        class: "rejected".into(),
        code: i.is_multiple_of(2).then_some(40_160),
        error: format!("not \"allowed\" {i}").into(),
        attempts: 3,
        at_ms: MS + i,
    }
}

/// What a journal comes to: told by the journal, or by the naive model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Told {
    /// In the order of arrival.
    live: Vec<(Effect, Option<DeadLetter>)>,
    done: BTreeSet<EffectId>,
    notes: BTreeMap<Uuid, Box<str>>,
}

impl Told {
    /// The model: what `entries` come to, with lists only.
    fn by(entries: &[Entry]) -> Self {
        let mut told = Self::default();
        for entry in entries {
            told.apply(entry);
        }
        told
    }

    fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Effect(effect) => {
                if self.live.iter().all(|(held, _)| held.id != effect.id) {
                    self.done.remove(&effect.id);
                    self.live.push((effect.clone(), None));
                }
            }
            Entry::Done(ids) => ids.iter().for_each(|id| self.settle(*id)),
            Entry::Discard(id) => self.settle(*id),
            Entry::Failed(id, letter) => self.set(*id, Some(letter.clone())),
            Entry::Requeue(id) => self.set(*id, None),
            Entry::Note { id, text } if text.is_empty() => _ = self.notes.remove(id),
            Entry::Note { id, text } => _ = self.notes.insert(*id, text.clone()),
        }
    }

    fn settle(&mut self, id: EffectId) {
        self.live.retain(|(held, _)| held.id != id);
        self.done.insert(id);
    }

    fn set(&mut self, id: EffectId, letter: Option<DeadLetter>) {
        if let Some(held) = self.live.iter_mut().find(|(held, _)| held.id == id) {
            held.1 = letter;
        }
    }

    /// What the journal tells, payloads read back.
    fn from(recovered: &Recovered, core: &Core<Lying>) -> Self {
        let ids: Vec<EffectId> = recovered.live.iter().map(|live| live.id).collect();
        let stored = core.read(&ids);
        let live = recovered.live.iter().zip(stored).map(|(live, stored)| {
            let stored = stored.expect("the disk can be read");
            let effect = stored.expect("a live effect can be read").effect;
            assert_eq!((&effect.lane, &effect.route), (&live.lane, &live.route));
            assert_eq!((&effect.key, effect.id), (&live.key, live.id));
            assert_eq!(effect.fingerprint, live.fingerprint);
            assert_eq!(effect.arrived_ms, live.arrived_ms);
            assert_eq!(effect.operation.body().len(), live.bytes);
            let letter = match &live.state {
                State::Open => None,
                State::Dead(letter) => Some(*letter.clone()),
            };
            (effect, letter)
        });
        let notes = recovered.notes.iter();
        Self {
            live: live.collect(),
            done: recovered.done.iter().map(|done| done.id).collect(),
            notes: notes.map(|note| (note.id, note.text.clone())).collect(),
        }
    }
}

/// Small segments, so that everything happens soon.
fn small(sync: Sync) -> Config {
    Config {
        on_failure: OnFailure::Bypass,
        segment_bytes_max: 2500,
        bytes_max: 60_000,
        low_water_bytes: 0,
        low_water_percent: 0,
        reserve_bytes: 4096,
        ..Config::with_sync(sync)
    }
}

/// A journal whose time is told.
struct Rig {
    disk: Lying,
    core: Core<Lying>,
    config: Config,
    now: Now,
    /// Everything that was asked for.
    entries: Vec<Entry>,
    /// How much of it is known to be durable.
    durable: usize,
    /// Whether anything was asked for in vain.
    has_refused: bool,
}

impl Rig {
    fn open(disk: &Lying, config: &Config) -> Result<(Self, Recovered), OpenError> {
        let now = Now {
            at: Instant::now(),
            ms: MS,
        };
        let (core, recovered) = super::open_on(disk.clone(), config, now, &Reading::default())?;
        let rig = Self {
            disk: disk.clone(),
            core,
            config: config.clone(),
            now,
            entries: Vec::new(),
            durable: 0,
            has_refused: false,
        };
        Ok((rig, recovered))
    }

    fn new(config: &Config) -> Self {
        let (rig, recovered) = Self::open(&Lying::default(), config).expect("an empty disk");
        assert_eq!(recovered.report.records, 0);
        rig
    }

    fn pass(&mut self, time: Duration) {
        self.now.at += time;
    }

    fn commit(&mut self, entries: Vec<Entry>) -> Result<Appended, Unrecorded> {
        self.commit_together(vec![(None, entries)]).remove(0)
    }

    fn commit_in(&mut self, round: u64, entry: Entry) -> Result<Appended, Unrecorded> {
        let appends = vec![(Some(Round(round)), vec![entry])];
        self.commit_together(appends).remove(0)
    }

    /// Appends that come to be written in one go.
    fn commit_together(
        &mut self,
        appends: Vec<(Option<Round>, Vec<Entry>)>,
    ) -> Vec<Result<Appended, Unrecorded>> {
        self.pass(Duration::from_millis(7));
        let mut jobs = Vec::new();
        let mut receipts = Vec::new();
        for (round, entries) in appends {
            self.entries.extend(entries.iter().cloned());
            let (answer, receipt) = oneshot::channel();
            jobs.push(Job {
                entries,
                round,
                answer,
            });
            receipts.push(receipt);
        }
        self.core.commit(jobs, self.now);
        let results = receipts.into_iter();
        let results: Vec<_> = results
            .map(|mut r| r.try_recv().expect("an answer"))
            .collect();
        self.has_refused |= results.iter().any(Result::is_err);
        self.note_durable();
        results
    }

    fn note_durable(&mut self) {
        self.has_refused |= self.core.health() != Health::Ok;
        let progress = self.core.progress();
        if progress.written == progress.durable && !self.has_refused {
            self.durable = self.entries.len();
        }
    }

    /// Lets the thread's idle work happen.
    fn tick(&mut self) {
        self.pass(Duration::from_millis(20));
        self.core.tick(self.now);
        self.note_durable();
    }

    /// What is told when it is opened from what is there.
    fn reopened(disk: &Lying, config: &Config) -> (Told, Recovered) {
        let (rig, recovered) = Self::open(disk, config).expect("it opens");
        (Told::from(&recovered, &rig.core), recovered)
    }
}

/// The next few entries of some history.
fn some_entries(dice: &mut Dice, entries: &[Entry]) -> Vec<Entry> {
    let told = Told::by(entries);
    let next = entries
        .iter()
        .filter(|entry| matches!(entry, Entry::Effect(_)))
        .count() as u64;
    let count = 1 + dice.below(4) as u64;
    let pick = |dice: &mut Dice| {
        let live = &told.live;
        (!live.is_empty()).then(|| live[dice.below(live.len())].0.id)
    };
    let one = |dice: &mut Dice, i: u64| match (dice.below(12), pick(dice)) {
        (0..=2, Some(id)) => Entry::Done(vec![id]),
        (3, Some(_)) => {
            let oldest = told.live.iter().take(3);
            Entry::Done(oldest.map(|(effect, _)| effect.id).collect())
        }
        (4, Some(id)) => Entry::Failed(id, letter(i)),
        (5, Some(id)) => Entry::Requeue(id),
        (6, Some(id)) => Entry::Discard(id),
        // The id of a settled effect comes again.
        (8, _) if !told.done.is_empty() => {
            let again = dice.below(told.done.len());
            let again = told.done.iter().nth(again).expect("one of them");
            Entry::Effect(effect(again.as_uuid().as_u64_pair().1))
        }
        (7, _) => Entry::Note {
            id: Uuid::from_u128(dice.below(3) as u128 + 1),
            text: ["", "one", "two"][dice.below(3)].into(),
        },
        _ => Entry::Effect(effect(next + i)),
    };
    (0..count).map(|i| one(dice, i)).collect()
}

/// The entry counts, at least `durable`, whose beginning comes to `told`.
fn beginning(told: &Told, entries: &[Entry], durable: usize) -> Option<usize> {
    (durable..=entries.len())
        .rev()
        .find(|count| Told::by(&entries[..*count]) == *told)
}
