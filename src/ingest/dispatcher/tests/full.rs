//! Lanes that are full, and what is on its way behind what they refuse.

use std::time::Duration;

use nix::libc::EIO;

use super::super::played::{Plan, Played, Time};
use super::story::{DAEMON, FOR_GOOD, Story, another, bypassing, effect, number};
use crate::delivery::{Class, Config, OnRejected, Outcome, Peer, Refusal};
use crate::journal::played::Op;
use crate::protocol::envelope::SideEffect;
use crate::protocol::id::{EffectId, LaneKey};

/// A daemon beside the first.
const OTHER: u64 = 2;

/// A Falco without an outbox, whose lanes hold two effects.
struct Small {
    time: Time,
    falco: Played,
    published: Vec<u8>,
    /// Where its effects go.
    route: Option<&'static str>,
}

impl Small {
    fn new() -> Self {
        Self::with(OnRejected::Skip, None)
    }

    fn with(on_rejected: OnRejected, route: Option<&'static str>) -> Self {
        let time = Time::new();
        let delivery = Config {
            lane_effects_max: 2,
            held_effects_max: 0,
            on_rejected,
            ..Config::default()
        };
        let plan = Plan {
            delivery,
            routes: route.into_iter().collect(),
            ..Plan::default()
        };
        let mut falco = Played::direct(&time, &plan);
        for daemon in [DAEMON, OTHER] {
            falco.open(daemon);
        }
        for way in 0..falco.ways() {
            let (batches, window) = (false, 8);
            falco.link(way, Peer { batches, window });
        }
        let published = Vec::new();
        Self {
            time,
            falco,
            published,
            route,
        }
    }

    /// One lane is full, and refuses 3, 4 and 5; then it is empty.
    fn emptied() -> Self {
        Self::new().filled_and_emptied()
    }

    fn filled_and_emptied(self) -> Self {
        let mut small = self;
        small.submit(&[1, 2, 3, 4, 5]);
        let refused = small.told();
        assert_eq!(refused, [3, 4, 5].map(|n| (n, Some(Class::LaneFull))));
        small.publish();
        assert_eq!(small.told(), [(1, None), (2, None)]);
        small
    }

    /// The lane holds 1 and 2 and refuses 3; 1 is refused for good, and 2 has to
    /// wait for it.
    fn parked(is_ordered: bool) -> Self {
        let mut small = Self::with(OnRejected::Park, None);
        small.submit_as(DAEMON, &[1, 2, 3], is_ordered);
        small.answer_next(Some(&FOR_GOOD));
        let told = small.told().into_iter().filter_map(|(number, class)| {
            let class = class?;
            Some((number, class))
        });
        let mut told: Vec<_> = told.collect();
        told.sort_by_key(|(number, _)| *number);
        let classes = [Class::Rejected, Class::Parked, Class::LaneFull];
        assert_eq!(told, [1, 2, 3].into_iter().zip(classes).collect::<Vec<_>>());
        small
    }

    fn submit(&mut self, numbers: &[u8]) {
        self.submit_as(DAEMON, numbers, false);
    }

    fn submit_as(&mut self, daemon: u64, numbers: &[u8], is_ordered: bool) {
        let effects = numbers.iter().map(|number| SideEffect {
            route: self.route.map(Into::into),
            is_ordered,
            ..effect(*number)
        });
        let effects = effects.collect();
        self.falco.submit(&self.time, daemon, effects);
        self.falco.advance(&self.time);
    }

    /// The transport takes the next request, or refuses it. Returns whether there
    /// was one.
    fn answer_next(&mut self, refusal: Option<&Refusal<'_>>) -> bool {
        for way in 0..self.falco.ways() {
            if let Some(request) = self.falco.request(&self.time, way) {
                let effects = request.effects.iter();
                let numbers: Vec<_> = effects.map(|effect| number(effect.id)).collect();
                let id = request.id;
                if refusal.is_none() {
                    self.published.extend(numbers);
                }
                self.falco.answer(&self.time, (way, id), refusal);
                return true;
            }
        }
        false
    }

    fn publish(&mut self) {
        while self.answer_next(None) {}
    }

    fn told(&mut self) -> Vec<(u8, Option<Class>)> {
        let acks = self.falco.acks().into_iter();
        let told = |(_, id, outcome): (u64, EffectId, Outcome)| {
            let class = outcome.err().map(|failure| failure.class);
            (number(id), class)
        };
        acks.map(told).collect()
    }

    /// Which of these are published, each as soon as it comes.
    fn offer(&mut self, numbers: &[u8]) -> Vec<u8> {
        self.offer_as(DAEMON, numbers, false)
    }

