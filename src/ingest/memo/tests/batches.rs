//! Which batches were sent, and which of them were accepted.

use super::*;

#[test]
fn the_next_life_finds_what_was_sent_and_what_was_accepted() {
    let mut story = Story::new();
    let first = story.send(&[1, 2]);
    story.send(&[3, 4, 5]);
    story.accept(first);
    let expected = [(vec![1, 2], true), (vec![3, 4, 5], false)];
    assert_eq!(story.left(), expected);
    assert_eq!(story.left(), expected, "and the life after it");
}

#[test]
fn a_message_that_went_out_alone_goes_out_alone_again() {
    let mut story = Story::new();
    story.send(&[1]);
    assert_eq!(story.left(), [(vec![1], false)]);
}

#[test]
fn the_same_keys_sent_over_two_ways_are_two_batches() {
    let mut story = Story::new();
    let first = story.send(&[1, 2]);
    let request = RequestId::clone(&first);
    let batch = |story: &mut Story, way: usize| {
        story.lanes.handle_disconnected(story.now);
        story.lanes.handle_connected(Peer {
            batches: true,
            window: 1000,
        });
        let request = story.lanes.poll_request(story.now).expect("again");
        story.memo.handle_sent(way, &request, at());
        story.memo.flush();
        request.id
    };
    let other = batch(&mut story, 1);
    story.memo.handle_accepted(1, other, at());
    story.memo.flush();
    assert_ne!(request, other);
    let expected = [(vec![1, 2], false), (vec![1, 2], true)];
    assert_eq!(story.left(), expected);
}

#[test]
fn batches_that_are_refused_again_and_again_are_not_carried_on() {
    let mut story = Story::new();
    for _ in 0..20_000 {
        let id = story.send(&(1..=32).collect::<Vec<u8>>());
        story.memo.handle_refused(0, id);
        story.lanes.handle_accepted(id);
    }
    assert!(story.memo.unaccepted.is_empty());
    assert!(story.memo.files.with(0) <= ROOM);
}

#[test]
fn a_late_refusal_does_not_take_back_that_a_batch_went_out_again() {
    let mut story = Story::new();
    let first = story.send(&[1, 2]);
    let again = story.send_again();
    story.memo.handle_refused(0, first);
    assert_eq!(story.memo.unaccepted.len(), 1, "it is carried on");

    story.accept(again);
    assert_eq!(story.left(), [(vec![1, 2], true)]);
}

#[test]
fn a_refusal_does_not_take_back_that_a_batch_may_have_been_published_before() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    let again = story.send_again();
    story.memo.handle_refused(0, again);
    assert_eq!(story.memo.unaccepted.len(), 1, "it is carried on");
    assert_eq!(story.left(), [(vec![1, 2], false)]);
}

#[test]
fn a_batch_that_goes_out_again_is_kept_for_as_long_as_it_is_known_from_then() {
    for is_refused in [true, false] {
        let mut story = Story::new();
        let first = story.send(&[1, 2]);
        story.send(&[3]);
        if is_refused {
            story.memo.handle_refused(0, first);
        }
        story.send_again_at(after(149));
        let expected = [(vec![1, 2], false)];
        assert_eq!(story.left_at(after(151)), expected, "{is_refused}");
        assert_eq!(story.left_at(after(298)), expected, "and the life after it");
        assert_eq!(story.left_at(after(299)), []);
    }
}

#[test]
fn the_batch_that_went_out_last_is_the_newest() {
    let mut story = Story::new();
    let entry = |n| Entry {
        id: EffectId::from_bytes([n; 16]),
        key: Uuid::from_bytes([n; 16]),
    };
    let sends = [(1, 0), (2, 40), (1, 80)];
    let records = sends.map(|(n, seconds)| {
        let name = Uuid::from_u128(n.into());
        sent(name, after(seconds), &[entry(n)])
    });
    let written = story.memo.files.append(&mut records.concat(), at());
    written.expect("there is room");
    assert_eq!(
        story.left_at(after(81)),
        [(vec![2], false), (vec![1], false)]
    );
}

#[test]
fn a_batch_that_goes_out_again_and_again_is_not_noted_each_time() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    let once = story.memo.files.with(0);
    story.connect_again();
    let mut request = story.lanes.poll_request(story.now).expect("again");
    for seconds in 1..=30 {
        assert_eq!(story.memo.files.with(0), once, "until {seconds} s");
        request.id = format!("0.1.{seconds}").parse().expect("an id");
        story.memo.handle_sent(0, &request, after(seconds));
        story.memo.flush();
    }
    assert!(once < story.memo.files.with(0));
    // What went out at 29 s is known until 149 s.
    assert_eq!(story.left_at(after(149)), [(vec![1, 2], false)]);
}

#[test]
fn requests_that_nobody_answers_are_not_counted_for_ever() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    story.connect_again();
    let mut request = story.lanes.poll_request(story.now).expect("again");
    for seconds in 0..2000 {
        request.id = format!("0.1.{seconds}").parse().expect("an id");
        story.memo.handle_sent(0, &request, after(seconds));
        story.memo.flush();
        let open = story.memo.open.len();
        assert!(open <= 2 * 150 + 1, "{open} after {seconds} s");
        assert!(story.memo.open.contains_key(&(0, request.id)));
    }
}

#[test]
fn what_is_known_to_be_published_is_not_made_up_again_and_what_may_be_is() {
    let mut story = Story::new();
    let published = |n: u8| Published {
        id: EffectId::from_bytes([n; 16]),
        arrived_ms: 1,
    };
    for numbers in [[1, 2], [3, 4], [5, 6], [7, 8]] {
        let request = story.send(&numbers);
        match numbers {
            // Without or with an outbox, or both.
            [1, 2] => numbers.map(|n| _ = story.publish(n, n)),
            [3, 4] => numbers.map(|n| story.memo.handle_published(published(n), at())),
            // Of one of the two no more is known than its id.
            [5, 6] => [story.publish(5, 5), done(5, 5)].map(drop),
            _ => continue,
        };
        story.accept(request);
    }
    let (_, left) = open(&story.dir);
    let told: Vec<_> = left.batches.iter().map(|batch| batch.is_accepted).collect();
    assert_eq!(told, [true, true, true, false]);
    assert_eq!(
        left.lists(),
        [left.batches[2].keys(), left.batches[3].keys()]
    );
}
