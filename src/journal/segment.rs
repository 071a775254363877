//! A segment: one file of records, and what is still needed of it.

use super::fold::Place;

/// The headers of a segment. It has its name only once they are on stable
/// storage.
pub(super) const HEADERS: u64 = 2;

/// The name of the segment whose first record has this number.
pub(super) fn name(first: u64) -> String {
    format!("seg-{first:016x}.jsonl")
}

/// The number of the first record of the segment called so.
pub(super) fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("seg-")?.strip_suffix(".jsonl")?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    // One number, one name.
    (self::name(first) == name).then_some(first)
}

/// What a segment holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// Counted over the life of this process; [`Place`] names it.
    pub(super) id: u32,
    /// The number of its first record.
    pub(super) first: u64,
    /// Its file's length.
    pub(super) bytes: u64,
    /// What its checksums begin with.
    pub(super) salt: u64,
    /// Records that are still needed: effects not settled, what dead letters
    /// say, notes.
    pub(super) live: u64,
    /// Their bytes.
    pub(super) live_bytes: u64,
    /// Ids that were settled by its records.
    pub(super) done: u64,
    /// The bytes of those records.
    pub(super) done_bytes: u64,
    /// When the last of them was, by the clock of whoever has it open.
    pub(super) done_ms: u64,
    /// What has to be added to the times in its file for that.
    pub(super) shift_ms: i64,
    /// Whether it is damaged and nothing tells of that but its file.
    pub(super) is_unkept: bool,
    /// Whether somebody moved, removed or replaced its file.
    pub(super) is_astray: bool,
}

impl Segment {
    /// Its file.
    pub(super) fn name(&self) -> String {
        name(self.first)
    }

    pub(super) fn keep(&mut self, place: Place) {
        self.live += 1;
        self.live_bytes += u64::from(place.length);
    }

    pub(super) fn let_go(&mut self, place: Place) {
        self.live -= 1;
        self.live_bytes -= u64::from(place.length);
    }

    pub(super) fn settle(&mut self, ids: usize, bytes: u64, at_ms: u64) {
        self.done += ids as u64;
        self.done_bytes += bytes;
        self.done_ms = self.done_ms.max(at_ms);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_we_give_is_a_segments_name() {
        assert_eq!(name(0x2a), "seg-000000000000002a.jsonl");
        assert_eq!(first_of("seg-000000000000002a.jsonl"), Some(42));
        for other in [
            "seg-2a.jsonl",
            "seg-000000000000002A.jsonl",
            "seg-+00000000000002a.jsonl",
            "seg-000000000000002a.jsonl.tmp",
            "next-000000000000002a.tmp",
        ] {
            assert_eq!(first_of(other), None, "{other}");
        }
    }
}
