//! The journal of a story, and what becomes of the appends to it.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use crate::delivery::{Class, Failure};
use crate::ingest::dispatcher::{Ack, Piece};
use crate::journal::Note;
use crate::protocol::envelope::Operation;
use crate::protocol::id::EffectId;

/// What becomes of an append to the journal.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Taken,
    /// The disk does not take it for now.
    Refused,
    /// Its first effect never will be.
    OneRefused,
    /// Falco is killed before it is there.
    KilledBefore,
    /// It is, and Falco is killed before anybody knows.
    KilledBehind,
}

/// The simplest journal that could be right.
#[derive(Default)]
pub(super) struct Journal {
    pub(super) fates: VecDeque<Fate>,
    pub(super) taken: Vec<u32>,
    ids: HashSet<EffectId>,
    pub(super) notes: BTreeMap<uuid::Uuid, Note>,
    /// What nothing may offer again: it is noted.
    noted: HashSet<EffectId>,
    never: HashSet<EffectId>,
    pub(super) refused: BTreeSet<u32>,
}

fn number(operation: &Operation) -> u32 {
    let Operation::Publish { payload, .. } = operation else {
        panic!("nobody sets objects");
    };
    let payload = String::from_utf8(payload.to_vec()).unwrap();
    payload.parse().unwrap()
}

impl Journal {
    pub(super) fn has(&self, number: u32) -> bool {
        self.taken.contains(&number)
    }

    /// Takes an append; `None` if Falco is killed meanwhile.
    pub(super) fn append(&mut self, piece: Piece) -> Option<Vec<Ack>> {
        let again = piece.effects.iter().find(|e| self.noted.contains(&e.id));
        assert!(again.is_none(), "{again:?} was taken, and is read again");
        let fate = self.fates.pop_front().unwrap_or(Fate::Taken);
        if let Fate::KilledBefore = fate {
            return None;
        }
        if let (Fate::OneRefused, Some(first)) = (fate, piece.effects.first())
            && !self.ids.contains(&first.id)
        {
            self.never.insert(first.id);
        }
        let mut acks = Vec::new();
        for effect in &piece.effects {
            let outcome = if let Fate::Refused = fate {
                Err(Failure::new(Class::Unrecorded, "the disk is full"))
            } else if self.never.contains(&effect.id) {
                self.refused.insert(number(&effect.operation));
                Err(Failure::new(Class::Rejected, "never"))
            } else {
                if self.ids.insert(effect.id) {
                    self.taken.push(number(&effect.operation));
                }
                Ok(())
            };
            acks.push(Ack {
                id: effect.id,
                bytes: effect.bytes,
                outcome,
            });
        }
        let is_whole = acks.iter().all(|ack| ack.outcome.is_ok());
        if is_whole && !matches!(fate, Fate::Refused) {
            self.noted.extend(piece.effects.iter().map(|e| e.id));
            if piece.note.text.is_empty() {
                self.notes.remove(&piece.note.id);
            } else {
                self.notes.insert(piece.note.id, piece.note);
            }
            _ = piece.noted.send(());
        }
        (!matches!(fate, Fate::KilledBehind)).then_some(acks)
    }
}
