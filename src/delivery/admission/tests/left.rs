//! Connections that are closed before they are answered.

use super::*;

impl Story {
    /// A connection is closed; to whom nobody has to answer any more.
    fn leave(&mut self, producer: Producer, unanswered: usize) -> Vec<char> {
        self.admission.handle_closed(producer);
        self.admission.handle_left(producer, unanswered)
    }
}

#[test]
fn who_left_waits_no_longer_and_who_stays_is_answered() {
    let mut story = Story::new();
    story.submit(message(1, 1), A, 'a');
    story.submit(message(2, 1), B, 'b');
    story.submit(message(1, 1), A, 'c');
    assert_eq!(story.admission.dedupe.waiting(), 3);
    assert_eq!(story.leave(A, 2), ['c', 'a']);
    assert_eq!(story.admission.dedupe.waiting(), 1);
    assert_eq!(story.publish(), [1]);
    story.expect(&[('b', 2, "ok")]);
    assert_eq!(story.admission.joins.len(), 0);
}

#[test]
fn an_effect_goes_on_though_nobody_is_left_and_is_joined_as_ever() {
    let mut story = Story::new();
    story.submit(message(1, 1), A, 'a');
    assert_eq!(story.leave(A, 1), []);
    story.submit(message(1, 1), B, 'b');
    assert_eq!(story.leave(Producer(3), 1), ['a'], "B has its place");
    story.submit(message(1, 1), B, 'c');
    assert_eq!(story.publish(), [1]);
    story.expect(&[('b', 1, "ok"), ('c', 1, "ok")]);
}

#[test]
fn what_fails_when_its_connection_is_gone_shuts_no_gate() {
    let mut story = Story::new();
    story.lanes.handle_disconnected(story.now);
    story.submit(message(1, 1), A, 'a');
    story.leave(A, 1);
    story.pass(Duration::from_secs(17));
    story.expect(&[('a', 1, "throttled")]);
    story.submit(message(2, 2), A, 'a');
    assert_eq!(story.answers(), [], "it waits for the transport");
}

#[test]
fn the_same_holds_if_it_was_owed_so_little_that_it_was_not_looked_for() {
    let mut story = Story::new();
    story.lanes.handle_disconnected(story.now);
    story.submit(ordered(1), A, 'a');
    for n in 100..200 {
        story.submit(plain("other", n), B, 'b');
    }
    story.leave(A, 1);
    story.pass(Duration::from_secs(17));
    assert_eq!(story.answers().len(), 101);
    story.submit(ordered(2), A, 'a');
    story.submit(message(3, 3), A, 'a');
    assert_eq!(story.answers(), [], "they wait for the transport");
}

#[test]
fn a_hundred_connections_that_resend_everything_leave_nothing_behind() {
    let mut story = Story::new();
    let count = 200;
    for connection in 1..=100 {
        for n in 0..count {
            story.submit(message(n, n.into()), Producer(connection), 'a');
        }
        let waiting = story.admission.dedupe.waiting();
        assert!(waiting <= 2 * usize::from(count), "{waiting}");
        story.leave(Producer(connection), count.into());
    }
    assert_eq!(story.admission.dedupe.waiting(), usize::from(count));
    story.publish();
    story.answers();
    assert_eq!(story.admission.joins.len(), 0);
}

#[test]
fn many_connections_that_were_owed_little_are_looked_for_together() {
    let mut story = Story::new();
    for n in 0..100 {
        story.submit(message(n, n.into()), A, 'a');
    }
    for connection in 10..110 {
        story.submit(message(0, 0), Producer(connection), 'b');
        story.leave(Producer(connection), 1);
        assert!(story.admission.dedupe.waiting() <= 100 + 100 / GONE_SHARE + 1);
    }
}
