//! What a disk that is full has not taken yet: the newest megabyte.

use std::collections::VecDeque;

/// How much is kept for a disk that refuses.
const BYTES_MAX: usize = 1024 * 1024;

/// Records in memory, oldest first; the oldest go when there are too many.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    records: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Lines that went.
    lost: u64,
}

impl Backlog {
    /// Adds `records`; yields the lines that had to go for them.
    pub(super) fn push(&mut self, records: Vec<u8>) -> u64 {
        self.bytes += records.len();
        self.records.push_back(records);
        let mut lost = 0;
        while BYTES_MAX < self.bytes
            && let Some(oldest) = self.records.pop_front()
        {
            self.bytes -= oldest.len();
            lost += lines(&oldest);
        }
        self.lost += lost;
        lost
    }

    /// The oldest records.
    pub(super) fn first(&self) -> Option<&[u8]> {
        self.records.front().map(Vec::as_slice)
    }

    /// The first `bytes` of the oldest records are written.
    pub(super) fn written(&mut self, bytes: usize) {
        let Some(first) = self.records.front_mut() else {
            return;
        };
        self.bytes -= bytes;
        first.drain(..bytes);
        if first.is_empty() {
            self.records.pop_front();
        }
    }

    /// Lines lost and not told of yet.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// The lost lines were told of.
    pub(super) fn forget_lost(&mut self) {
        self.lost = 0;
    }
}

/// Records end with a newline each.
pub(super) fn lines(records: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', records).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_megabyte_is_kept_and_what_went_is_counted() {
        let mut backlog = Backlog::default();
        let chunk = |n: u8| [vec![n; 1023], vec![b'\n']].concat();
        for n in (0..7).cycle().take(1024) {
            assert_eq!(backlog.push(chunk(n)), 0);
        }
        assert_eq!(backlog.push(chunk(9)), 1);
        assert_eq!(backlog.lost(), 1);
        backlog.forget_lost();
        assert_eq!(backlog.lost(), 0);
        assert_eq!(backlog.first().unwrap()[0], 1);
    }

    #[test]
    fn what_was_half_written_goes_on_behind_it() {
        let mut backlog = Backlog::default();
        backlog.push(b"one\ntwo\n".to_vec());
        backlog.written(4);
        assert_eq!(backlog.first(), Some(&b"two\n"[..]));
        backlog.written(4);
        assert_eq!(backlog.first(), None);
    }
}
