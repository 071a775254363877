//! Effects that were held up on their way to their lane, behind younger ones.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

impl Story {
    fn submit_held_up(&mut self, effect: SideEffect, time: Duration) {
        let submitted = self.held_up(effect, time);
        self.lanes.handle_submit(submitted);
    }

    fn held_up(&mut self, effect: SideEffect, time: Duration) -> Submitted<()> {
        self.arrivals += 1;
        let (arrival, producer) = (self.arrivals, Producer(1));
        let place = Place::new(arrival, producer);
        let arrived = self.now.checked_sub(time).expect("a time");
        Submitted::new(effect, place, (), arrived)
    }
}

#[test]
fn what_was_held_up_fails_in_its_time_and_costs_nothing_that_stands_before_it() {
    let mut story = Story::new(Config::default(), None);
    story.submit([publish("a", 1)]);
    story.submit_held_up(publish("a", 2), 10 * SECOND);
    story.submit([publish("a", 3)]);
    story.pass(6 * SECOND);
    assert_eq!(story.settled(), []);
    story.pass(SECOND);
    story.expect_failed(
        &[2],
        "throttled: publish failed after retries: transport not",
    );
    story.expect_failed(
        &[3],
        "throttled: publish failed after retries: not sent, because",
    );
    story.pass(9 * SECOND);
    assert_eq!(story.settled(), [], "it has its own time");
    story.lanes.handle_connected(OURS);
    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[1]);
    story.expect_nothing_left();
}

#[test]
fn what_is_on_its_way_is_answered_though_the_time_of_one_behind_it_is_over() {
    let mut story = Story::with(OLD, [publish("a", 1)]);
    let id = story.expect_request(&[1]);
    story.submit_held_up(publish("a", 2), 16 * SECOND);
    story.pass(SECOND);
    story.expect_failed(&[2], "throttled: publish failed after retries: its turn");
    story.submit([publish("a", 3)]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[1]);
    let id = story.expect_request(&[3]);
    story.pass(4 * SECOND);
    story.lanes.handle_accepted(id);
    story.expect_published(&[3]);
    story.expect_nothing_left();
}

#[test]
fn what_is_young_goes_out_without_those_that_were_held_up_and_has_its_own_time() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    story.submit_held_up(publish("a", 2), 15 * SECOND);
    story.submit([publish("a", 3)]);
    let young = story.expect_request(&[1]);
    story.pass(2 * SECOND);
    story.expect_failed(&[2], "throttled: publish failed after retries: its turn");
    story.expect_failed(&[3], "throttled: publish failed after retries: not sent");
    story.lanes.handle_accepted(young);
    story.expect_published(&[1]);
    story.expect_nothing_left();
}

#[test]
fn what_was_held_up_goes_out_with_what_came_behind_it() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    story.submit_held_up(publish("a", 2), 15 * SECOND);
    story.submit([publish("a", 3)]);
    let young = story.expect_request(&[1]);
    story.lanes.handle_accepted(young);
    story.expect_published(&[1]);
    story.expect_request(&[2, 3]);
}

#[test]
fn what_was_held_up_for_a_moment_goes_out_with_the_others() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    story.submit_held_up(publish("a", 2), Duration::from_millis(250));
    story.submit([publish("a", 3)]);
    story.expect_request(&[1, 2, 3]);
}

#[test]
fn those_that_are_on_their_way_together_fail_together() {
    let mut story = Story::with(OURS, []);
    let batch = [(1, 0), (2, 16)].map(|(n, s)| story.held_up(publish("a", n), s * SECOND));
    story.lanes.handle_batch(batch);
    story.submit([publish("a", 3)]);
    story.expect_request(&[1, 2]);
    story.pass(SECOND);
    let text = "ambiguous: publish failed after retries: no answer";
    story.expect_failed(&[1, 2], text);
    story.expect_failed(&[3], "throttled: publish failed after retries: not sent");
    story.expect_nothing_left();
}

#[test]
fn those_that_have_to_go_out_together_again_fail_together() {
    let mut story = Story::new(Config::default(), None);
    story.submit([publish("a", 1)]);
    let batch = [(2, 0), (3, 16)].map(|(n, s)| story.held_up(publish("a", n), s * SECOND));
    story.lanes.handle_batch(batch);
    story.pass(SECOND);
    story.expect_failed(&[2, 3], "throttled: publish failed after retries: ");
    assert_eq!(story.settled(), []);
    story.lanes.handle_connected(OURS);
    story.expect_request(&[1]);
}
