//! The entries of one append, made ready by whoever asks.
//!
//! Most of an effect's record says the same wherever it will stand. That part is
//! made here, before it is queued: the journal's thread only copies it and adds
//! the place, so that it is back at the disk soon.

use super::entry::Entry;
use super::error::Unrecorded;
use super::record::{self, Draft, RECORD_BYTES_MAX};
use crate::protocol::id::EffectId;

/// The entries of one append, in order.
#[derive(Debug)]
pub(super) struct Drafts {
    pub(super) entries: Vec<Drafted>,
    /// Whether there are effects in it, or notes that speak of some.
    pub(super) has_effects: bool,
    /// Whether a record can hold each of its effects.
    pub(super) fits: Result<(), Unrecorded>,
    bytes: Vec<u8>,
}

/// One of them.
#[derive(Debug)]
pub(super) enum Drafted {
    Effect(DraftOf),
    /// Anything else is small, or rare.
    Other(Box<Entry>),
}

/// Where the draft of an effect stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftOf {
    pub(super) id: EffectId,
    at: [usize; 4],
}

impl Drafts {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut drafts = Self {
            entries: Vec::with_capacity(entries.len()),
            has_effects: false,
            fits: Ok(()),
            bytes: Vec::with_capacity(entries.iter().map(room_for).sum()),
        };
        for entry in entries {
            drafts.add(entry);
        }
        drafts
    }

    fn add(&mut self, entry: &Entry) {
        self.has_effects |= matches!(entry, Entry::Effect(_) | Entry::Note { .. });
        let Entry::Effect(effect) = entry else {
            let entry = Box::new(entry.clone());
            return self.entries.push(Drafted::Other(entry));
        };
        let start = self.bytes.len();
        let [head, time] = record::draft(&mut self.bytes, effect);
        let at = [start, head, time, self.bytes.len()];
        let id = effect.id;
        self.entries.push(Drafted::Effect(DraftOf { id, at }));
        let bytes = at[3] - start + record::PLACE_BYTES_MAX;
        if RECORD_BYTES_MAX < bytes && self.fits.is_ok() {
            self.fits = Err(Unrecorded::TooLarge { bytes });
        }
    }

    /// What its effects take, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn draft(&self, of: DraftOf) -> Draft<'_> {
        let [start, head, time, end] = of.at;
        Draft {
            id: of.id,
            head: &self.bytes[start..head],
            time: &self.bytes[head..time],
            tail: &self.bytes[time..end],
        }
    }
}

/// About what the draft of `entry` takes: nearly always enough.
fn room_for(entry: &Entry) -> usize {
    let Entry::Effect(effect) = entry else {
        return 0;
    };
    let operation = &effect.operation;
    let texts = effect.lane.as_str().len() + operation.channel().len() + operation.name().len();
    operation.body().len() + texts + 256
}
