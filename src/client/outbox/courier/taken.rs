//! Which rows of the table are on their way, and which to read next.
//!
//! Rows are read in the order of the table. A lane that has [`LANE_MAX`] rows or
//! [`LANE_BYTES_MAX`] on its way is set aside, so that a session whose effects
//! fail does not fill the window; once half of that is done it is read by itself
//! until it has caught up. One row may be larger than any bound, and goes alone.

use std::collections::HashMap;

use super::super::table::{Rows, Waiting, Wanted};
use super::ROWS;
use crate::protocol::id::LaneKey;

/// Rows on their way at once.
const TAKEN_MAX: usize = 2048;

/// Bytes of them; less than the client holds, which would make us wait.
const TAKEN_BYTES_MAX: usize = 48 << 20;

/// Rows of one lane on their way at once: two of Falco's batches.
const LANE_MAX: usize = 64;

/// Bytes of them.
const LANE_BYTES_MAX: usize = 1 << 20;

/// Bytes read at once.
const READ_BYTES_MAX: usize = 4 << 20;

#[derive(Debug, Default)]
pub(super) struct Taken {
    lanes: HashMap<LaneKey, Lane>,
    count: usize,
    bytes: usize,
    /// All up to here was taken, but for the lanes that are set aside.
    cursor: i64,
    /// Whether there was nothing more behind the cursor.
    is_at_end: bool,
}

#[derive(Debug, Default)]
struct Lane {
    on_way: usize,
    bytes: usize,
    /// The last row taken, if that is not told by the cursor.
    taken_to: i64,
    is_aside: bool,
}

/// What a row on its way counts for.
#[derive(Debug)]
pub(super) struct Load {
    pub lane: LaneKey,
    pub bytes: usize,
}

impl Taken {
    /// There may be new rows.
    pub(super) fn look_again(&mut self) {
        self.is_at_end = false;
    }

    /// What to read next, if anything.
    pub(super) fn wanted(&self) -> Option<Wanted> {
        if self.count + ROWS > TAKEN_MAX || self.bytes >= TAKEN_BYTES_MAX {
            return None;
        }
        let aside = || self.lanes.iter().filter(|(_, lane)| lane.is_aside);
        let relieved = aside().find(|(_, lane)| lane.is_relieved());
        if let Some((key, lane)) = relieved {
            return Some(Wanted {
                behind: lane.taken_to,
                lane: Some(key.clone()),
                except: Vec::new(),
                count: LANE_MAX / 2,
                bytes: LANE_BYTES_MAX / 2,
            });
        }
        (!self.is_at_end).then(|| Wanted {
            behind: self.cursor,
            lane: None,
            except: aside().map(|(key, _)| key.clone()).collect(),
            count: ROWS,
            bytes: READ_BYTES_MAX.min(TAKEN_BYTES_MAX - self.bytes),
        })
    }

    /// Notes the rows that were read; returns those that are to be sent.
    pub(super) fn take(&mut self, wanted: &Wanted, read: Rows) -> Vec<Waiting> {
        let Rows { mut rows, is_end } = read;
        if let Some(key) = &wanted.lane {
            if let Some(lane) = self.lanes.get_mut(key) {
                lane.is_aside = !is_end;
            }
        } else {
            self.is_at_end = is_end;
            self.cursor = rows.last().map_or(self.cursor, |row| row.seq);
            if is_end && wanted.except.is_empty() {
                // All there is was taken, and what comes has higher numbers.
                let taken_to = self.lanes.values().map(|lane| lane.taken_to);
                self.cursor = taken_to.fold(self.cursor, i64::max);
            }
        }
        rows.retain(|row| self.take_row(row, wanted.lane.is_some()));
        let cursor = self.cursor;
        self.lanes.retain(|_, lane| lane.matters(cursor));
        rows
    }

    fn take_row(&mut self, row: &Waiting, is_lane_read: bool) -> bool {
        let lane = self.lanes.entry(row.lane.clone()).or_default();
        if row.seq <= lane.taken_to || (lane.is_aside && !is_lane_read) {
            return false;
        }
        let bytes = row.effect.len();
        lane.on_way += 1;
        lane.bytes += bytes;
        lane.taken_to = row.seq;
        lane.is_aside |= lane.on_way >= LANE_MAX || lane.bytes >= LANE_BYTES_MAX;
        self.count += 1;
        self.bytes += bytes;
        true
    }

    /// A row has its fate.
    pub(super) fn done(&mut self, load: &Load) {
        let Some(lane) = self.lanes.get_mut(&load.lane) else {
            return;
        };
        lane.on_way -= 1;
        lane.bytes -= load.bytes;
        self.count -= 1;
        self.bytes -= load.bytes;
        if !lane.matters(self.cursor) {
            self.lanes.remove(&load.lane);
        }
    }
}

