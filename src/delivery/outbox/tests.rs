mod parked;

use std::collections::BTreeMap;
use std::collections::VecDeque;

use proptest::prelude::*;

use super::listing::Backlog;
use super::*;

#[derive(Debug, Clone, PartialEq, Eq)]
struct Body(usize);

impl Weight for Body {
    fn bytes(&self) -> usize {
        self.0
    }
}

fn id(n: u32) -> EffectId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_le_bytes());
    EffectId::from_bytes(bytes)
}

fn home(lane: u8, n: u32) -> Home {
    Home {
        route: 0,
        lane: LaneKey::new(lane.to_string()),
        known_by: id(n).as_uuid(),
        fingerprint: 7,
        arrived_ms: 1,
    }
}

/// Effect `n`, which is known by the id of effect `key`.
fn effect(n: u32, key: u32, fingerprint: u64) -> Done {
    Done {
        id: id(n),
        known_by: id(key).as_uuid(),
        fingerprint,
    }
}

fn record(outbox: &mut Outbox<Body>, lane: u8, n: u32, bytes: usize) {
    outbox.handle_offered(id(n), home(lane, n));
    outbox.handle_recorded(id(n), Body(bytes));
}

fn loads(outbox: &mut Outbox<Body>, slack: bool) -> Vec<EffectId> {
    let loads = std::iter::from_fn(|| outbox.poll_load(0, slack));
    loads.map(|load| load.id).collect()
}

#[test]
fn a_lane_is_loaded_in_order_and_only_so_far() {
    let mut outbox = Outbox::<Body>::new();
    (0..100).for_each(|n| record(&mut outbox, 1, n, 1));
    assert_eq!(
        loads(&mut outbox, true),
        (0..64).map(id).collect::<Vec<_>>()
    );
    outbox.handle_published(id(0));
    assert_eq!(loads(&mut outbox, true), [id(64)]);
}

#[test]
fn what_a_long_outage_took_of_memory_goes_with_what_it_kept() {
    let mut outbox = Outbox::<Body>::new();
    let count = 50_000;
    (0..count).for_each(|n| record(&mut outbox, 1, n, 1));
    assert!(count as usize <= outbox.room());
    for n in 0..count - 100 {
        assert_eq!(outbox.poll_load(0, true).map(|load| load.id), Some(id(n)));
        outbox.handle_published(id(n));
    }
    assert!(outbox.room() < count as usize / 4, "{}", outbox.room());
    assert_eq!(loads(&mut outbox, true).len(), 64, "the rest is there");
}

#[test]
fn every_lane_gets_one_however_much_the_others_hold() {
    let mut outbox = Outbox::<Body>::new();
    (0..10).for_each(|n| record(&mut outbox, 1, n, 1));
    assert_eq!(loads(&mut outbox, false), [id(0)]);
    record(&mut outbox, 2, 20, 1);
    assert_eq!(loads(&mut outbox, false), [id(20)]);
    assert_eq!(outbox.poll_load(0, true).map(|load| load.id), Some(id(1)));
}

#[test]
fn a_million_waiting_effects_are_no_million_bodies() {
    let mut outbox = Outbox::<Body>::new();
    (0..100).for_each(|n| record(&mut outbox, 1, n, 1024 * 1024));
    assert_eq!(outbox.lines.body_bytes(), 16 * 1024 * 1024);
    let loads = std::iter::from_fn(|| outbox.poll_load(0, true));
    assert_eq!(loads.filter(|load| load.body.is_some()).count(), 16);
    assert_eq!(outbox.lines.body_bytes(), 0);
}

#[test]
fn nothing_leaves_before_it_is_on_disk_and_what_never_gets_there_is_forgotten() {
    let mut outbox = Outbox::<Body>::new();
    outbox.handle_offered(id(1), home(1, 1));
    assert_eq!(outbox.look_up(&effect(1, 1, 7)), Known::Writing);
    assert_eq!(outbox.poll_load(0, true), None);
    outbox.handle_unrecorded(id(1));
    assert_eq!(outbox.look_up(&effect(1, 1, 7)), Known::No);
    assert_eq!(outbox.backlog(), Backlog::default());
}