    fn offer_as(&mut self, daemon: u64, numbers: &[u8], is_ordered: bool) -> Vec<u8> {
        let before = self.published.len();
        for number in numbers {
            self.submit_as(daemon, &[*number], is_ordered);
            self.publish();
        }
        let published = self.published.split_off(before);
        let told = self.told();
        let told = told.into_iter().filter(|(_, class)| class.is_none());
        let told: Vec<_> = told.map(|(number, _)| number).collect();
        assert_eq!(told, published);
        published
    }

    fn pass(&mut self, time: Duration) {
        let now = self.time.since(self.time.now().0);
        self.time.advance_to(now + time);
        self.falco.wake(&self.time);
    }
}

#[test]
fn what_was_on_its_way_behind_what_a_full_lane_refused_does_not_overtake_it() {
    let mut small = Small::emptied();
    assert!(small.offer(&[6]).is_empty());
    assert_eq!(small.offer(&[3, 4, 5, 6]), [3, 4, 5, 6]);
}

#[test]
fn a_full_lane_of_a_route_is_shut_as_well() {
    let small = Small::with(OnRejected::Skip, Some("other"));
    let mut small = small.filled_and_emptied();
    assert!(small.offer(&[6]).is_empty());
    assert_eq!(small.offer(&[3, 4, 5, 6]), [3, 4, 5, 6]);
}

#[test]
fn what_was_parked_before_it_comes_again_before_it() {
    for is_ordered in [false, true] {
        let mut small = Small::parked(is_ordered);
        assert_eq!(small.offer_as(DAEMON, &[1, 2, 3], is_ordered), [1, 2, 3]);
    }
}

#[test]
fn what_came_before_it_and_was_parked_is_waited_for_first() {
    let mut small = Small::parked(false);
    assert_eq!(small.offer(&[1, 3, 2, 3]), [1, 2, 3]);
}

#[test]
fn what_was_published_for_another_connection_is_waited_for_no_more() {
    let mut small = Small::emptied();
    assert_eq!(small.offer_as(OTHER, &[3], false), [3]);
    small.submit(&[3]);
    assert_eq!(small.told(), [(3, None)]);
    assert_eq!(small.offer(&[4, 5, 6]), [4, 5, 6]);
}

#[test]
fn a_daemon_that_sends_the_last_again_first_waits_for_the_first() {
    let mut small = Small::emptied();
    assert_eq!(small.offer(&[5, 4, 3]), [3]);
    assert_eq!(small.offer(&[4, 5]), [4, 5]);
}

#[test]
fn what_is_refused_again_while_the_lane_is_full_is_not_waited_for_before_the_first() {
    let mut small = Small::new();
    small.submit(&[1, 2, 3, 4, 4, 3, 4]);
    small.publish();
    small.told();
    assert_eq!(small.offer(&[4, 3, 4]), [3, 4]);
}

#[test]
fn a_lane_is_shut_for_two_seconds_after_it_is_empty_and_no_longer() {
    let mut small = Small::new();
    small.submit(&[1, 2, 3]);
    small.pass(Duration::from_secs(5));
    let of_another_lane = SideEffect {
        lane: LaneKey::new("other"),
        ..effect(9)
    };
    small
        .falco
        .submit(&small.time, DAEMON, vec![of_another_lane]);
    small.falco.advance(&small.time);
    small.publish();
    small.told();
    small.pass(Duration::from_millis(1999));
    assert!(small.offer(&[4]).is_empty());
    small.pass(Duration::from_millis(1));
    assert_eq!(small.offer(&[5, 3]), [5, 3], "it never came");
}

#[test]
fn nothing_is_kept_on_disk_before_what_a_full_lane_around_it_refused() {
    let mut story = Story::new(bypassing());
    story.fail(Op::Sync, (0, u64::MAX), EIO);
    story.fail(Op::Write, (0, u64::MAX), EIO);
    story.submit(vec![another()]);
    story.pass_until(|story| !story.falco.records());
    story.submit((1..16_384).map(|_| another()).collect());
    assert!(story.falco.acks().is_empty(), "the lane has room");
    let refusal = story.offer(vec![effect(1)]).remove(0);
    assert_eq!(refusal.expect_err("no room").class, Class::LaneFull);
    story.disk.heal();
    story.pass_until(|story| story.falco.records());

    story.link();
    story.answer(None);
    assert_eq!(story.falco.acks().len(), 16_384);
    let refusal = story.offer(vec![effect(2)]).remove(0);
    assert_eq!(refusal.expect_err("too early").class, Class::LaneFull);
    story.keep(vec![effect(1), effect(2)]);
}
