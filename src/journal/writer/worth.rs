//! What a segment is still needed for, and what emptying some would gain.
//!
//! Before a journal is full, ids give way to effects: with four fifths of its
//! size used, no segment is kept for what it settles, and none that holds little
//! else has its ids copied, unless an operator asked for it to be emptied. An id
//! of those that comes again after a restart is published again, under the key
//! it had.

use std::collections::VecDeque;

use super::super::config::Config;
use super::super::recovery::DONE_MAX;
use super::super::segment::Segment;

/// A journal below this is not worth copying.
const WORTH_IT: u64 = 128 << 20;

/// The same where its disk is nearly full.
const WORTH_IT_LOW: u64 = 1 << 20;

/// What an operator's compaction has to gain in a segment: less is about what
/// beginning another one costs.
const GAIN_MIN: u64 = 64 << 10;

/// What the headers of a segment take, which its copies need too.
const HEADERS_BYTES: u64 = 512;

/// More closed segments than this are worth copying together.
const SEALED_MAX: usize = 8;

/// What it takes to settle an effect, about: its id, its key and its hash in a
/// record that settles many.
const SETTLED_BYTES: u64 = 96;

/// The segments of a journal, as they are now.
#[derive(Debug, Clone, Copy)]
pub(in crate::journal) struct Worth<'a> {
    segments: &'a VecDeque<Segment>,
    config: &'a Config,
    now_ms: u64,
    /// Bytes of all of them, and what it takes to settle what they hold.
    claimed: u64,
    /// Segments up to this one an operator wants emptied.
    asked_to: Option<u32>,
    /// Its disk is nearly full.
    is_low: bool,
}

impl<'a> Worth<'a> {
    pub(in crate::journal) fn new(
        segments: &'a VecDeque<Segment>,
        config: &'a Config,
        now_ms: u64,
    ) -> Self {
        let claimed = |segment: &Segment| segment.bytes + segment.live * SETTLED_BYTES;
        Self {
            segments,
            config,
            now_ms,
            claimed: segments.iter().map(claimed).sum(),
            asked_to: None,
            is_low: false,
        }
    }

    /// The same, where its disk is nearly full, or not.
    pub(super) fn on_disk(self, is_low: bool) -> Self {
        Self { is_low, ..self }
    }

    /// The same, where an operator wants those up to `asked_to` emptied.
    pub(super) fn asked(self, asked_to: Option<u32>) -> Self {
        Self { asked_to, ..self }
    }

    /// Whether ids that this segment settles are kept.
    pub(super) fn is_remembered(&self, segment: &Segment) -> bool {
        // Where they are little, effects gain little from their loss.
        let is_little = 0 < segment.live && segment.done_bytes * 2 < segment.bytes;
        let has_room = is_little || !self.is_large() || self.is_asked(segment);
        has_room && self.is_recent(segment)
    }

    fn is_asked(&self, segment: &Segment) -> bool {
        self.asked_to.is_some_and(|to| segment.id <= to)
    }

    /// Whether ids that this segment settles are still within the horizon.
    fn is_recent(&self, segment: &Segment) -> bool {
        let horizon = self.config.dedupe_horizon.as_millis();
        let horizon = u64::try_from(horizon).unwrap_or(u64::MAX);
        let later = self.segments.iter().filter(|s| segment.id < s.id);
        let later: u64 = later.map(|s| s.done).sum();
        0 < segment.done
            && self.now_ms < segment.done_ms.saturating_add(horizon)
            && later < DONE_MAX as u64
    }

    /// What emptying the segment would copy.
    pub(in crate::journal) fn needed(&self, segment: &Segment) -> u64 {
        if self.is_remembered(segment) {
            segment.live_bytes + segment.done_bytes
        } else {
            segment.live_bytes
        }
    }

    fn gain(&self, segment: &Segment) -> u64 {
        gain(segment, self.needed(segment))
    }

    /// Whether an operator's compaction, which forgets no id, gains something in
    /// it.
    pub(super) fn has_gain(&self, segment: &Segment) -> bool {
        let is_recent = self.is_recent(segment);
        let ids = if is_recent { segment.done_bytes } else { 0 };
        GAIN_MIN < gain(segment, segment.live_bytes + ids)
    }

    /// The last of `sealed` in which it does.
    pub(in crate::journal) fn last_gain<'s>(
        &self,
        sealed: impl DoubleEndedIterator<Item = &'s Segment>,
    ) -> Option<u32> {
        let mut gains = sealed.rev().filter(|segment| self.has_gain(segment));
        gains.next().map(|segment| segment.id)
    }

    /// Whether emptying the oldest, `front`, is worth it, of so many that are
    /// closed.
    pub(super) fn is_worth_it(&self, front: &Segment, sealed: usize) -> bool {
        if self.is_asked(front) {
            return true;
        }
        // A long queue of live segments is no waste: copying it gains nothing.
        let is_scattered = SEALED_MAX < sealed || self.is_large();
        let gain = self.segments.iter().map(|segment| self.gain(segment)).sum();
        self.is_hollow()
            || (is_scattered && self.all_needed() * 5 < self.bytes() * 4)
            || (self.is_full_with(0) && self.is_enough(gain))
    }

    /// Whether so little of all segments is needed that it is worth copying.
    fn is_hollow(&self) -> bool {
        let worth_it = if self.is_low { WORTH_IT_LOW } else { WORTH_IT };
        let total = self.bytes();
        worth_it.min(self.config.bytes_max / 4) < total && self.all_needed() * 5 < total * 2
    }

    fn all_needed(&self) -> u64 {
        let all = self.segments.iter();
        all.map(|segment| self.needed(segment)).sum()
    }

    /// Whether the disk is nearly full, and this one, the only segment, takes room
    /// that nobody needs.
    pub(super) fn frees_low(&self, segment: &Segment) -> bool {
        let is_alone = self.segments.len() == 1;
        self.is_low && is_alone && self.is_hollow() && self.has_gain(segment)
    }

    /// Whether the journal is full, and would not be if this one were emptied.
    pub(super) fn frees_full(&self, segment: &Segment) -> bool {
        self.is_full_with(0) && self.is_enough(self.gain(segment))
    }

    /// A full journal takes no effect, so a little is worth a lot; but less would
    /// have it copied over and over.
    fn is_enough(&self, gain: u64) -> bool {
        self.config.bytes_max / 8 < gain
    }

    /// Whether most of its size is used.
    pub(super) fn is_large(&self) -> bool {
        self.config.bytes_max / 5 * 4 <= self.claimed
    }

    /// Whether the journal has all it may, once `more` bytes are written.
    pub(super) fn is_full_with(&self, more: u64) -> bool {
        self.config.bytes_max <= self.claimed + more
    }

    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }
}

fn gain(segment: &Segment, needed: u64) -> u64 {
    segment.bytes.saturating_sub(needed + HEADERS_BYTES)
}

/// Why nothing can be gained.
pub(in crate::journal) fn all_needed(config: &Config) -> String {
    let minutes = config.dedupe_horizon.as_secs() / 60;
    format!(
        "all of it is needed: kept effects, dead letters, and ids of the last {minutes} minutes"
    )
}

/// Why a segment of which so much is needed cannot be emptied.
pub(in crate::journal) fn no_room(copied: u64, free: u64) -> String {
    let (needed, free) = (2 * copied / 1_000_000, free / 1_000_000);
    format!("{needed} MB have to be free on its disk meanwhile, and {free} MB are")
}
