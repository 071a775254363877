//! A transport that is away, goes, comes back, or dies of a request.

use super::*;

#[test]
fn attempts_are_not_burnt_while_the_transport_is_away() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
    for _ in 0..10 {
        story.expect_request(&[1, 2]);
        story.pass(Duration::from_secs(1));
        story.lanes.handle_disconnected(story.now);
        assert!(story.request().is_none());
        story.pass(AWAY_AND_BACK);
        story.lanes.handle_connected(OURS);
    }
    for _ in 0..2 {
        let id = story.expect_request(&[1, 2]);
        story.refuse(id, "later", true);
        story.pass(Duration::from_millis(500));
    }
    let id = story.expect_request(&[1, 2]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[1, 2]);
    story.expect_nothing_left();
}

#[test]
fn a_request_that_kills_every_connection_fails_and_harms_nobody_else() {
    const KILLER: u8 = 13;
    let lanes = (0..50).map(|n| publish(&n.to_string(), n));
    let mut story = Story::with(OURS, lanes);
    let mut connections = 1;
    let mut published = Vec::new();
    while !story.lanes.is_empty() {
        let sent: Vec<_> = std::iter::from_fn(|| story.request()).collect();
        if sent.iter().any(|(_, effects)| effects.contains(&KILLER)) {
            for (id, _) in sent.iter().take_while(|(_, sent)| !sent.contains(&KILLER)) {
                story.lanes.handle_accepted(*id);
            }
            story.lanes.handle_disconnected(story.now);
            story.pass(AWAY_AND_BACK);
            story.lanes.handle_connected(OURS);
            connections += 1;
        }
        for (id, _) in sent {
            story.lanes.handle_accepted(id);
        }
        story.pass(AWAY_AND_BACK);
        published.extend(story.settled());
    }
    published.sort();
    let (_, failure) = published.remove(usize::from(KILLER));
    let failure = failure.expect("failed");
    assert!(failure.starts_with("ambiguous: "), "{failure}");
    assert!(published.iter().all(|(_, error)| error.is_none()));
    assert_eq!(published.len(), 49);
    assert!(connections <= 10, "{connections} connections");
}

#[test]
fn a_transport_that_says_goodbye_costs_no_attempt() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    for _ in 0..10 {
        let id = story.expect_request(&[1]);
        let goodbye = Refusal {
            error: "the transport is stopping",
            code: Some(80_017),
            retryable: Some(true),
        };
        story.lanes.handle_refused(id, &goodbye, story.now);
        assert!(story.request().is_none());
        story.pass(Duration::from_millis(500));
    }
    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_published(&[1]);
}

#[test]
fn a_batch_too_large_for_the_transport_is_split_and_its_culprit_fails() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
    let id = story.expect_request(&[1, 2]);
    story.lanes.handle_too_large(id, 100, 50);
    let id = story.expect_request(&[1]);
    story.lanes.handle_too_large(id, 60, 50);
    story.expect_failed(&[1], "too_large: a request of 60 bytes is over");
    story.expect_request(&[2]);
}

#[test]
fn a_suspect_is_cleared_when_its_connection_outlives_it() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("b", 2)]);
    story.expect_request(&[1]);
    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OURS);
    story.expect_request(&[1]);
    story.pass(Duration::from_secs(1));
    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OURS);
    story.submit([publish("c", 3)]);
    story.expect_request(&[2]);
    story.expect_request(&[1]);
    story.expect_request(&[3]);
}

#[test]
fn nobody_waits_for_a_suspect_but_suspects() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("b", 2), publish("c", 3)]);
    for n in [1, 2, 3] {
        story.expect_request(&[n]);
    }
    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OURS);
    story.submit([publish("d", 4)]);
    let suspect = story.expect_request(&[1]);
    story.expect_request(&[4]);
    assert!(story.request().is_none(), "one suspect at a time");
    story.lanes.handle_accepted(suspect);
    story.expect_request(&[2]);

    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OURS);
    let sent: Vec<_> = std::iter::from_fn(|| story.request()).collect();
    assert_eq!(sent.len(), 2, "all but the one in flight are free");
    story.pass(Duration::from_millis(500));
    story.expect_request(&[2]);
}

#[test]
fn no_request_is_promised_more_time_than_its_effect_has_left() {
    let mut story = Story::new(Config::default(), None);
    story.submit([publish("a", 1), publish("b", 2)]);
    story.pass(Duration::from_millis(14_500));
    story.lanes.handle_connected(OURS);
    let request = story.lanes.poll_request(story.now).expect("a request");
    assert_eq!(request.timeout, Duration::from_millis(1850));
    story.pass(Duration::from_millis(1800));
    assert!(story.request().is_none(), "too late to be sent");
    story.expect_failed(&[2], "throttled: publish failed after retries: its turn");
}

#[test]
fn answers_of_a_lost_connection_mean_nothing_on_the_next() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    let lost = story.expect_request(&[1]);
    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OURS);
    story.lanes.handle_accepted(lost);
    assert_eq!(story.settled(), []);
    story.expect_request(&[1]);
}

#[test]
fn an_effect_that_never_finds_a_transport_fails_at_its_deadline() {
    let mut story = Story::new(Config::default(), None);
    story.submit([publish("a", 1)]);
    story.pass(Duration::from_secs(10));
    story.submit([publish("a", 2), publish("b", 3)]);
    story.pass(Duration::from_millis(6499));
    assert_eq!(story.settled(), []);
    story.pass(Duration::from_millis(1));
    story.expect_failed(
        &[1],
        "throttled: publish failed after retries: transport not available",
    );
    story.expect_failed(&[2], "throttled: publish failed after retries: not sent");
    assert_eq!(story.settled(), []);
    story.pass(Duration::from_secs(10));
    story.expect_failed(&[3], "throttled: ");
    story.expect_nothing_left();
}

#[test]
fn an_effect_that_comes_again_before_others_makes_none_of_them_wait_longer() {
    let mut story = Story::new(Config::default(), None);
    story.submit_at(2, publish("a", 2));
    story.pass(Duration::from_secs(10));
    story.submit_at(1, publish("a", 1));
    story.pass(Duration::from_millis(6500));
    story.expect_failed(
        &[2],
        "throttled: publish failed after retries: transport not",
    );
    assert_eq!(story.settled(), [], "it has a time of its own");
    story.pass(Duration::from_secs(10));
    story.expect_failed(
        &[1],
        "throttled: publish failed after retries: transport not",
    );
    story.expect_nothing_left();
}

#[test]
fn a_transport_lost_in_the_middle_leaves_the_outcome_ambiguous() {
    let mut story = Story::with(OURS, [publish("a", 1)]);
    story.expect_request(&[1]);
    story.lanes.handle_disconnected(story.now);
    story.pass(Duration::from_secs(20));
    story.expect_failed(
        &[1],
        "ambiguous: publish failed after retries: connection to the transport lost",
    );
    story.expect_nothing_left();
}

#[test]
fn a_batch_meets_a_peer_without_batches_as_single_effects() {
    let mut story = Story::with(OURS, [publish("a", 1), publish("a", 2)]);
    story.expect_request(&[1, 2]);
    story.lanes.handle_disconnected(story.now);
    story.lanes.handle_connected(OLD);
    let id = story.expect_request(&[1]);
    story.lanes.handle_accepted(id);
    story.expect_request(&[2]);
}
