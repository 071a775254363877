//! The lanes of the outbox, and which of them may have more loaded.

use std::collections::{HashMap, VecDeque};

use super::LANE_LOADED_MAX;
use crate::protocol::id::{EffectId, LaneKey};

/// Tables and lines with room for so many are not worth making smaller.
const ROOM_MIN: usize = 1024;

/// Bodies of waiting effects that are kept in memory, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Something whose memory counts.
pub(crate) trait Weight {
    /// The memory it holds, in bytes.
    fn bytes(&self) -> usize;
}

/// Where a lane is kept.
pub(super) type Slot = u32;

/// Every lane with a record, and the lines they stand in.
#[derive(Debug)]
pub(super) struct Lines<B> {
    /// Boxed: what a burst of lanes leaves empty costs nearly nothing.
    slots: Vec<Option<Box<Queue<B>>>>,
    free: Vec<Slot>,
    by_key: HashMap<(usize, LaneKey), Slot>,
    /// By route.
    routes: Vec<Turns>,
    body_bytes: usize,
    /// Lanes with something to be published.
    open: usize,
    /// Lanes that were paused, some of which may be gone.
    paused: Vec<Slot>,
    /// Lanes that are parked.
    parked: usize,
}

/// Lanes of one route that may have more loaded. Either line may name a lane
/// that has left it.
#[derive(Debug, Default)]
struct Turns {
    /// With nothing loaded.
    empty: VecDeque<Slot>,
    /// With something loaded.
    hungry: VecDeque<Slot>,
}

#[derive(Debug)]
struct Queue<B> {
    route: usize,
    key: LaneKey,
    /// In the order of arrival.
    waiting: VecDeque<Waiting<B>>,
    loaded: usize,
    /// On their way to the disk.
    writing: usize,
    /// Records of this lane, whatever their state.
    records: usize,
    /// Whether it is counted among the open ones.
    is_open: bool,
    line: Line,
    is_paused: bool,
    /// Changes of waiting records that are not decided yet.
    held: usize,
    /// The dead letters it waits for; mostly none, and then one.
    parked: Vec<EffectId>,
}

#[derive(Debug)]
struct Waiting<B> {
    /// Which one: no two have the same.
    order: u64,
    body: Option<Box<B>>,
}

/// Which line a lane stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    None,
    Empty,
    Hungry,
}

impl<B> Queue<B> {
    /// Where it should stand.
    fn wants(&self) -> Line {
        match self.loaded {
            _ if self.is_paused || self.held > 0 || !self.parked.is_empty() => Line::None,
            _ if self.waiting.is_empty() => Line::None,
            0 => Line::Empty,
            1..LANE_LOADED_MAX => Line::Hungry,
            _ => Line::None,
        }
    }
}

