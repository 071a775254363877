//! Lanes that had no room for something: the picture in
//! [`shut`](super::super::super::shut), arrow by arrow.

use super::*;

/// How long what was on its way is turned away.
const PATIENCE: Duration = Duration::from_secs(2);

/// Something that was turned away.
#[derive(Debug, Clone, Copy)]
struct First {
    id: EffectId,
    key: Uuid,
    place: u64,
}

impl First {
    fn is(&self, id: EffectId, key: Uuid) -> bool {
        self.id == id || self.key == key
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Full,
    Empty { has_failed: bool, until: BootTime },
    Again { until: BootTime },
}

/// A lane that had no room, as one connection finds it.
#[derive(Debug)]
struct Door {
    from: Producer,
    lane: LaneKey,
    first: First,
    state: State,
}

impl Door {
    fn is_again(&self) -> bool {
        matches!(self.state, State::Again { .. })
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Shut(Vec<Door>);

impl Shut {
    fn find(&mut self, from: Producer, lane: &LaneKey, now: BootTime) -> Option<&mut Door> {
        self.0.retain(|lane| match lane.state {
            State::Full => true,
            State::Empty { until, .. } | State::Again { until } => now < until,
        });
        let mut lanes = self.0.iter_mut();
        lanes.find(|other| other.from == from && other.lane == *lane)
    }

    /// It failed, for now.
    pub(super) fn fails(&mut self, it: &Come, place: u64, class: Class, now: BootTime) {
        let failed = First {
            id: it.id,
            key: it.key,
            place,
        };
        let found = self.find(it.from, &it.lane, now);
        match (found, class) {
            (Some(found), Class::LaneFull) => {
                if found.is_again() || place < found.first.place {
                    found.first = failed;
                }
                found.state = State::Full;
            }
            (None, Class::LaneFull) => self.0.push(Door {
                from: it.from,
                lane: it.lane.clone(),
                first: failed,
                state: State::Full,
            }),
            (Some(found), _) if found.is_again() && found.first.is(it.id, it.key) => {
                let until = now.after(PATIENCE);
                let has_failed = true;
                found.state = State::Empty { has_failed, until };
            }
            (Some(found), _)
                if !found.is_again() && class.is_untried() && place < found.first.place =>
            {
                found.first = failed;
            }
            _ => {}
        }
    }

    /// It holds nothing any more.
    pub(super) fn emptied(&mut self, lane: &LaneKey, now: BootTime) {
        let full = self.0.iter_mut().filter(|other| other.lane == *lane);
        for found in full.filter(|lane| lane.state == State::Full) {
            let until = now.after(PATIENCE);
            let has_failed = false;
            found.state = State::Empty { has_failed, until };
        }
    }

    /// Why something is turned away that comes, and may have a place from before.
    pub(super) fn meet(&mut self, it: &Come, place: Option<u64>, now: BootTime) -> Option<String> {
        let found = self.find(it.from, &it.lane, now)?;
        let State::Empty { has_failed, .. } = found.state else {
            return None;
        };
        let First {
            id: first,
            place: stood_at,
            ..
        } = found.first;
        if found.first.is(it.id, it.key) {
            self.pass(it, now);
            return None;
        }
        let how = if has_failed {
            format!("throttled: not sent, because {first} before it failed")
        } else {
            format!("lane_full: not sent, because {first} before it was turned away")
        };
        let goes_before = place.is_some_and(|place| place < stood_at);
        (!goes_before).then(|| format!("{how} and has not come again"))
    }

    /// It comes again, and goes its way.
    pub(super) fn pass(&mut self, it: &Come, now: BootTime) {
        if let Some(found) = self.find(it.from, &it.lane, now)
            && !found.is_again()
            && found.first.is(it.id, it.key)
        {
            let until = now.after(PATIENCE);
            found.state = State::Again { until };
        }
    }

    pub(super) fn close(&mut self, closed: Producer) {
        self.0.retain(|lane| lane.from != closed);
    }
}
