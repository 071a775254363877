//! What goes into the journal, and what comes back out of it.

use uuid::Uuid;

use super::error::Unreadable;
use super::report::Report;
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// One thing to record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// An effect that is to be published. One whose id is open or
    /// dead-lettered here already is not taken a second time.
    Effect(Effect),
    /// These effects are settled; nothing of them is kept but how they are
    /// recognised if they come again.
    Done(Vec<Settled>),
    /// This effect was given up: it waits, whole, for an operator.
    Failed(EffectId, DeadLetter),
    /// A dead letter is open again, with its place, route, key and bytes.
    Requeue(EffectId),
    /// An operator drops an effect; its id counts as done.
    Discard(EffectId),
    /// Remembers `text` under `id` until it is replaced; an empty text forgets
    /// it. For whoever has to know after a crash what was taken already: it is
    /// not recorded without the effects that stand before it.
    Note {
        /// What it is about.
        id: Uuid,
        /// A few hundred bytes at most.
        text: Box<str>,
    },
}

/// An effect with everything needed to publish it after a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effect {
    /// The daemon's name for it.
    pub id: EffectId,
    /// What it must stay in order with.
    pub lane: LaneKey,
    /// The transport it has to go through, if it names one.
    pub route: Option<Box<str>>,
    /// What makes copies of it recognisable.
    pub key: IdempotencyKey,
    /// Tells another effect under the same id; the journal only keeps it.
    pub fingerprint: u64,
    /// When it arrived, in milliseconds since the epoch.
    pub arrived_ms: u64,
    /// What to do; the bytes come back as they are.
    pub operation: Operation,
}

/// How an effect that is settled is recognised if it comes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// The daemon's name for it.
    pub id: EffectId,
    /// What names it under another id; its own id if nothing does, or nobody
    /// knows.
    pub known_by: Uuid,
    /// As it was given with the effect; 0 if nobody knows.
    pub fingerprint: u64,
}

impl From<EffectId> for Settled {
    /// Of which no more is known.
    fn from(id: EffectId) -> Self {
        Self {
            id,
            known_by: id.as_uuid(),
            fingerprint: 0,
        }
    }
}

/// Why an effect was given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// The failure class, as a machine token.
    pub class: Box<str>,
    /// The server's error code, if it gave one.
    pub code: Option<u32>,
    /// What an operator reads.
    pub error: Box<str>,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was given up, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// Whether an effect waits for its transport or for an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It is to be published.
    Open,
    /// It was given up; few are.
    Dead(Box<DeadLetter>),
}

/// An effect that was not settled when the journal was opened; its bytes are
/// still on disk only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// The daemon's name for it.
    pub id: EffectId,
    /// What it must stay in order with.
    pub lane: LaneKey,
    /// The transport it has to go through, if it names one.
    pub route: Option<Box<str>>,
    /// What makes copies of it recognisable.
    pub key: IdempotencyKey,
    /// What names it under another id; its own id if nothing does.
    pub known_by: Uuid,
    /// Its place in the order of arrival; unique, and never changes.
    pub n: u64,
    /// The number of the record that holds it now.
    pub seq: u64,
    /// As it was given with the effect.
    pub fingerprint: u64,
    /// When it arrived, in milliseconds since the epoch.
    pub arrived_ms: u64,
    /// The bytes of its payload or value.
    pub bytes: usize,
    /// What it waits for.
    pub state: State,
}

/// An effect that was settled not long ago.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// Which, and how it is recognised.
    pub settled: Settled,
    /// When it was settled, in milliseconds since the epoch.
    pub at_ms: u64,
}

/// Something remembered with [`Entry::Note`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What it is about.
    pub id: Uuid,
    /// What was said last.
    pub text: Box<str>,
}

/// What a journal held when it was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// What is not settled, in the order of arrival.
    pub live: Vec<Live>,
    /// What was settled within the dedupe horizon, oldest first.
    pub done: Vec<Done>,
    /// The notes, by id.
    pub notes: Vec<Note>,
    /// Whether all of it is on stable storage. If not, a power cut may take some
    /// back, until the journal's health says that it can do its work.
    pub is_durable: bool,
    /// What was found, and what was damaged.
    pub report: Report,
}

/// What reading one effect back came to; nothing if it is settled or damaged.
pub type ReadBack = Result<Option<Stored>, Unreadable>;

/// An effect read back from disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// As it was appended.
    pub effect: Effect,
}
