use super::slow::SLOW_MAX;
use super::*;

const ONE: Producer = Producer(1);
const OTHER: Producer = Producer(2);
const NO_BOUND: Amount = Amount {
    effects: usize::MAX,
    bytes: usize::MAX,
};

fn lane(name: &str) -> LaneKey {
    LaneKey::new(name)
}

fn amount(effects: usize) -> Amount {
    Amount {
        effects,
        bytes: 10 * effects,
    }
}

struct Story {
    owed: Owed,
    debts: Vec<(Debt, Producer)>,
    told: HashMap<Producer, Amount>,
}

impl Story {
    fn with_routes(routes: usize) -> Self {
        Self {
            owed: Owed::new(routes, NO_BOUND),
            debts: Vec::new(),
            told: HashMap::new(),
        }
    }

    fn take(&mut self, producer: Producer, route: usize, name: &str, effects: usize) {
        for _ in 0..effects {
            let debt = self.owed.take(producer, route, &lane(name), 10);
            self.debts.push((debt, producer));
        }
    }

    /// Answers everything.
    fn answer(&mut self) {
        for (debt, producer) in std::mem::take(&mut self.debts) {
            self.owed.give_back(debt, producer, 10);
        }
    }

    /// What this connection knows of what stands still.
    fn still(&mut self, producer: Producer) -> Amount {
        while let Some((producer, still)) = self.owed.poll_change() {
            self.told.insert(producer, still);
        }
        self.told.get(&producer).copied().unwrap_or_default()
    }

    fn is_full(&self, route: usize) -> bool {
        self.owed.is_full(ONE, route, || true)
    }
}

#[test]
fn a_connection_is_told_how_much_stands_still_and_what_goes_on_again() {
    let mut story = Story::with_routes(1);
    story.take(ONE, 0, "dead", 3);
    story.take(OTHER, 0, "dead", 1);
    story.take(ONE, 0, "well", 5);
    assert_eq!(story.still(ONE), amount(0));
    story.owed.handle_lane(0, &lane("dead"), true);
    story.take(ONE, 0, "dead", 2);
    assert_eq!(story.still(ONE), amount(5));
    assert_eq!(story.still(OTHER), amount(1));
    story.owed.handle_lane(0, &lane("dead"), false);
    assert_eq!(story.still(ONE), amount(0));
    assert_eq!(story.still(OTHER), amount(0));
}

#[test]
fn what_is_answered_is_owed_no_longer_whatever_became_of_its_lane() {
    for stands in [false, true] {
        let mut story = Story::with_routes(2);
        story.owed.handle_route(1, true);
        story.take(ONE, 0, "a", 2);
        story.take(ONE, 1, "a", 2);
        story.owed.handle_lane(0, &lane("a"), stands);
        story.owed.handle_lane(1, &lane("a"), stands);
        story.answer();
        assert_eq!(story.still(ONE), amount(0));
        assert!(story.owed.accounts.is_empty() && story.owed.still.is_empty());
        assert!(story.owed.routes.iter().all(|r| r.by_lane.is_empty()));
        assert!(story.owed.routes.iter().all(|r| r.still == amount(0)));
    }
}

#[test]
fn a_lane_begins_anew_once_nothing_of_it_is_owed() {
    let mut story = Story::with_routes(1);
    story.take(ONE, 0, "a", 1);
    story.owed.handle_lane(0, &lane("a"), true);
    story.answer();
    story.take(ONE, 0, "a", 1);
    assert_eq!(story.still(ONE), amount(0));
}

#[test]
fn all_lanes_of_a_quiet_route_stand_still_where_there_are_others() {
    let mut story = Story::with_routes(2);
    story.take(ONE, 0, "a", 1);
    story.take(ONE, 1, "a", 2);
    story.take(ONE, 1, "b", 4);
    story.owed.handle_lane(1, &lane("a"), true);
    assert_eq!(story.still(ONE), amount(2));
    story.owed.handle_route(1, true);
    assert_eq!(story.still(ONE), amount(6), "none twice");
    story.owed.handle_lane(1, &lane("a"), false);
    assert_eq!(story.still(ONE), amount(6));

    let mut story = Story::with_routes(1);
    story.take(ONE, 0, "a", 1);
    story.owed.handle_route(0, true);
    assert_eq!(story.still(ONE), amount(0), "nothing else could go on");
}