#[test]
fn a_lane_is_being_written_until_its_last_effect_is_recorded_or_is_not() {
    let mut outbox = Outbox::<Body>::new();
    let lane = LaneKey::new("1");
    (1..=2).for_each(|n| outbox.handle_offered(id(n), home(1, n)));
    outbox.handle_recorded(id(1), Body(1));
    outbox.handle_published(id(1));
    assert!(outbox.is_writing(0, &lane), "the second still is");
    assert!(!outbox.is_writing(0, &LaneKey::new("2")));
    outbox.handle_unrecorded(id(2));
    assert!(!outbox.is_writing(0, &lane));
    record(&mut outbox, 1, 3, 1);
    assert!(!outbox.is_writing(0, &lane));
    assert!(outbox.holds(0, &lane));
}

#[test]
fn an_id_is_recognised_for_as_long_as_it_is_kept() {
    let mut outbox = Outbox::<Body>::new();
    record(&mut outbox, 1, 1, 1);
    assert_eq!(outbox.look_up(&effect(1, 1, 7)), Known::Kept);
    assert_eq!(outbox.look_up(&effect(1, 1, 8)), Known::Conflict);
    assert_eq!(loads(&mut outbox, true), [id(1)]);
    outbox.handle_published(id(1));
    assert_eq!(outbox.look_up(&effect(1, 1, 7)), Known::No);
}

#[test]
fn what_is_kept_is_recognised_under_another_id_until_it_is_published() {
    let mut outbox = Outbox::<Body>::new();
    outbox.handle_restored(id(1), home(1, 100), false);
    outbox.handle_restored(id(2), home(1, 200), true);
    record(&mut outbox, 1, 3, 1);
    for (n, key, bytes, expected) in [
        (11, 100, 8, Known::Kept),
        (12, 200, 7, Known::Kept),
        (12, 200, 8, Known::No),
        (13, 3, 8, Known::No),
    ] {
        let known = outbox.look_up(&effect(n, key, bytes));
        assert_eq!(known, expected, "{n}; only a dead letter's bytes tell");
    }
    assert_eq!(outbox.handle_published(id(1)), Some(effect(1, 100, 7)));
    assert_eq!(outbox.look_up(&effect(11, 100, 7)), Known::No);
    assert_eq!(outbox.handle_wish(id(2), Wish::Drop), Ok(()));
    assert_eq!(outbox.handle_granted(id(2)), Some(effect(2, 2, 7)));
    assert_eq!(outbox.look_up(&effect(12, 200, 7)), Known::No);
    assert!(outbox.known_by.is_empty());
}

#[test]
fn a_dead_letter_waits_and_comes_back_to_its_place() {
    let mut outbox = Outbox::<Body>::new();
    (0..100).for_each(|n| record(&mut outbox, 1, n, 1));
    assert_eq!(loads(&mut outbox, true).len(), 64);
    assert!(outbox.handle_dead(id(0)));
    assert!(outbox.handle_dead(id(1)));
    assert_eq!(outbox.backlog().dead, 2);
    assert_eq!(loads(&mut outbox, true), [id(64), id(65)]);
    for n in [1, 0] {
        assert_eq!(outbox.handle_wish(id(n), Wish::Requeue), Ok(()));
        outbox.handle_granted(id(n));
    }
    let again = outbox.handle_wish(id(0), Wish::Requeue);
    assert_eq!(again, Err(Unable::NotDead));
    for n in 2..5 {
        outbox.handle_published(id(n));
    }
    assert_eq!(loads(&mut outbox, true), [id(0), id(1), id(66)]);
}

#[test]
fn what_could_not_be_loaded_waits_at_its_place_and_holds_up_its_lane_only() {
    let mut outbox = Outbox::<Body>::new();
    (0..3).for_each(|n| record(&mut outbox, 1, n, 1));
    let load = outbox.poll_load(0, true).expect("the first");
    assert!(!outbox.is_paused(load.id));
    outbox.handle_unloaded(load.id, load.body);
    assert!(outbox.is_paused(id(0)) && outbox.is_paused(id(2)));
    record(&mut outbox, 2, 20, 1);
    assert_eq!(loads(&mut outbox, true), [id(20)]);
    record(&mut outbox, 1, 3, 1);
    assert_eq!(loads(&mut outbox, true), []);
    outbox.handle_pause_over();
    assert_eq!(loads(&mut outbox, true), [0, 1, 2, 3].map(id));
}

