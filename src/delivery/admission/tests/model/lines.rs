//! What was let through, one line for each lane.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum How {
    /// The first is published.
    Done,
    /// The first fails, and all behind it.
    Fails(Class),
    /// The first fails, for good, and nothing else.
    Refused(Class),
    /// The last finds that its lane is full.
    HasNoRoom,
}

/// See the module.
#[derive(Default)]
pub(super) struct Lines {
    lines: BTreeMap<u8, Vec<Admitted>>,
    /// Take nothing before they are empty.
    full: BTreeSet<u8>,
}

impl Lines {
    /// It goes where it stood before, or last.
    pub(super) fn push(&mut self, lane: u8, admitted: Admitted) {
        let line = self.lines.entry(lane).or_default();
        let is_before = |other: &Admitted| other.place.arrival <= admitted.place.arrival;
        let at = line.partition_point(is_before);
        line.insert(at, admitted);
    }

    pub(super) fn is_full(&self, lane: u8) -> bool {
        self.full.contains(&lane)
    }

    /// One has no room for something. Returns whether it is empty, and takes more.
    pub(super) fn fill(&mut self, lane: u8) -> bool {
        let is_empty = self.is_empty(lane);
        if !is_empty {
            self.full.insert(lane);
        }
        is_empty
    }

    /// One was full, and is empty now.
    pub(super) fn is_emptied(&mut self, lane: u8) -> bool {
        self.is_empty(lane) && self.full.remove(&lane)
    }

    pub(super) fn is_empty(&self, lane: u8) -> bool {
        self.lines.get(&lane).is_none_or(Vec::is_empty)
    }

    pub(super) fn settle(&mut self, lane: u8, how: How) -> Vec<Settled<Ticket>> {
        if self.is_empty(lane) {
            return Vec::new();
        }
        let line = self.lines.get_mut(&lane).expect("it is not empty");
        let no = |class| Err(Failure::new(class, "no"));
        match how {
            How::Done => vec![settled(line.remove(0), Ok(()))],
            How::Refused(class) => vec![settled(line.remove(0), no(class))],
            How::HasNoRoom => {
                self.full.insert(lane);
                let last = line.pop().expect("it is not empty");
                vec![settled(last, no(Class::LaneFull))]
            }
            How::Fails(class) => {
                let first = settled(line.remove(0), no(class));
                let behind = line.drain(..);
                let behind = behind.map(|one| settled(one, Err(Failure::behind())));
                std::iter::once(first).chain(behind).collect()
            }
        }
    }
}

fn settled(admitted: Admitted, outcome: Outcome) -> Settled<Ticket> {
    let Admitted {
        effect,
        place,
        ticket,
    } = admitted;
    Settled {
        origin: ticket,
        id: effect.id,
        outcome,
        lane: effect.lane,
        route: effect.route,
        place,
        operation: effect.operation,
        attempts: 1,
        parks: false,
        is_doubtful: false,
    }
}
