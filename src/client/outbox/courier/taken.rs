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
mod tests;
