//! Records on their way to a segment, and what each of them changes.

use hashbrown::HashMap;
use uuid::Uuid;

use super::super::draft::{Drafted, Drafts};
use super::super::entry::{Entry, Settled};
use super::super::error::Unrecorded;
use super::super::fold::Place;
use super::super::record::{self, Blanks, Body, Form, IDS_MAX, RECORD_BYTES_MAX, Salt};
use super::super::stamp::Stamp;
use super::index::Slot;
use crate::protocol::id::EffectId;

/// What a record means for the index; with what was there before, where that may
/// have to be put back.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// The effect stands here now.
    Open(EffectId),
    /// These were published.
    Settle(Vec<Settled>),
    /// An operator dropped the effect.
    Discard(EffectId, Option<Slot>),
    /// The effect is a dead letter; here is why.
    Fail(EffectId),
    /// It is none any more.
    Requeue(EffectId, Option<Place>),
    Note {
        id: Uuid,
        is_gone: bool,
        before: Option<Place>,
    },
    /// What stood there stands here now.
    Move(Moved, Place),
    /// Ids settled earlier are told here now.
    Retell {
        ids: usize,
        at_ms: u64,
    },
    Nothing,
}

impl Change {
    pub(super) fn is_effect(&self) -> bool {
        matches!(self, Self::Open(_))
    }

    /// Whether it is an effect, or may speak of one.
    pub(super) fn is_about_effects(&self) -> bool {
        matches!(self, Self::Open(_) | Self::Note { .. })
    }

    /// Whether it takes the place of what stands elsewhere, and that is needed
    /// until this is durable.
    fn supersedes(&self) -> bool {
        match self {
            Self::Move(..) | Self::Retell { .. } => true,
            Self::Discard(_, before) => before.is_some(),
            Self::Requeue(_, before) | Self::Note { before, .. } => before.is_some(),
            Self::Open(_) | Self::Settle(_) | Self::Fail(_) | Self::Nothing => false,
        }
    }

    /// Whether it was only asked for; anything else is a fact, and comes to the
    /// disk sooner or later.
    pub(super) fn can_be_refused(&self) -> bool {
        self.is_about_effects() || matches!(self, Self::Requeue(..) | Self::Discard(..))
    }
}

/// What compaction moves.
#[derive(Debug, Clone, Copy)]
pub(super) enum Moved {
    Effect(EffectId),
    Failure(EffectId),
    Note(Uuid),
}

/// One record of a batch.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// Where its line begins in the batch.
    pub(super) at: usize,
    /// Without the LF.
    pub(super) length: usize,
    pub(super) change: Change,
    /// Where the index knows it to be, once it was written.
    pub(super) place: Option<Place>,
}

