//! The entries of one append, made ready by whoever asks.
//!
//! The lines of effects, and of what is settled, are finished here, before they
//! are queued, for where they will stand if nothing comes between. Then the
//! journal's thread only writes them, from where they are, so that it is back at
//! the disk soon.

use super::entry::{Entry, Settled};
use super::error::Unrecorded;
use super::record::{Blanks, Form, IDS_MAX, RECORD_BYTES_MAX};
use super::stamp::Stamp;
use crate::protocol::id::EffectId;

/// Lines of fewer bytes are copied, so that room which was made once is kept.
const COPIED_MAX: usize = if cfg!(test) { 512 } else { 16 << 10 };

/// The entries of one append, in order.
#[derive(Debug)]
pub(super) struct Drafts {
    pub(super) entries: Vec<Drafted>,
    /// Whether there are effects in it, or notes that speak of some.
    pub(super) has_effects: bool,
    /// Whether a record can hold each of its effects.
    pub(super) fits: Result<(), Unrecorded>,
    /// Whether all of it are lines, and each of another effect.
    is_plain: bool,
    /// Lines, one behind the other.
    bytes: Vec<u8>,
    /// What they say of their place.
    stamp: Stamp,
}

/// One of them.
#[derive(Debug)]
pub(super) enum Drafted {
    Effect(EffectId, Form),
    /// One to 64 of what one entry says.
    Done(Vec<Settled>, Form),
    /// Anything else is rare.
    Other(Box<Entry>),
}

/// How many records `entries` become, if all of them count.
pub(super) fn records(entries: &[Entry]) -> u64 {
    let of = |entry: &Entry| match entry {
        Entry::Done(settled) => settled.len().div_ceil(IDS_MAX),
        _ => 1,
    };
    entries.iter().map(of).sum::<usize>() as u64
}

impl Drafts {
    /// For where they will likely stand.
    pub(super) fn of(entries: &[Entry], stamp: Stamp) -> Self {
        let mut drafts = Self {
            entries: Vec::with_capacity(usize::try_from(records(entries)).unwrap_or(0)),
            has_effects: false,
            fits: Ok(()),
            is_plain: true,
            bytes: Vec::with_capacity(entries.iter().map(room_for).sum()),
            stamp,
        };
        let mut ids = Ids::with_room(entries.iter().map(ids_of).sum());
        for entry in entries {
            drafts.add(entry, &mut ids);
        }
        drafts
    }

    fn add(&mut self, entry: &Entry, ids: &mut Ids) {
        self.has_effects |= matches!(entry, Entry::Effect(_) | Entry::Note { .. });
        match entry {
            Entry::Effect(effect) => {
                self.is_plain &= ids.insert(effect.id);
                let blanks = self.stamp.blanks(self.entries.len());
                let form = Form::of_effect(&mut self.bytes, effect, blanks);
                let bytes = form.length_max();
                if RECORD_BYTES_MAX < bytes && self.fits.is_ok() {
                    self.fits = Err(Unrecorded::TooLarge { bytes });
                }
                self.entries.push(Drafted::Effect(effect.id, form));
            }
            Entry::Done(settled) => {
                for settled in settled.chunks(IDS_MAX) {
                    let mut insert = |settled: &Settled| ids.insert(settled.id);
                    self.is_plain &= settled.iter().all(&mut insert);
                    let blanks = self.stamp.timed_blanks(self.entries.len());
                    let form = Form::of_done(&mut self.bytes, settled, blanks);
                    self.entries.push(Drafted::Done(settled.to_vec(), form));
                }
            }
            _ => {
                self.is_plain = false;
                self.entries.push(Drafted::Other(Box::new(entry.clone())));
            }
        }
    }

    /// What its lines take.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether all of it are lines, and each of another effect.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Makes all lines stand there, where they are; whether they could. If not,
    /// [`Self::copy`] still can.
    pub(super) fn stand_at(&mut self, stamp: Stamp) -> bool {
        let told = std::mem::replace(&mut self.stamp, stamp);
        let is_there = (told.salt, told.first) == (stamp.salt, stamp.first);
        self.entries.iter().enumerate().all(|(at, drafted)| {
            let (form, blanks, is_in_time) = match drafted {
                Drafted::Effect(_, form) => (form, stamp.blanks(at), true),
                Drafted::Done(_, form) => {
                    (form, stamp.timed_blanks(at), told.now_ms == stamp.now_ms)
                }
                Drafted::Other(_) => return false,
            };
            // Only the first says what is durable.
            let is_as_told = is_there && is_in_time && (0 < at || told.durable == stamp.durable);
            is_as_told || form.fill(&mut self.bytes, blanks)
        })
    }

    /// Gives all lines away, to the empty `out`.
    pub(super) fn give(&mut self, out: &mut Vec<u8>) {
        if self.bytes.len() < COPIED_MAX {
            out.extend_from_slice(&self.bytes);
        } else {
            std::mem::swap(&mut self.bytes, out);
        }
    }

    /// Appends the line of `form` to `out`.
    pub(super) fn copy(&self, form: Form, out: &mut Vec<u8>, blanks: Blanks) {
        form.copy(&self.bytes, out, blanks);
    }
}

/// About what the lines of `entry` take: nearly always enough.
fn room_for(entry: &Entry) -> usize {
    match entry {
        Entry::Effect(effect) => {
            let operation = &effect.operation;
            let texts = effect.lane.as_str().len() + operation.channel().len();
            operation.body().len() + texts + operation.name().len() + 288
        }
        Entry::Done(settled) => settled.len().div_ceil(IDS_MAX) * 160 + settled.len() * 88,
        _ => 0,
    }
}

/// How many ids `entry` names, if it becomes lines.
fn ids_of(entry: &Entry) -> usize {
    match entry {
        Entry::Effect(_) => 1,
        Entry::Done(settled) => settled.len(),
        _ => 0,
    }
}

/// Slots that are looked at for an id: whoever chooses ids may choose odd ones.
const PROBES_MAX: usize = 64;

/// Tells whether an id was named before; it may say so of one that was not.
#[derive(Debug)]
struct Ids {
    /// What they come to in eight bytes, each where that says or a little behind; 0
    /// is none. Twice as many as can come.
    slots: Vec<u64>,
}

impl Ids {
    fn with_room(ids: usize) -> Self {
        let slots = if ids < 2 {
            0
        } else {
            (2 * ids).next_power_of_two()
        };
        Self {
            slots: vec![0; slots],
        }
    }

    /// Whether it is surely new.
    fn insert(&mut self, id: EffectId) -> bool {
        let (high, low) = id.as_uuid().as_u64_pair();
        let half = (high ^ low.rotate_left(32)).max(1);
        let Some(mask) = self.slots.len().checked_sub(1) else {
            return true;
        };
        #[expect(clippy::cast_possible_truncation, reason = "it is masked")]
        let mut at = half.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(20) as usize & mask;
        for _ in 0..PROBES_MAX {
            match self.slots[at] {
                0 => {
                    self.slots[at] = half;
                    return true;
                }
                before if before == half => return false,
                _ => at = (at + 1) & mask,
            }
        }
        false
    }
}