impl<B: Weight> Lines<B> {
    pub(super) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            by_key: HashMap::new(),
            routes: Vec::new(),
            body_bytes: 0,
            open: 0,
            paused: Vec::new(),
            parked: 0,
        }
    }

    /// Lanes that are parked.
    pub(super) fn parked_len(&self) -> usize {
        self.parked
    }

    /// Nothing of this lane is loaded while it waits for the dead letter `by`.
    pub(super) fn park(&mut self, slot: Slot, by: EffectId) {
        let queue = self.queue_mut(slot);
        queue.parked.push(by);
        let is_first = queue.parked.len() == 1;
        self.parked += usize::from(is_first);
        self.line_up(slot);
    }

    /// It does so no more.
    pub(super) fn unpark(&mut self, slot: Slot, by: EffectId) {
        let queue = self.queue_mut(slot);
        queue.parked.retain(|parked| *parked != by);
        let is_last = queue.parked.is_empty();
        self.parked -= usize::from(is_last);
        self.line_up(slot);
    }

    /// The dead letters a lane waits for.
    pub(super) fn parked_by(&self, route: usize, lane: &LaneKey) -> &[EffectId] {
        if self.parked == 0 {
            return &[];
        }
        let slot = self.by_key.get(&(route, lane.clone()));
        slot.map_or(&[], |&slot| &self.queue(slot).parked)
    }

    /// How many effects of a lane wait.
    pub(super) fn waiting(&self, slot: Slot) -> usize {
        self.queue(slot).waiting.len()
    }

    /// How many effects of a lane are not published, and no dead letters.
    pub(super) fn unpublished(&self, route: usize, lane: &LaneKey) -> usize {
        let slot = self.by_key.get(&(route, lane.clone()));
        slot.map_or(0, |&slot| {
            let queue = self.queue(slot);
            queue.loaded + queue.waiting.len()
        })
    }

    /// The place of the first effect of a lane that waits.
    pub(super) fn first_waiting(&self, slot: Slot) -> Option<u64> {
        let first = self.queue(slot).waiting.front();
        first.map(|waiting| waiting.order)
    }

    /// Lanes with something to be published; dead letters are not.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    pub(super) fn holds(&self, route: usize, lane: &LaneKey) -> bool {
        let slot = self.by_key.get(&(route, lane.clone()));
        slot.is_some_and(|&slot| {
            let queue = self.slots[slot as usize].as_ref();
            queue.is_some_and(|queue| queue.loaded > 0 || !queue.waiting.is_empty())
        })
    }

    pub(super) fn is_written(&self, route: usize, lane: &LaneKey) -> bool {
        let slot = self.by_key.get(&(route, lane.clone()));
        slot.is_some_and(|&slot| self.queue(slot).writing > 0)
    }

    /// One more of this lane is on its way to the disk.
    pub(super) fn begin_write(&mut self, slot: Slot) {
        self.queue_mut(slot).writing += 1;
        self.count(slot);
    }

    /// One is so no more.
    pub(super) fn end_write(&mut self, slot: Slot) {
        self.queue_mut(slot).writing -= 1;
        self.count(slot);
    }

    pub(super) fn place(&self, slot: Slot) -> (usize, &LaneKey) {
        let queue = self.queue(slot);
        (queue.route, &queue.key)
    }

    /// The slot of a lane for one more record.
    pub(super) fn slot_for(&mut self, route: usize, key: LaneKey) -> Slot {
        let by_key = (route, key);
        let slot = match self.by_key.get(&by_key) {
            Some(&slot) => slot,
            None => self.add_lane(by_key),
        };
        self.queue_mut(slot).records += 1;
        slot
    }

    fn add_lane(&mut self, by_key: (usize, LaneKey)) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).expect("records outnumber lanes and fit a disk")
        });
        let (route, key) = by_key.clone();
        if self.routes.len() <= route {
            self.routes.resize_with(route + 1, Turns::default);
        }
        self.slots[slot as usize] = Some(Box::new(Queue {
            route,
            key,
            // Of many lanes most hold one effect; the first step of growth is four.
            waiting: VecDeque::with_capacity(1),
            loaded: 0,
            writing: 0,
            records: 0,
            is_open: false,
            line: Line::None,
            is_paused: false,
            held: 0,
            parked: Vec::new(),
        }));
        self.by_key.insert(by_key, slot);
        slot
    }

    /// One record of this lane is no more.
    pub(super) fn release(&mut self, slot: Slot) {
        let queue = self.queue_mut(slot);
        queue.records -= 1;
        if queue.records > 0 {
            return;
        }
        let by_key = (queue.route, queue.key.clone());
        self.by_key.remove(&by_key);
        let room = self.by_key.capacity();
        if ROOM_MIN < room && self.by_key.len() < room / 4 {
            self.by_key.shrink_to(room / 2);
        }
        self.slots[slot as usize] = None;
        self.free.push(slot);
    }

    /// An effect waits, at the place its order gives it.
    pub(super) fn push(&mut self, slot: Slot, order: u64, body: Option<B>) {
        let room = BODY_BYTES_MAX.saturating_sub(self.body_bytes);
        let body = body.filter(|body| body.bytes() <= room).map(Box::new);
        self.body_bytes += body.as_ref().map_or(0, |body| body.bytes());
        let waiting = &mut self.queue_mut(slot).waiting;
        let at = match waiting.back() {
            Some(last) if order < last.order => waiting.partition_point(|w| w.order < order),
            _ => waiting.len(),
        };
        waiting.insert(at, Waiting { order, body });
        self.line_up(slot);
    }

    /// An effect waits no more.
    pub(super) fn remove(&mut self, slot: Slot, order: u64) {
        let waiting = &mut self.queue_mut(slot).waiting;
        let at = waiting.binary_search_by_key(&order, |waiting| waiting.order);
        if let Some(removed) = at.ok().and_then(|at| waiting.remove(at)) {
            self.body_bytes -= removed.body.map_or(0, |body| body.bytes());
        }
        self.line_up(slot);
    }

    /// One that was loaded is with the lanes no more.
    pub(super) fn unload(&mut self, slot: Slot) {
        self.queue_mut(slot).loaded -= 1;
        self.line_up(slot);
    }

    /// Nothing more of this lane is loaded for now.
    pub(super) fn pause(&mut self, slot: Slot) {
        if !std::mem::replace(&mut self.queue_mut(slot).is_paused, true) {
            self.paused.push(slot);
        }
        self.line_up(slot);
    }

    /// Nothing of this lane is loaded until [`Self::let_go`].
    pub(super) fn hold(&mut self, slot: Slot) {
        self.queue_mut(slot).held += 1;
        self.line_up(slot);
    }

    pub(super) fn let_go(&mut self, slot: Slot) {
        self.queue_mut(slot).held -= 1;
        self.line_up(slot);
    }

    pub(super) fn is_paused(&self, slot: Slot) -> bool {
        self.queue(slot).is_paused
    }

    /// All lanes that were paused stand in line again.
    pub(super) fn resume(&mut self) {
        for slot in std::mem::take(&mut self.paused) {
            if let Some(queue) = &mut self.slots[slot as usize] {
                queue.is_paused = false;
                self.line_up(slot);
            }
        }
    }

    /// The next to be loaded on this route: its place in the order of arrival.
    pub(super) fn poll(&mut self, route: usize, slack: bool) -> Option<(u64, Option<B>)> {
        let slot = self.next_in(route, Line::Empty);
        let slot = slot.or_else(|| slack.then(|| self.next_in(route, Line::Hungry))?)?;
        let queue = self.queue_mut(slot);
        let next = queue.waiting.pop_front()?;
        let room = queue.waiting.capacity();
        if ROOM_MIN < room && queue.waiting.len() < room / 4 {
            queue.waiting.shrink_to(room / 2);
        }
        queue.loaded += 1;
        self.body_bytes -= next.body.as_ref().map_or(0, |body| body.bytes());
        self.line_up(slot);
        Some((next.order, next.body.map(|body| *body)))
    }

    /// Takes the first lane out of a line.
    fn next_in(&mut self, route: usize, line: Line) -> Option<Slot> {
        let Self { routes, slots, .. } = self;
        let turns = routes.get_mut(route)?;
        let turns = match line {
            Line::Empty => &mut turns.empty,
            Line::Hungry => &mut turns.hungry,
            Line::None => return None,
        };
        loop {
            let slot = turns.pop_front()?;
            let queue = slots[slot as usize].as_mut();
            if let Some(queue) = queue.filter(|queue| queue.line == line && queue.route == route) {
                queue.line = Line::None;
                return Some(slot);
            }
        }
    }

    /// Puts a lane where it belongs.
    fn line_up(&mut self, slot: Slot) {
        self.count(slot);
        let queue = self.queue_mut(slot);
        let (wants, route) = (queue.wants(), queue.route);
        if std::mem::replace(&mut queue.line, wants) == wants {
            return;
        }
        match wants {
            Line::Empty => self.routes[route].empty.push_back(slot),
            Line::Hungry => self.routes[route].hungry.push_back(slot),
            Line::None => {}
        }
    }

    fn count(&mut self, slot: Slot) {
        let queue = self.queue_mut(slot);
        let is_open = queue.loaded + queue.writing > 0 || !queue.waiting.is_empty();
        let was_open = std::mem::replace(&mut queue.is_open, is_open);
        self.open += usize::from(is_open);
        self.open -= usize::from(was_open);
    }

    fn queue(&self, slot: Slot) -> &Queue<B> {
        let queue = self.slots[slot as usize].as_ref();
        queue.expect("a lane stays while a record names it")
    }

    fn queue_mut(&mut self, slot: Slot) -> &mut Queue<B> {
        let queue = self.slots[slot as usize].as_mut();
        queue.expect("a lane stays while a record names it")
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        let lanes = self.slots.iter().flatten();
        lanes.map(|queue| queue.waiting.capacity()).sum()
    }

    #[cfg(test)]
    pub(super) fn body_bytes(&self) -> usize {
        self.body_bytes
    }
}
