//! Effects that failed, and are published all the same.

use super::*;

impl Story {
    /// So much time that an effect on its way is given up, attempt by attempt.
    fn let_fail(&mut self) -> Vec<u8> {
        let mut sent = Vec::new();
        for _ in 0..34 {
            while let Some(request) = self.lanes.poll_request(self.now) {
                let ids = request.effects.iter();
                sent.extend(ids.map(|effect| effect.id.as_bytes()[0]));
            }
            self.pass(Duration::from_millis(500));
        }
        sent
    }

    /// These turn out to be published together. Returns which are known by that.
    fn published_late(&mut self, ids: &[u8]) -> Vec<u8> {
        let ids: Vec<_> = ids.iter().map(|n| id(*n)).collect();
        let done = self.admission.handle_published_late(&ids, self.boot_time);
        done.iter().map(|done| done.id.as_bytes()[0]).collect()
    }
}

#[test]
fn what_failed_and_is_published_late_is_known_by_its_id_and_by_its_key() {
    let mut story = Story::new();
    story.submit(message(1, 1), A, 'a');
    assert_eq!(story.let_fail(), [1, 1, 1]);
    story.expect(&[('a', 1, "ambiguous: ")]);
    assert_eq!(story.published_late(&[1]), [1]);
    story.pass(Duration::from_secs(5 * 60));
    for n in [1, 2] {
        story.submit(message(n, 1), A, 'b');
        story.expect(&[('b', n, "ok")]);
    }
    assert_eq!(story.publish(), [0; 0]);
    assert_eq!(story.published_late(&[1]), [0; 0], "no news");
}

#[test]
fn what_stands_behind_it_goes_out_once_it_came_again() {
    let mut story = Story::new();
    for n in [1, 2] {
        story.submit(message(n, n.into()), A, 'a');
    }
    story.let_fail();
    story.expect(&[('a', 1, "ambiguous: "), ('a', 2, "throttled: ")]);
    assert_eq!(story.published_late(&[1]), [1]);
    story.submit(message(2, 2), A, 'a');
    story.expect(&[('a', 2, "gap: expected 1")]);
    story.submit(message(1, 1), A, 'a');
    story.submit(message(2, 2), A, 'a');
    assert_eq!(story.publish(), [2]);
    story.expect(&[('a', 1, "ok"), ('a', 2, "ok")]);
}

#[test]
fn what_came_again_goes_its_way_with_all_it_went_out_with() {
    for again in [1, 3] {
        let mut story = Story::new();
        for n in [1, 2] {
            story.submit(message(n, n.into()), A, 'a');
        }
        story.let_fail();
        story.answers();
        story.submit(message(again, 1), A, 'b');
        assert_eq!(story.published_late(&[1, 2]), [0; 0]);
        assert_eq!(story.publish(), [1]);
        story.expect(&[('b', again, "ok")]);
    }
}

#[test]
fn what_is_unknown_or_published_already_is_left_as_it_is() {
    let mut story = Story::new();
    story.submit(message(1, 1), A, 'a');
    story.publish();
    story.answers();
    assert_eq!(story.published_late(&[1, 9]), [0; 0]);
}
