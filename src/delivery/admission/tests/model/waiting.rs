//! What failed and has to come again, and what waits for that: the table in
//! [`waiting`](super::super::super::waiting), read line by line.

use super::*;

/// Something that comes over a connection, or came.
#[derive(Debug, Clone)]
pub(super) struct Come {
    pub from: Producer,
    pub lane: LaneKey,
    pub channel: String,
    pub id: EffectId,
    pub key: Uuid,
    pub number: Option<i64>,
    pub is_ordered: bool,
}

/// What it meets.
pub(super) struct Met {
    /// Where it goes out, if it has a place from before.
    pub at: Option<u64>,
    /// Where it stood before.
    pub stood_at: Option<u64>,
    pub refusal: Option<(String, BootTime)>,
}

/// A number that has to come again.
#[derive(Debug)]
struct Missing {
    number: i64,
    place: u64,
    key: Uuid,
    /// By which it failed last.
    id: EffectId,
    is_fenced: bool,
}

/// The numbers of one channel of a lane that have to come again over a connection.
#[derive(Debug)]
struct Gate {
    from: Producer,
    lane: LaneKey,
    channel: String,
    until: BootTime,
    missing: Vec<Missing>,
    floor: u64,
}

/// What has to come again of a lane, in this order.
#[derive(Debug)]
struct Fence {
    from: Producer,
    lane: LaneKey,
    until: BootTime,
    /// By place, and by which came first of those that have the same.
    failed: Vec<(u64, u64, EffectId)>,
    /// Those that came again, as long as others of their place have not.
    passed: Vec<(u64, u64, EffectId)>,
    count: u64,
    floor: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    gates: Vec<Gate>,
    fences: Vec<Fence>,
}

impl Waiting {
    fn gate(&mut self, it: &Come, now: BootTime) -> Option<&mut Gate> {
        self.gates.retain(|gate| now < gate.until);
        let mut gates = self.gates.iter_mut();
        gates.find(|g| g.from == it.from && g.lane == it.lane && g.channel == it.channel)
    }

    fn fence(&mut self, it: &Come) -> Option<&mut Fence> {
        let mut fences = self.fences.iter_mut();
        fences.find(|fence| fence.from == it.from && fence.lane == it.lane)
    }

    fn drop_empty(&mut self) {
        self.gates.retain(|gate| !gate.missing.is_empty());
        self.fences.retain(|fence| !fence.failed.is_empty());
    }

    pub(super) fn meet(&mut self, it: &Come, failed_at: Option<u64>, now: BootTime) -> Met {
        let (mut refusal, mut stood_at, mut floor) = (None, None, 0);
        if let Some(gate) = self.gate(it, now) {
            floor = gate.floor;
            let missing = &gate.missing;
            let same = missing.iter().find(|m| Some(m.number) == it.number);
            stood_at = same.filter(|m| m.key == it.key).map(|m| m.place);
            let in_the_way = missing.iter().filter(|m| !(m.is_fenced && it.is_ordered));
            let first = in_the_way.map(|m| m.number).min();
            let first = first.filter(|first| it.number.is_some_and(|number| *first < number));
            refusal = first.map(|first| (format!("gap: expected {first}"), gate.until));
        }
        if refusal.is_some() && self.unties(it, now) {
            refusal = None;
        }
        let mut fenced_at = None;
        if it.is_ordered
            && let Some(fence) = self.fence(it)
        {
            floor = floor.max(fence.floor);
            let (place, _, first) = *fence.failed.iter().min().expect("it is not empty");
            fenced_at = (first == it.id).then_some(place);
            if fence.until <= now {
                fence.failed.clear();
            } else if first != it.id && refusal.is_none() {
                refusal = Some((format!("gap: resend {first}"), fence.until));
            }
            self.drop_empty();
        }
        let stood_at = failed_at.or(fenced_at).or(stood_at);
        let at = stood_at.filter(|place| floor <= *place);
        Met {
            at,
            stood_at: if it.is_ordered { stood_at } else { at },
            refusal,
        }
    }

    /// Whether all that stands here would wait for each other: the first of the fence
    /// at the gate, for a lower number without the flag; that one for a lower one that
    /// stands in the fence, and so for the first. Then of the first two the one that
    /// came first passes.
    fn unties(&mut self, it: &Come, now: BootTime) -> bool {
        let fence = self.fence(it).filter(|fence| now < fence.until);
        let head = fence.and_then(|fence| fence.failed.iter().min().copied());
        let Some((head_place, _, head)) = head else {
            return false;
        };
        let Some(gate) = self.gate(it, now) else {
            return false;
        };
        let (fenced, free): (Vec<_>, Vec<_>) = gate.missing.iter().partition(|m| m.is_fenced);
        let Some(lowest) = free.iter().min_by_key(|m| m.number) else {
            return false;
        };
        if fenced.iter().all(|m| lowest.number <= m.number) {
            return false;
        }
        if it.id == head {
            let waits = it.is_ordered && it.number.is_some_and(|n| lowest.number < n);
            return waits && head_place <= lowest.place;
        }
        let is_lowest = it.number == Some(lowest.number) && it.key == lowest.key;
        let mut above = fenced.iter().filter(|m| lowest.number <= m.number);
        is_lowest && lowest.place < head_place && above.any(|m| m.id == head)
    }