/// Whole lines with consecutive numbers.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) written: Vec<Written>,
    /// Whether an effect that the first `known` of them speak of is open after
    /// them: whoever needs that for all finds it out then.
    is_open: HashMap<EffectId, bool>,
    known: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    pub(super) fn len(&self) -> u64 {
        self.written.len() as u64
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.written.clear();
        self.is_open.clear();
        self.known = 0;
    }

    /// Whether `id` is open after this batch, if it was before.
    pub(super) fn leaves_open(&mut self, id: EffectId, before: bool) -> bool {
        for written in &self.written[self.known..] {
            match &written.change {
                Change::Open(id) => _ = self.is_open.insert(*id, true),
                Change::Discard(id, _) => _ = self.is_open.insert(*id, false),
                Change::Settle(settled) => {
                    let closed = settled.iter().map(|settled| (settled.id, false));
                    self.is_open.extend(closed);
                }
                _ => {}
            }
        }
        self.known = self.written.len();
        self.is_open.get(&id).copied().unwrap_or(before)
    }

    /// Whether it holds the effect `id` itself.
    pub(super) fn opens(&self, id: EffectId) -> bool {
        use Change::{Move, Open};
        let opens = |written: &Written| matches!(written.change, Open(at) | Move(Moved::Effect(at), _) if at == id);
        self.written.iter().any(opens)
    }

    /// Whether it holds ids that are settled.
    pub(super) fn has_settled(&self) -> bool {
        let settles =
            |written: &Written| matches!(written.change, Change::Settle(_) | Change::Discard(..));
        self.written.iter().any(settles)
    }

    /// Whether it says nothing but that effects were published.
    pub(super) fn only_settles(&self) -> bool {
        let settles = |written: &Written| matches!(written.change, Change::Settle(_));
        self.written.iter().all(settles)
    }

    /// Whether it takes the place of what stands elsewhere.
    pub(super) fn supersedes(&self) -> bool {
        self.written
            .iter()
            .any(|written| written.change.supersedes())
    }

    /// Whether it says what was given up, or what an operator decided: that is
    /// durable before anybody is told.
    pub(super) fn has_decisions(&self) -> bool {
        let decides = |written: &Written| {
            use Change::{Discard, Fail, Requeue};
            matches!(written.change, Fail(_) | Requeue(..) | Discard(..))
        };
        self.written.iter().any(decides)
    }

    /// Takes over all lines of `drafts` from where they stand, if it is empty, all
    /// of them count and they can stand here; `holds` tells what is open already.
    pub(super) fn adopt(
        &mut self,
        drafts: &mut Drafts,
        holds: impl Fn(EffectId) -> bool,
        stamp: Stamp,
    ) -> bool {
        let is_new = |drafted: &Drafted| !matches!(drafted, Drafted::Effect(id, _) if holds(*id));
        let can_stand = self.is_empty()
            && drafts.is_plain()
            && drafts.entries.iter().all(is_new)
            && drafts.stand_at(stamp);
        if !can_stand {
            return false;
        }
        drafts.give(&mut self.bytes);
        for drafted in &mut drafts.entries {
            let (form, change) = match drafted {
                Drafted::Effect(id, form) => (form, Change::Open(*id)),
                Drafted::Done(settled, form) => (form, Change::Settle(std::mem::take(settled))),
                Drafted::Other(_) => continue,
            };
            self.push(form.start(), form.length(), change);
        }
        true
    }

    /// Adds an effect of `drafts`.
    pub(super) fn effect(&mut self, (id, form): (EffectId, Form), drafts: &Drafts, stamp: Stamp) {
        let blanks = stamp.behind(self.len()).blanks(0);
        self.line(form, Change::Open(id), drafts, blanks);
    }

    /// Adds what is settled by `drafts`.
    pub(super) fn done(
        &mut self,
        (settled, form): (&[Settled], Form),
        drafts: &Drafts,
        stamp: Stamp,
    ) {
        let blanks = stamp.behind(self.len()).timed_blanks(0);
        self.line(form, Change::Settle(settled.to_vec()), drafts, blanks);
    }

    fn line(&mut self, form: Form, change: Change, drafts: &Drafts, blanks: Blanks) {
        let at = self.bytes.len();
        drafts.copy(form, &mut self.bytes, blanks);
        self.push(at, self.bytes.len() - at - 1, change);
    }

    /// Adds what is settled, in as many records as it takes.
    pub(super) fn settle(&mut self, settled: &[Settled], stamp: Stamp) {
        for settled in settled.chunks(IDS_MAX) {
            let change = Change::Settle(settled.to_vec());
            // 64 of them are far below the limit.
            _ = self.put(Body::Done(settled), change, stamp);
        }
    }

    /// Adds anything that is no effect.
    pub(super) fn entry(&mut self, entry: &Entry, stamp: Stamp) -> Result<(), Unrecorded> {
        match entry {
            // They come as lines.
            Entry::Effect(_) | Entry::Done(_) => Ok(()),
            Entry::Failed(id, letter) => {
                self.put(Body::Failed(*id, letter), Change::Fail(*id), stamp)
            }
            Entry::Requeue(id) => self.put(Body::Requeue(*id), Change::Requeue(*id, None), stamp),
            Entry::Discard(id) => self.put(Body::Discard(*id), Change::Discard(*id, None), stamp),
            Entry::Note { id, text } => {
                let change = Change::Note {
                    id: *id,
                    is_gone: text.is_empty(),
                    before: None,
                };
                self.put(Body::Note(*id, text), change, stamp)
            }
        }
    }

    pub(super) fn close(&mut self, stamp: Stamp) {
        _ = self.put(Body::Close, Change::Nothing, stamp);
    }

    /// Tells again what was settled at `at_ms`.
    pub(super) fn retell(&mut self, settled: &[Settled], at_ms: u64, stamp: Stamp) {
        let change = Change::Retell {
            ids: settled.len(),
            at_ms,
        };
        let now_ms = at_ms;
        if !settled.is_empty() {
            _ = self.put(Body::Done(settled), change, Stamp { now_ms, ..stamp });
        }
    }

    /// Adds a copy of a whole line.
    pub(super) fn copy(&mut self, line: &[u8], change: Change, stamp: Stamp) {
        let (at, length) = (self.bytes.len(), line.len());
        self.bytes.extend_from_slice(line);
        let q = stamp.first + self.len();
        record::restamp(&mut self.bytes[at..], stamp.salt, q);
        self.bytes.push(b'\n');
        self.push(at, length, change);
    }

    /// Adds a line that stands at `place` already, and is to stand elsewhere.
    pub(super) fn carry_over(&mut self, line: &[u8], change: Change, place: Place) {
        let (at, length) = (self.bytes.len(), line.len());
        self.bytes.extend_from_slice(line);
        self.bytes.push(b'\n');
        self.written.push(Written {
            at,
            length,
            change,
            place: Some(place),
        });
    }

    fn put(&mut self, body: Body<'_>, change: Change, stamp: Stamp) -> Result<(), Unrecorded> {
        let at = self.bytes.len();
        let q = stamp.first + self.len();
        let durable = stamp.durable.filter(|_| self.is_empty());
        let bytes = &mut self.bytes;
        record::encode(bytes, stamp.salt, q, durable, stamp.now_ms, body);
        let length = bytes.len() - at - 1;
        if RECORD_BYTES_MAX < length {
            bytes.truncate(at);
            return Err(Unrecorded::TooLarge { bytes: length });
        }
        self.push(at, length, change);
        Ok(())
    }

    fn push(&mut self, at: usize, length: usize, change: Change) {
        self.written.push(Written {
            at,
            length,
            change,
            place: None,
        });
    }

    /// The same records for another segment, or with other numbers.
    pub(super) fn restamp(&mut self, salt: Salt, first: u64) {
        for (q, written) in (first..).zip(&self.written) {
            let line = &mut self.bytes[written.at..written.at + written.length];
            record::restamp(line, salt, q);
        }
    }

    /// Drops what is `refused` from the record at `from` on, and keeps the rest;
    /// returns what that would have changed, in order.
    pub(super) fn drop_from(&mut self, from: usize, refused: fn(&Change) -> bool) -> Vec<Change> {
        let mut dropped = Vec::new();
        let mut written = self.written.iter().skip(from);
        if !written.any(|written| refused(&written.change)) {
            return dropped;
        }
        let mut kept = Self::default();
        for (at, written) in self.written.iter().enumerate() {
            if from <= at && refused(&written.change) {
                dropped.push(written.change.clone());
            } else {
                kept.carry(self, written);
            }
        }
        *self = kept;
        dropped
    }

    /// Takes over what `other` holds, as it is.
    pub(super) fn append(&mut self, other: &mut Self) {
        let base = self.bytes.len();
        self.bytes.extend_from_slice(&other.bytes);
        let moved = other.written.drain(..).map(|written| Written {
            at: base + written.at,
            ..written
        });
        self.written.extend(moved);
        other.clear();
    }

    fn carry(&mut self, from: &Self, written: &Written) {
        let at = self.bytes.len();
        let line = written.at..=written.at + written.length;
        self.bytes.extend_from_slice(&from.bytes[line]);
        self.written.push(Written {
            at,
            ..written.clone()
        });
    }

    /// The checksum of the last record.
    pub(super) fn last_crc(&self) -> u32 {
        let Some(last) = self.written.last() else {
            return 0;
        };
        record::crc_of(&self.bytes[last.at..last.at + last.length])
    }
}
