use super::*;

#[test]
fn a_batch_holds_neighbours_of_one_channel_and_never_an_object_set() {
    let mut story = Story::with(
        OURS,
        [
            publish_to("s", "x", 1, 1),
            publish_to("s", "x", 2, 1),
            publish_to("s", "y", 3, 1),
            object_set("s", 4),
            object_set("s", 5),
            publish_to("s", "x", 6, 1),
        ],
    );
    for batch in [&[1, 2][..], &[3], &[4], &[5], &[6]] {
        let id = story.expect_request(batch);
        story.lanes.handle_accepted(id);
        story.expect_published(batch);
    }
    story.expect_nothing_left();
}

#[test]
fn a_batch_stays_within_its_limits_but_one_message_always_goes() {
    let config = Config::default();
    let half = config.batch_bytes_max / 2;
    let sizes = [half, half - 100, 200, config.batch_bytes_max * 4, 1];
    let effects = (1..).zip(sizes);
    let effects = effects.map(|(n, bytes)| publish_to("a", "c", n, bytes));
    let mut story = Story::with(OURS, effects);
    for batch in [&[1, 2][..], &[3], &[4], &[5]] {
        let id = story.expect_request(batch);
        story.lanes.handle_accepted(id);
    }

    let mut story = Story::with(OURS, (0..40).map(|n| publish("a", n)));
    let (_, batch) = story.request().unwrap();
    assert_eq!(batch.len(), config.batch_messages_max);
}

#[test]
fn a_peer_without_batches_gets_one_effect_at_a_time() {
    let mut story = Story::with(OLD, [publish("a", 1), publish("a", 2)]);
    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_request(&[2]);
}

#[test]
fn a_retry_is_the_same_batch_and_goes_before_what_came_later() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
    let first = story.lanes.poll_request(story.now).unwrap();
    let (first, base) = (first.id, first.base());
    story.submit([publish("a", 3)]);
    story.refuse(first, "try later", true);
    assert!(story.request().is_none());

    story.pass(Duration::from_millis(499));
    assert!(story.request().is_none());
    story.pass(Duration::from_millis(1));
    let again = story.lanes.poll_request(story.now).unwrap();
    assert_eq!(again.base(), base);
    assert_ne!(again.id, first);
    let again = again.id;
    story.lanes.handle_accepted(again);
    story.expect_published(&[1, 2]);
    story.expect_request(&[3]);
}

#[test]
fn a_different_list_of_effects_has_another_base() {
    let base = |effects: &[u8]| {
        let mut story = Story::with(OURS, effects.iter().map(|n| publish("a", *n)));
        let request = story.lanes.poll_request(story.now).unwrap();
        request.base()
    };
    assert_eq!(base(&[1, 2]), base(&[1, 2]));
    assert_ne!(base(&[1, 2]), base(&[2, 1]));
    assert_ne!(base(&[1, 2]), base(&[1, 2, 3]));
}

#[test]
fn what_was_one_batch_before_is_one_batch_again_with_the_same_base() {
    let alone: Vec<SideEffect> = (2..=3).map(|n| publish("a", n)).collect();
    let mut before = Story::with(OURS, alone.clone());
    let base = before.lanes.poll_request(before.now).expect("sent").base();

    let mut story = Story::with(OURS, [publish("a", 1)]);
    let place = |arrival| Place::new(arrival, Producer(0));
    let now = story.now;
    let batch = (2..).zip(alone);
    let batch = batch.map(|(n, effect)| Submitted::new(effect, place(n), (), now));
    story.lanes.handle_batch(batch);
    story.submit_at(4, publish("a", 4));
    let first = story.expect_request(&[1]);
    story.lanes.handle_accepted(first);
    let again = story.lanes.poll_request(story.now).expect("sent");
    assert_eq!(again.base(), base);
    let second = again.id;
    story.lanes.handle_accepted(second);
    story.expect_request(&[4]);
}

#[test]
fn what_may_be_published_stays_one_batch_though_a_transport_that_takes_none_was_there() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
    story.expect_request(&[1, 2]);
    story.lanes.handle_disconnected(story.now);
    story.submit([publish("a", 3)]);
    story.lanes.handle_connected(OLD);
    story.lanes.handle_connected(OURS);
    story.expect_request(&[1, 2]);
}

#[test]
fn what_is_not_published_is_put_together_anew_for_the_next_transport() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
    let first = story.expect_request(&[1, 2]);
    let refusal = Refusal {
        error: "slow down",
        code: Some(42_910),
        retryable: Some(true),
    };
    story.lanes.handle_refused(first, &refusal, story.now);
    story.submit([publish("a", 3)]);
    story.lanes.handle_connected(OLD);
    story.lanes.handle_connected(OURS);
    story.pass(Duration::from_millis(500));
    story.expect_request(&[1, 2, 3]);
}
