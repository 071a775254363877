//! Lanes of the outbox that were not answered, too few to accuse the transport.

use super::kept::kept;
use super::*;
use crate::delivery::config::PAUSE_LEFT_MAX;

const MOMENT: Duration = Duration::from_millis(100);
const ATTEMPT: Duration = Duration::from_millis(5150);

impl Story {
    /// So much time in which nothing is answered. Returns how often these went out.
    fn be_silent(&mut self, time: Duration) -> usize {
        let until = self.now + time;
        let mut sent = 0;
        while self.now < until {
            while self.request().is_some() {
                sent += 1;
            }
            self.pass(MOMENT);
        }
        sent
    }

    /// How long after the first acceptance the last of these is published, if all
    /// that goes out from now on is accepted.
    fn last_of(&mut self, effects: usize) -> Duration {
        let mut published = Vec::new();
        while published.len() < effects {
            while let Some((id, effects)) = self.request() {
                self.lanes.handle_accepted(id);
                published.extend(effects.into_iter().map(|_| self.now));
            }
            self.pass(MOMENT);
        }
        published[effects - 1] - published[0]
    }
}

#[test]
fn few_lanes_that_were_silent_together_all_go_on_soon_after_the_first_is_answered() {
    for lanes in 2..8 {
        for outage in (60..180).step_by(9) {
            let effects = (0..lanes).map(|n| publish(&n.to_string(), n));
            let mut story = kept(Some(OURS), effects);
            story.be_silent(Duration::from_secs(outage));
            let last = story.last_of(lanes.into());
            // What was out when the first was answered may be lost.
            let patience = ATTEMPT + PAUSE_LEFT_MAX + 2 * MOMENT;
            assert!(last <= patience, "{lanes}, {outage} s: {last:?}");
        }
    }
}

#[test]
fn a_lane_that_is_new_and_answered_wakes_one_that_was_silent_alone() {
    let mut story = kept(Some(OURS), [publish("a", 1)]);
    story.be_silent(Duration::from_secs(120));
    while story.lanes.requests_in_flight == 0 {
        story.request();
        story.pass(MOMENT);
    }
    story.pass(ATTEMPT);
    story.submit([publish("b", 2)]);
    let last = story.last_of(2);
    assert!(last <= PAUSE_LEFT_MAX + 2 * MOMENT, "{last:?}");
}

#[test]
fn an_acceptance_that_comes_late_wakes_who_was_silent() {
    let mut story = kept(Some(OURS), [publish("a", 1)]);
    let silent = story.expect_request(&[1]);
    story.pass(Duration::from_secs(6));
    let refused = story.expect_request(&[1]);
    story.refuse(refused, "no", false);
    assert_eq!(story.settled().len(), 1);
    story.submit([publish("b", 2)]);
    story.be_silent(Duration::from_secs(120));
    while story.lanes.requests_in_flight == 0 {
        story.request();
        story.pass(MOMENT);
    }
    story.pass(ATTEMPT);
    let pause = story.lanes.poll_timeout().expect("a pause") - story.now;
    assert!(PAUSE_LEFT_MAX < pause, "{pause:?}");
    story.lanes.handle_accepted(silent);
    assert!(story.request().is_none());
    story.pass(PAUSE_LEFT_MAX);
    story.expect_request(&[2]);
}

/// How often a sick lane is tried in ten minutes, of which each attempt is `met`, while
/// a healthy one is answered every so many milliseconds.
fn sent_beside(every: u64, met: impl Fn(&mut Story, RequestId)) -> usize {
    let mut story = kept(Some(OURS), [publish("sick", 0)]);
    let (mut sent, mut healthy) = (0, 0);
    let every = Duration::from_millis(every);
    let end = story.now + Duration::from_secs(600);
    let mut next = story.now;
    while story.now < end {
        if next <= story.now {
            story.submit([publish("healthy", 1)]);
            next += every;
        }
        while let Some((id, effects)) = story.request() {
            if effects == [0] {
                sent += 1;
                met(&mut story, id);
            } else {
                story.lanes.handle_accepted(id);
                healthy += 1;
            }
        }
        story.pass(MOMENT);
    }
    assert!(healthy >= 30);
    sent
}

#[test]
fn a_lane_that_is_silent_while_others_are_answered_is_not_tried_more_often() {
    for (every, sent_max) in [(400, 40), (20_000, 40 + 30)] {
        let sent = sent_beside(every, |_, _| {});
        assert!(sent <= sent_max, "{every} ms: {sent}");
    }
}

#[test]
fn a_lane_that_is_refused_at_once_without_a_reason_keeps_its_pauses() {
    for every in [400, 2000, 20_000] {
        let sent = sent_beside(every, |story, id| story.refuse(id, "no", true));
        assert!(sent <= 40, "{every} ms: {sent}");
    }
}