#[test]
fn what_is_dropped_is_gone_once_that_is_granted_unless_it_is_with_the_lanes() {
    let mut outbox = Outbox::<Body>::new();
    (0..66).for_each(|n| record(&mut outbox, 1, n, 1));
    assert_eq!(loads(&mut outbox, true).len(), 64);
    assert_eq!(outbox.handle_wish(id(65), Wish::Drop), Ok(()));
    assert_eq!(outbox.look_up(&effect(65, 65, 7)), Known::Kept);
    outbox.handle_granted(id(65));
    let again = outbox.handle_wish(id(65), Wish::Drop);
    assert_eq!(again, Err(Unable::Unknown));
    let loaded = Unable::Loaded(0, LaneKey::new("1"));
    assert_eq!(outbox.handle_wish(id(1), Wish::Drop), Err(loaded));
    outbox.handle_dead(id(1));
    assert_eq!(outbox.handle_wish(id(1), Wish::Drop), Ok(()));
    outbox.handle_granted(id(1));
    assert_eq!(outbox.look_up(&effect(1, 1, 7)), Known::No);
}

#[test]
fn a_wish_that_is_denied_leaves_everything_as_it_was() {
    let mut outbox = Outbox::<Body>::new();
    (0..3).for_each(|n| record(&mut outbox, 1, n, 1));
    outbox.handle_dead(id(0));
    for wish in [Wish::Requeue, Wish::Drop] {
        assert_eq!(outbox.handle_wish(id(0), wish), Ok(()));
        let second = outbox.handle_wish(id(0), Wish::Requeue);
        assert_eq!(second, Err(Unable::Undecided));
        assert!(outbox.kept(id(0)).is_some_and(|kept| kept.is_dead));
        outbox.handle_denied(id(0));
    }
    assert_eq!(outbox.dead().collect::<Vec<_>>(), [id(0)]);
    assert_eq!(loads(&mut outbox, true), [id(1), id(2)]);
}

#[test]
fn while_a_drop_is_not_decided_nothing_of_its_lane_is_loaded_and_order_is_kept() {
    let mut outbox = Outbox::<Body>::new();
    (0..4).for_each(|n| record(&mut outbox, 1, n, 1));
    record(&mut outbox, 2, 20, 1);
    assert_eq!(loads(&mut outbox, true).len(), 5);
    (1..4).for_each(|n| outbox.handle_returned(id(n), None));
    for n in [1, 2] {
        assert_eq!(outbox.handle_wish(id(n), Wish::Drop), Ok(()));
    }
    outbox.handle_published(id(0));
    outbox.handle_pause_over();
    assert_eq!(loads(&mut outbox, true), []);
    outbox.handle_granted(id(2));
    assert_eq!(loads(&mut outbox, true), []);
    outbox.handle_denied(id(1));
    assert_eq!(loads(&mut outbox, true), [id(1), id(3)]);
}

#[test]
fn a_lane_with_nothing_but_dead_letters_is_not_counted() {
    let mut outbox = Outbox::<Body>::new();
    (0..4).for_each(|n| record(&mut outbox, n, n.into(), 1));
    assert_eq!(outbox.backlog().lanes, 4);
    assert_eq!(loads(&mut outbox, true).len(), 4);
    (0..2).for_each(|n| assert!(outbox.handle_dead(id(n))));
    outbox.handle_published(id(2));
    assert_eq!(outbox.backlog().lanes, 1);
    outbox.handle_restored(id(9), home(9, 9), true);
    outbox.handle_offered(id(10), home(10, 10));
    assert_eq!(outbox.backlog().lanes, 2);
    outbox.handle_unrecorded(id(10));
    assert_eq!(outbox.backlog().lanes, 1);
}

