//! What has to come again over one connection, while another brings the same.

use super::*;

impl Story {
    /// Three that asked for order failed, and nothing of their lane is left.
    fn with_three_failed() -> Self {
        let mut story = Self::new();
        story.lanes.handle_disconnected(story.now);
        for n in 1..=3 {
            story.submit(ordered(n), A, 'a');
        }
        story.fail_all();
        story
    }

    /// The transport is away for so long that all that is open fails; then it is
    /// back.
    fn fail_all(&mut self) {
        self.lanes.handle_disconnected(self.now);
        self.pass(Duration::from_secs(17));
        let answers = self.answers();
        assert!(answers.iter().all(|(.., text)| text != "ok"), "{answers:?}");
        self.lanes.handle_connected(Peer {
            batches: false,
            window: 8,
        });
    }

    /// Another connection sends this one, and it is on its way.
    fn sent_elsewhere(&mut self, n: u8) {
        self.submit(ordered(n), B, 'b');
        assert!(self.lanes.poll_request(self.now).is_some());
    }

    /// The daemon sends all that was not acked again, in order, until all is; how
    /// often that was.
    fn rounds(&mut self, mut open: Vec<u8>) -> usize {
        for round in 1..10 {
            for n in &open {
                self.submit(ordered(*n), A, 'a');
            }
            self.publish();
            for (_, n, text) in self.answers() {
                open.retain(|open| *open != n || text != "ok");
            }
            if open.is_empty() {
                return round;
            }
        }
        panic!("{open:?} are refused for ever");
    }
}

#[test]
fn what_another_connection_sent_first_does_not_have_those_before_it_wait_for_nothing() {
    let mut story = Story::with_three_failed();
    story.sent_elsewhere(3);
    for n in 1..=3 {
        story.submit(ordered(n), A, 'a');
    }
    story.fail_all();
    assert_eq!(story.rounds(vec![1, 2, 3]), 1);
}

#[test]
fn what_joined_another_twice_has_to_come_again_once() {
    let mut story = Story::with_three_failed();
    story.sent_elsewhere(3);
    story.submit(ordered(1), B, 'b');
    for _ in 0..2 {
        story.submit(ordered(1), A, 'a');
    }
    story.fail_all();
    assert_eq!(story.rounds(vec![1, 2, 3]), 1);
}

#[test]
fn what_failed_once_more_is_not_overtaken_by_what_another_connection_sent_first() {
    let mut story = Story::with_three_failed();
    story.sent_elsewhere(3);
    for n in 1..=3 {
        story.submit(ordered(n), A, 'a');
    }
    story.fail_all();
    story.submit(ordered(3), A, 'a');
    story.expect(&[('a', 3, "gap: resend 01010101")]);
    story.submit(ordered(1), A, 'a');
    story.fail_all();
    assert_eq!(story.rounds(vec![1, 2, 3]), 1);
}