#[test]
fn beyond_the_bound_only_what_is_in_trouble_is_refused() {
    let mut story = Story::with_routes(1);
    story.take(ONE, 0, "dead", STILL_MAX.effects);
    story.owed.handle_lane(0, &lane("dead"), true);
    assert!(!story.is_full(0));
    story.take(ONE, 0, "dead", 1);
    assert!(story.is_full(0));
    assert!(!story.owed.is_full(ONE, 0, || false), "a lane that is well");
    assert!(!story.owed.is_full(OTHER, 0, || true), "another connection");
    story.owed.handle_route(0, true);
    assert!(!story.is_full(0), "it is everybody's trouble");
}

#[test]
fn the_bound_is_one_of_bytes_too_but_one_effect_always_has_room() {
    let mut owed = Owed::new(1, NO_BOUND);
    owed.take(ONE, 0, &lane("dead"), STILL_MAX.bytes + 1);
    owed.handle_lane(0, &lane("dead"), true);
    assert!(!owed.is_full(ONE, 0, || true));
    owed.take(ONE, 0, &lane("dead"), 1);
    assert!(owed.is_full(ONE, 0, || true));
}

#[test]
fn what_is_too_much_of_a_connection_counts_what_stands_still_of_all_its_lanes() {
    let mut story = Story::with_routes(1);
    story.take(OTHER, 0, "b", 1);
    for name in ["a", "b"] {
        story.take(ONE, 0, name, ALONE_MAX.effects / 2);
        story.owed.handle_lane(0, &lane(name), true);
    }
    assert_eq!(story.owed.surplus(ONE, 0), None);
    story.take(ONE, 0, "b", 3);
    story.take(ONE, 0, "well", 3);
    let effects = 3;
    assert_eq!(
        story.owed.surplus(ONE, 0),
        Some(Amount { effects, bytes: 0 })
    );
    assert_eq!(story.owed.surplus(OTHER, 0), None);
    assert_eq!(story.owed.producers(0, &lane("b")), [OTHER, ONE]);
    assert_eq!(story.owed.producers(0, &lane("none")), []);
    story.answer();
    assert_eq!(story.owed.surplus(ONE, 0), None);
}

#[test]
fn what_another_route_holds_up_takes_no_more_of_this_one_than_is_too_much_in_all() {
    let mut story = Story::with_routes(2);
    story.take(ONE, 1, "there", STILL_MAX.effects);
    story.owed.handle_route(1, true);
    let here = ALONE_MAX.effects - STILL_MAX.effects;
    story.take(ONE, 0, "here", here + 2);
    story.owed.handle_lane(0, &lane("here"), true);
    let (effects, bytes) = (2, 0);
    assert_eq!(story.owed.surplus(ONE, 0), Some(Amount { effects, bytes }));
    story.take(ONE, 1, "there", here);
    let effects = here + 2 - OF_ROUTE_MIN.effects;
    assert_eq!(story.owed.surplus(ONE, 0), Some(Amount { effects, bytes }));
}

#[test]
fn a_lane_has_its_room_whatever_another_route_holds_up() {
    let mut story = Story::with_routes(2);
    story.take(ONE, 1, "there", ALONE_MAX.effects + 1);
    story.owed.handle_route(1, true);
    story.take(ONE, 0, "here", OF_ROUTE_MIN.effects);
    story.owed.handle_lane(0, &lane("here"), true);
    assert_eq!(story.owed.surplus(ONE, 0), None);
}

#[test]
fn lanes_of_several_routes_hold_no_more_together_than_those_of_one() {
    let mut story = Story::with_routes(2);
    for route in 0..2 {
        for name in ["a", "b", "c", "d"] {
            story.take(ONE, route, name, 4096);
            story.owed.handle_lane(route, &lane(name), true);
        }
    }
    let effects = 8 * 4096 - ALONE_MAX.effects;
    for route in 0..2 {
        let surplus = story.owed.surplus(ONE, route);
        assert_eq!(surplus, Some(Amount { effects, bytes: 0 }));
    }
}