    /// It comes, and is waited for by its number no more.
    pub(super) fn pass_gate(&mut self, it: &Come, at: Option<u64>, now: BootTime) {
        let Some(gate) = self.gate(it, now) else {
            return;
        };
        let mut missing = gate.missing.iter();
        let Some(found) = missing.position(|m| Some(m.number) == it.number) else {
            return;
        };
        let place = gate.missing.remove(found).place;
        gate.floor = gate.floor.max(at.filter(|at| place < *at).unwrap_or(0));
        self.drop_empty();
    }

    /// The same, by its id. Returns where it stood.
    pub(super) fn pass_fence(&mut self, it: &Come, at: Option<u64>) -> Option<u64> {
        let fence = self.fence(it)?;
        let found = fence.failed.iter().position(|(.., id)| *id == it.id)?;
        let spot = fence.failed.remove(found);
        let place = spot.0;
        fence.floor = fence.floor.max(at.filter(|at| place < *at).unwrap_or(0));
        if fence.failed.iter().any(|(other, ..)| *other == place) {
            fence.passed.push(spot);
        } else {
            fence.passed.retain(|(other, ..)| *other != place);
        }
        self.drop_empty();
        Some(place)
    }

    /// Where it stands in its fence.
    pub(super) fn stands_at(&mut self, it: &Come) -> Option<u64> {
        let mut failed = self.fence(it)?.failed.iter();
        failed
            .find(|(.., id)| *id == it.id)
            .map(|(place, ..)| *place)
    }

    /// It is settled, wherever it stands.
    pub(super) fn settle(&mut self, from: Producer, id: EffectId) {
        let stands = |fence: &&Fence| {
            fence.from == from && fence.failed.iter().any(|(.., other)| *other == id)
        };
        let Some(lane) = self.fences.iter().find(stands).map(|f| f.lane.clone()) else {
            return;
        };
        let it = Come {
            from,
            lane,
            id,
            channel: String::new(),
            key: id.as_uuid(),
            number: None,
            is_ordered: true,
        };
        self.pass_fence(&it, None);
    }

    /// It failed, or was refused, and has to come again.
    pub(super) fn hold_up(&mut self, it: &Come, place: u64, until: BootTime, now: BootTime) {
        if it.is_ordered {
            self.raise_fence(it, place, until, now);
        }
        let Some(number) = it.number else { return };
        if self.gate(it, now).is_none() {
            self.gates.push(Gate {
                from: it.from,
                lane: it.lane.clone(),
                channel: it.channel.clone(),
                until,
                missing: Vec::new(),
                floor: 0,
            });
        }
        let gate = self.gate(it, now).expect("it is there");
        gate.until = gate.until.max(until);
        match gate.missing.iter_mut().find(|m| m.number == number) {
            Some(missing) => (missing.is_fenced, missing.id) = (it.is_ordered, it.id),
            None => gate.missing.push(Missing {
                number,
                place,
                key: it.key,
                id: it.id,
                is_fenced: it.is_ordered,
            }),
        }
    }

    fn raise_fence(&mut self, it: &Come, place: u64, until: BootTime, now: BootTime) {
        if let Some(fence) = self.fence(it)
            && fence.until <= now
        {
            fence.failed.clear();
            self.drop_empty();
        }
        if self.fence(it).is_none() {
            self.fences.push(Fence {
                from: it.from,
                lane: it.lane.clone(),
                until,
                failed: Vec::new(),
                passed: Vec::new(),
                count: 0,
                floor: 0,
            });
        }
        let fence = self.fence(it).expect("it is there");
        fence.until = fence.until.max(until);
        if fence.failed.iter().any(|(.., id)| *id == it.id) {
            return;
        }
        let before = fence.passed.iter().position(|(.., id)| *id == it.id);
        let before = before.map(|at| fence.passed.remove(at));
        let before = before.filter(|(other, ..)| *other == place);
        fence
            .failed
            .push(before.unwrap_or((place, fence.count, it.id)));
        fence.count += 1;
    }

    /// A connection is closed.
    pub(super) fn close(&mut self, closed: Producer) {
        self.gates.retain(|gate| gate.from != closed);
        self.fences.retain(|fence| fence.from != closed);
    }
}