impl Lane {
    fn is_relieved(&self) -> bool {
        self.on_way <= LANE_MAX / 2 && self.bytes <= LANE_BYTES_MAX / 2
    }

    fn matters(&self, cursor: i64) -> bool {
        self.on_way > 0 || self.is_aside || self.taken_to > cursor
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::id::EffectId;

    fn table(lanes: &[&str]) -> Vec<(i64, LaneKey)> {
        let lanes = lanes.iter().map(|lane| LaneKey::new(*lane));
        (1..).zip(lanes).collect()
    }

    /// Reads all that is wanted of `table`, as the database would.
    fn read(taken: &mut Taken, table: &[(i64, LaneKey)]) -> Vec<i64> {
        read_sized(taken, table, 0)
    }

    /// The same with effects of so many bytes.
    fn read_sized(taken: &mut Taken, table: &[(i64, LaneKey)], bytes: usize) -> Vec<i64> {
        let mut read = Vec::new();
        while let Some(wanted) = taken.wanted() {
            let rows = table.iter().filter(|(seq, lane)| {
                let is_lane = wanted.lane.as_ref().is_none_or(|wanted| wanted == lane);
                *seq > wanted.behind && is_lane && !wanted.except.contains(lane)
            });
            let fits = wanted.bytes.div_ceil(bytes.max(1)).max(1);
            let count = wanted.count.min(if bytes == 0 { usize::MAX } else { fits });
            let rows: Vec<Waiting> = rows
                .take(count)
                .map(|(seq, lane)| Waiting {
                    seq: *seq,
                    id: EffectId::random(),
                    lane: lane.clone(),
                    effect: vec![0; bytes],
                })
                .collect();
            let is_end = rows.len() < count;
            let rows = taken.take(&wanted, Rows { rows, is_end });
            read.extend(rows.iter().map(|row| row.seq));
        }
        read
    }

    #[test]
    fn a_lane_that_stands_still_holds_up_no_other_lane() {
        let mut lanes = vec!["stuck"; 5000];
        lanes.push("free");
        let mut taken = Taken::default();
        let read = read(&mut taken, &table(&lanes));
        assert_eq!(read.len(), LANE_MAX + 1);
        assert_eq!(read.last(), Some(&5001));
    }

    #[test]
    fn large_rows_are_bounded_by_their_bytes_of_a_lane_and_of_all() {
        const MIB: usize = 1 << 20;
        let stuck = vec!["stuck"; 100];
        let mut taken = Taken::default();
        assert_eq!(
            read_sized(&mut taken, &table(&stuck), MIB / 4),
            [1, 2, 3, 4]
        );
        let lanes: Vec<String> = (0..100).map(|n| n.to_string()).collect();
        let lanes: Vec<&str> = lanes.iter().map(String::as_str).collect();
        let mut taken = Taken::default();
        let all = read_sized(&mut taken, &table(&lanes), 3 * MIB);
        assert_eq!(all.len(), 16, "{} MiB", taken.bytes / MIB);
        taken.done(&Load {
            lane: LaneKey::new("0"),
            bytes: 3 * MIB,
        });
        assert_eq!(read_sized(&mut taken, &table(&lanes), 3 * MIB), [17]);
    }

    #[test]
    fn every_row_is_taken_once_and_each_lane_in_order() {
        let names = ["a", "a", "a", "b", "a", "c"];
        let lanes: Vec<&str> = (0..6000).map(|n| names[n % names.len()]).collect();
        let mut table = table(&lanes);
        let mut taken = Taken::default();
        let mut seen: HashMap<LaneKey, Vec<i64>> = HashMap::new();
        loop {
            let read = read(&mut taken, &table);
            if read.is_empty() {
                break;
            }
            for seq in read {
                let index = usize::try_from(seq).unwrap() - 1;
                let lane = lanes[index];
                seen.entry(LaneKey::new(lane)).or_default().push(seq);
                taken.done(&Load {
                    lane: LaneKey::new(lane),
                    bytes: 0,
                });
                table.retain(|(other, _)| *other != seq);
            }
        }
        for (key, seqs) in &seen {
            assert!(seqs.is_sorted(), "{key}");
        }
        assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 6000);
        assert_eq!(taken.count, 0);
        taken.look_again();
        assert!(read(&mut taken, &table).is_empty());
        assert!(taken.lanes.is_empty(), "no lane is remembered for nothing");
    }

    #[test]
    fn rows_that_come_later_are_read_once_somebody_says_so() {
        let mut taken = Taken::default();
        let mut rows = table(&["a", "b"]);
        assert_eq!(read(&mut taken, &rows), [1, 2]);
        rows.push((3, LaneKey::new("a")));
        assert!(read(&mut taken, &rows).is_empty());
        taken.look_again();
        assert_eq!(read(&mut taken, &rows), [3]);
    }
}
