//! The naive model: what entries come to, with lists only.

use super::super::storage::lying::{Dice, Lying};
use super::*;

/// What a journal comes to: told by the journal, or by the naive model.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// In the order of arrival.
    pub(super) live: Vec<(Effect, Option<DeadLetter>)>,
    pub(super) done: BTreeSet<EffectId>,
    pub(super) notes: BTreeMap<Uuid, Box<str>>,
}

impl Told {
    /// The model: what `entries` come to, with lists only.
    pub(super) fn by(entries: &[Entry]) -> Self {
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
            Entry::Done(done) => done.iter().for_each(|done| self.settle(done.id)),
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
    pub(super) fn from(recovered: &Recovered, core: &Core<Lying>) -> Self {
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
            done: recovered.done.iter().map(|done| done.settled.id).collect(),
            notes: notes.map(|note| (note.id, note.text.clone())).collect(),
        }
    }
}

/// The next few entries of some history.
pub(super) fn some_entries(dice: &mut Dice, entries: &[Entry]) -> Vec<Entry> {
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
        (0..=2, Some(id)) => Entry::Done(vec![id.into()]),
        (3, Some(_)) => {
            let oldest = told.live.iter().take(3);
            Entry::Done(oldest.map(|(effect, _)| effect.id.into()).collect())
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

/// The same for some appends that are written together.
pub(super) fn some_appends(
    dice: &mut Dice,
    entries: &[Entry],
    most: usize,
) -> Vec<(Option<Round>, Vec<Entry>)> {
    let mut known = entries.to_vec();
    let count = 1 + dice.below(most);
    let one = |_| {
        let entries = some_entries(dice, &known);
        known.extend_from_slice(&entries);
        (None, entries)
    };
    (0..count).map(one).collect()
}

/// The entry counts, at least `durable`, whose beginning comes to `told`.
pub(super) fn beginning(told: &Told, entries: &[Entry], durable: usize) -> Option<usize> {
    (durable..=entries.len())
        .rev()
        .find(|count| Told::by(&entries[..*count]) == *told)
}