#[test]
fn an_outbox_that_is_empty_holds_nothing() {
    let mut outbox = Outbox::<Body>::new();
    record(&mut outbox, 1, 1, 5);
    assert!(outbox.holds(0, &LaneKey::new("1")));
    assert_eq!(loads(&mut outbox, true), [id(1)]);
    assert!(
        outbox.holds(0, &LaneKey::new("1")),
        "while it is on its way"
    );
    outbox.handle_published(id(1));
    assert!(!outbox.holds(0, &LaneKey::new("1")));
    assert_eq!(outbox.backlog(), Backlog::default());
    assert_eq!(outbox.lines.body_bytes(), 0);
}

proptest! {
    /// Beside a model that is a list a lane.
    #[test]
    fn every_story_keeps_order_window_and_sums(
        steps in prop::collection::vec((0u8..7, 0u8..4, any::<bool>()), 0..300),
    ) {
            let mut outbox = Outbox::<Body>::new();
        let mut waiting: BTreeMap<u8, VecDeque<u32>> = BTreeMap::new();
        let mut loaded: BTreeMap<u8, Vec<u32>> = BTreeMap::new();
        let mut dead = Vec::new();
        let mut parked: BTreeMap<u32, u8> = BTreeMap::new();
        let mut next = 0;
        for (step, at, slack) in steps {
            match step {
                0 => for _ in 0..40 {
                    record(&mut outbox, at, next, 1);
                    waiting.entry(at).or_default().push_back(next);
                    next += 1;
                },
                1 => if let Some(n) = loaded.entry(at).or_default().pop() {
                    outbox.handle_published(id(n));
                },
                2 => if let Some(n) = loaded.entry(at).or_default().pop() {
                    outbox.handle_dead(id(n));
                    // It may park its lane: what is loaded comes back, nothing is.
                    if slack && n % 3 == 0 {
                        prop_assert_eq!(outbox.handle_parked(id(n)), !parked.values().any(|p| *p == at));
                        parked.insert(n, at);
                        for n in loaded.remove(&at).unwrap_or_default() {
                            outbox.handle_returned(id(n), None);
                            let lane = waiting.entry(at).or_default();
                            lane.insert(lane.partition_point(|m| *m < n), n);
                        }
                    }
                    dead.push((n, at));
                },
                5 => if let Some((n, at)) = parked.pop_first() {
                    prop_assert_eq!(outbox.handle_wish(id(n), Wish::Resume), Ok(()));
                    outbox.handle_granted(id(n));
                    prop_assert_eq!(outbox.is_parked(id(n)), parked.values().any(|p| *p == at));
                },
                3 => if let Some((n, at)) = dead.pop() {
                    prop_assert_eq!(outbox.handle_wish(id(n), Wish::Requeue), Ok(()));
                    outbox.handle_granted(id(n));
                    parked.remove(&n);
                    let lane = waiting.entry(at).or_default();
                    lane.insert(lane.partition_point(|m| *m < n), n);
                },
                _ => {
                    let may = |l: &u8| {
                        if parked.values().any(|parked| parked == l) {
                            return false;
                        }
                        let loaded = loaded.get(l).map_or(0, Vec::len);
                        if slack { loaded < LANE_LOADED_MAX } else { loaded == 0 }
                    };
                    let some = waiting.iter().any(|(l, w)| !w.is_empty() && may(l));
                    let load = outbox.poll_load(0, slack);
                    prop_assert_eq!(load.is_some(), some);
                    if let Some(load) = load {
                        let lane = outbox.kept(load.id).expect("kept").lane;
                        let at: u8 = lane.as_str().parse().unwrap();
                        let first = waiting.entry(at).or_default().pop_front();
                        prop_assert_eq!(Some(load.id), first.map(id));
                        loaded.entry(at).or_default().extend(first);
                    }
                }
            }
            let waiting_len: usize = waiting.values().map(VecDeque::len).sum();
            let loaded_len: usize = loaded.values().map(Vec::len).sum();
            prop_assert_eq!(outbox.backlog().open, waiting_len + loaded_len);
            prop_assert_eq!(outbox.backlog().dead, dead.len());
            let lanes: std::collections::BTreeSet<_> = parked.values().collect();
            prop_assert_eq!(outbox.backlog().parked, lanes.len());
            prop_assert_eq!(outbox.parked().count(), lanes.len());
            prop_assert!(outbox.lines.body_bytes() <= waiting_len);
        }
    }
}
