//! Lanes that are full, and what is on its way behind what they refuse.

use std::time::Duration;

use nix::libc::EIO;

use super::super::played::{Plan, Played, Time};
use super::story::{DAEMON, Story, another, bypassing, effect, number};
use crate::delivery::{Class, Config, Outcome, Peer};
use crate::journal::played::Op;
use crate::protocol::id::EffectId;

/// A Falco without an outbox, whose lanes hold two effects.
struct Small {
    time: Time,
    falco: Played,
    published: Vec<u8>,
}

impl Small {
    fn new() -> Self {
        let time = Time::new();
        let delivery = Config {
            lane_effects_max: 2,
            ..Config::default()
        };
        let plan = Plan {
            delivery,
            ..Plan::default()
        };
        let mut falco = Played::direct(&time, &plan);
        falco.open(DAEMON);
        let (batches, window) = (false, 8);
        falco.link(0, Peer { batches, window });
        let published = Vec::new();
        Self {
            time,
            falco,
            published,
        }
    }

    /// One lane is full, and refuses 3, 4 and 5; then it is empty.
    fn emptied() -> Self {
        let mut small = Self::new();
        small.submit(&[1, 2, 3, 4, 5]);
        let refused = small.told();
        assert_eq!(refused, [3, 4, 5].map(|n| (n, Some(Class::LaneFull))));
        small.publish();
        assert_eq!(small.told(), [(1, None), (2, None)]);
        small
    }

    fn submit(&mut self, numbers: &[u8]) {
        let effects = numbers.iter().map(|number| effect(*number)).collect();
        self.falco.submit(&self.time, DAEMON, effects);
        self.falco.advance(&self.time);
    }

    fn publish(&mut self) {
        while let Some(request) = self.falco.request(&self.time, 0) {
            let effects = request.effects.iter();
            self.published
                .extend(effects.map(|effect| number(effect.id)));
            let id = request.id;
            self.falco.answer(&self.time, (0, id), None);
        }
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
        let before = self.published.len();
        for number in numbers {
            self.submit(&[*number]);
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
    story.submit((1..4096).map(|_| another()).collect());
    assert!(story.falco.acks().is_empty(), "the lane has room");
    let refusal = story.offer(vec![effect(1)]).remove(0);
    assert_eq!(refusal.expect_err("no room").class, Class::LaneFull);
    story.disk.heal();
    story.pass_until(|story| story.falco.records());

    story.link();
    story.answer(None);
    assert_eq!(story.falco.acks().len(), 4096);
    let refusal = story.offer(vec![effect(2)]).remove(0);
    assert_eq!(refusal.expect_err("too early").class, Class::LaneFull);
    story.keep(vec![effect(1), effect(2)]);
}