#[test]
fn half_of_a_route_may_stand_still_whoever_they_are_of() {
    let mut story = Story::with_routes(2);
    story.owed = Owed::new(2, amount(20));
    story.take(ONE, 1, "a", 5);
    story.take(OTHER, 1, "b", 5);
    story.owed.handle_route(1, true);
    assert!(!story.is_full(1));
    story.take(OTHER, 1, "c", 1);
    assert!(story.is_full(1));
    assert!(!story.is_full(0));
    story.owed.handle_route(0, true);
    assert!(!story.is_full(1), "no route goes on");
}

#[test]
fn what_stood_still_with_its_route_is_not_counted_until_it_is_answered() {
    let mut story = Story::with_routes(2);
    story.take(ONE, 1, "a", 6);
    story.owed.handle_route(1, true);
    story.owed.handle_route(1, false);
    assert_eq!(story.still(ONE), amount(6));
    story.take(ONE, 1, "a", 3);
    assert_eq!(story.still(ONE), amount(6), "what comes then counts");
    let newer = story.debts.split_off(2);
    story.answer();
    assert_eq!(story.still(ONE), amount(4));
    story.debts = newer;
    story.owed.handle_route(1, true);
    assert_eq!(story.still(ONE), amount(7), "none twice");
    story.owed.handle_route(1, false);
    story.owed.handle_lane(1, &lane("a"), true);
    story.owed.handle_lane(1, &lane("a"), false);
    assert_eq!(story.still(ONE), amount(0), "a lane that goes on counts");
    story.answer();
    assert_eq!(story.still(ONE), amount(0));
}

#[test]
fn what_comes_for_a_lane_that_is_slow_is_not_counted_until_it_is_answered() {
    let mut story = Story::with_routes(1);
    story.take(ONE, 0, "slow", 3);
    story.take(OTHER, 0, "slow", 1);
    story.take(ONE, 0, "well", 5);
    story.owed.handle_slow(0, &lane("slow"), true);
    assert_eq!(story.still(ONE), amount(3));
    assert_eq!(story.still(OTHER), amount(1));
    story.take(ONE, 0, "slow", 2);
    assert_eq!(story.still(ONE), amount(5));
    story.owed.handle_slow(0, &lane("slow"), false);
    story.take(ONE, 0, "slow", 1);
    assert_eq!(story.still(ONE), amount(5), "what comes then counts");
    story.answer();
    assert_eq!(story.still(ONE), amount(0));
    assert!(story.owed.accounts.is_empty() && story.owed.still.is_empty());
}

#[test]
fn a_slow_lane_that_stands_still_is_counted_once_and_goes_on_as_any_other() {
    let mut story = Story::with_routes(1);
    story.take(ONE, 0, "a", 3);
    story.owed.handle_slow(0, &lane("a"), true);
    story.owed.handle_lane(0, &lane("a"), true);
    story.take(ONE, 0, "a", 1);
    assert_eq!(story.still(ONE), amount(4), "none twice");
    story.owed.handle_lane(0, &lane("a"), false);
    story.owed.handle_slow(0, &lane("a"), false);
    assert_eq!(story.still(ONE), amount(0));
    story.answer();
    assert_eq!(story.still(ONE), amount(0));
}

#[test]
fn of_a_slow_lane_no_more_is_uncounted_than_a_bound_and_each_has_its_own() {
    let mut story = Story::with_routes(1);
    for name in ["a", "b"] {
        story.take(ONE, 0, name, 1);
        story.owed.handle_slow(0, &lane(name), true);
        story.take(ONE, 0, name, SLOW_MAX.effects + 100);
    }
    assert_eq!(story.still(ONE), amount(2 * SLOW_MAX.effects));
    story.take(OTHER, 0, "a", 7);
    assert_eq!(story.still(OTHER), amount(7), "so has each connection");
    story.answer();
    assert_eq!(story.still(ONE), amount(0));
}

#[test]
fn of_slow_lanes_no_more_is_uncounted_than_half_of_what_may_stand_still_of_their_route() {
    let mut story = Story::with_routes(1);
    story.owed = Owed::new(1, amount(40));
    for n in 0..25 {
        let name = n.to_string();
        story.take(ONE, 0, &name, 1);
        story.owed.handle_slow(0, &lane(&name), true);
    }
    assert_eq!(story.still(ONE), amount(10));
    assert!(!story.is_full(0));
}
