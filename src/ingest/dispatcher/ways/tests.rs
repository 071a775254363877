use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::delivery::{Peer, Refusal, listed};
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey};

/// An effect of the only lane.
fn effect(number: u8) -> SideEffect {
    let id = Uuid::from_bytes([number; 16]);
    SideEffect {
        id: EffectId::from(id),
        lane: LaneKey::new("s"),
        route: None,
        key: IdempotencyKey::Uuid(id),
        operation: Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::new().into(),
        },
        bytes: 1,
        is_ordered: false,
    }
}

/// These went out together before.
fn know_batch(way: &mut Way, numbers: &[u8], now: Instant) {
    let effects = numbers.iter().map(|number| effect(*number));
    let list = effects.map(|e| listed(&e.operation, &e.key)).collect();
    way.recall.remember(list, now);
}

#[test]
fn what_is_held_back_for_its_batch_is_answered_no_later_for_that() {
    let config = delivery::Config::default();
    let mut way = Way::new(Path::new(""), &config);
    let begun = Instant::now();
    know_batch(&mut way, &[1, 2], begun);
    let place = Place::new(1, Producer(1));
    way.submit(Submitted::new(effect(1), place, None, begun));
    let mut now = begun;
    while way.lanes.poll_settled().is_none() {
        now = way.poll_timeout().expect("it waits");
        way.handle_timeout(now);
    }
    assert_eq!(now - begun, config.effect_deadline);
    assert_eq!(config.effect_deadline, Duration::from_millis(16_500));
}

/// A way whose transport takes batches, once it is connected.
fn way() -> (Way, Peer, Instant) {
    way_with(&delivery::Config::default())
}

fn way_with(config: &delivery::Config) -> (Way, Peer, Instant) {
    let peer = Peer {
        batches: true,
        window: 8,
    };
    let way = Way::new(Path::new(""), config);
    (way, peer, Instant::now())
}

/// Brings effects of the only lane, which arrive in this order.
fn submit(way: &mut Way, numbers: &[u8], now: Instant) {
    for number in numbers {
        let place = Place::new((*number).into(), Producer(1));
        way.submit(Submitted::new(effect(*number), place, None, now));
    }
}

/// What goes out next.
fn request(way: &mut Way, now: Instant) -> Vec<u8> {
    let request = way.lanes.poll_request(now).expect("a request");
    let effects = request.effects.iter();
    effects.map(|effect| effect.id.as_bytes()[0]).collect()
}

/// What is settled next; there is no other way.
fn settled(way: &mut Way) -> Option<Settled<Waiter>> {
    remember_forsaken(std::slice::from_mut(way), 1);
    way.poll_settled()
}

/// Everything that waits is given up; returns when.
fn give_up(way: &mut Way, now: Instant) -> Instant {
    let now = now + delivery::Config::default().effect_deadline;
    way.handle_timeout(now);
    while settled(way).is_some() {}
    assert!(way.lanes.is_empty());
    now
}

#[test]
fn what_was_given_up_and_may_be_published_goes_out_again_as_it_was() {
    let (mut way, peer, now) = way();
    way.lanes.handle_connected(peer);
    submit(&mut way, &[1, 2], now);
    assert_eq!(request(&mut way, now), [1, 2]);
    way.lanes.handle_disconnected(now);
    let now = give_up(&mut way, now);

    way.lanes.handle_connected(peer);
    submit(&mut way, &[1, 2, 3], now);
    assert_eq!(request(&mut way, now), [1, 2]);
}

#[test]
fn what_came_again_and_was_given_up_once_more_goes_out_as_it_was_all_the_same() {
    let (mut way, peer, mut now) = way();
    way.lanes.handle_connected(peer);
    submit(&mut way, &[1, 2], now);
    assert_eq!(request(&mut way, now), [1, 2]);
    way.lanes.handle_disconnected(now);
    for _ in 0..3 {
        now = give_up(&mut way, now);
        submit(&mut way, &[1, 2, 3], now);
    }

    way.lanes.handle_connected(peer);
    assert_eq!(request(&mut way, now), [1, 2]);
}

#[test]
fn what_was_given_up_and_never_sent_goes_out_as_it_comes() {
    let (mut way, peer, now) = way();
    submit(&mut way, &[1, 2], now);
    let now = give_up(&mut way, now);

    way.lanes.handle_connected(peer);
    submit(&mut way, &[1, 2, 3], now);
    assert_eq!(request(&mut way, now), [1, 2, 3]);
}

/// What goes out next is refused for good.
fn refuse(way: &mut Way, now: Instant) {
    let refusal = Refusal {
        error: "not allowed",
        code: Some(40_160),
        retryable: Some(false),
    };
    let request = way.lanes.poll_request(now).expect("a request");
    let id = request.id;
    way.lanes.handle_refused(id, &refusal, now);
}

#[test]
fn what_may_be_published_and_was_refused_then_goes_out_alone_again() {
    let timeout = Duration::from_secs(5);
    let told = delivery::Config::with_attempt_timeout(timeout);
    let kept = delivery::Config::for_outbox(timeout);
    for config in [told, kept] {
        let (mut way, peer, now) = way_with(&config);
        way.lanes.handle_connected(peer);
        submit(&mut way, &[1], now);
        assert_eq!(request(&mut way, now), [1]);
        way.lanes.handle_disconnected(now);
        way.lanes.handle_connected(peer);
        refuse(&mut way, now);
        let settled = settled(&mut way).expect("it failed");
        let class = settled.outcome.expect_err("it failed").class;
        assert_eq!(class, delivery::Class::Ambiguous);

        submit(&mut way, &[1, 2, 3], now);
        assert_eq!(request(&mut way, now), [1], "{:?}", config.keeping);
    }
}

#[test]
fn what_was_refused_and_is_not_published_goes_out_with_others() {
    let (mut way, peer, now) = way();
    way.lanes.handle_connected(peer);
    submit(&mut way, &[1], now);
    refuse(&mut way, now);
    assert!(settled(&mut way).is_some());
    submit(&mut way, &[1, 2], now);
    assert_eq!(request(&mut way, now), [1, 2]);
}

/// A way whose lane has sent 1 and 2, then 3 stands behind them, and 4 is held back
/// for the rest of its batch, which comes a little before the time of 1 is over.
/// Returns when that is.
fn way_that_holds_one_back() -> (Way, Peer, Instant) {
    let (mut way, peer, begun) = way();
    way.lanes.handle_connected(peer);
    submit(&mut way, &[1, 2], begun);
    assert_eq!(request(&mut way, begun), [1, 2]);
    submit(&mut way, &[3], begun);
    way.lanes.handle_disconnected(begun);
    let over = begun + delivery::Config::default().effect_deadline;
    know_batch(&mut way, &[4, 5], over);
    submit(&mut way, &[4], over);
    assert!(way.recall.holds(&LaneKey::new("s")));
    (way, peer, over)
}

/// Which effects have failed since, and how.
fn failed(way: &mut Way) -> Vec<(u8, delivery::Class)> {
    let all = std::iter::from_fn(|| settled(way));
    let failed = all.map(|settled| {
        let class = settled.outcome.expect_err("it failed").class;
        (settled.id.as_bytes()[0], class)
    });
    failed.collect()
}

#[test]
fn what_is_held_back_fails_with_what_stands_before_it() {
    use delivery::Class::{Ambiguous, Throttled};
    let (mut way, peer, over) = way_that_holds_one_back();
    way.lanes.handle_timeout(over);
    let classes = [
        (1, Ambiguous),
        (2, Ambiguous),
        (3, Throttled),
        (4, Throttled),
    ];
    assert_eq!(failed(&mut way), classes);

    way.lanes.handle_connected(peer);
    let later = over + Duration::from_secs(2);
    way.handle_timeout(later);
    assert!(way.lanes.poll_request(later).is_none(), "4 comes again");
}

#[test]
fn what_comes_again_and_is_held_back_does_not_fail_with_what_stands_behind_it() {
    let (mut way, peer, begun) = way();
    submit(&mut way, &[5], begun);
    let over = begun + delivery::Config::default().effect_deadline;
    know_batch(&mut way, &[3, 4], over);
    submit(&mut way, &[3], over);
    way.lanes.handle_timeout(over);
    assert_eq!(failed(&mut way), [(5, delivery::Class::Throttled)]);
    submit(&mut way, &[4], over);
    way.lanes.handle_connected(peer);
    assert_eq!(request(&mut way, over), [3, 4]);
}

#[test]
fn what_is_held_back_goes_on_with_a_lane_that_goes_on() {
    let (mut way, peer, now) = way();
    way.lanes.handle_connected(peer);
    know_batch(&mut way, &[2, 3], now);
    submit(&mut way, &[1, 2], now);
    refuse(&mut way, now);
    assert_eq!(failed(&mut way), [(1, delivery::Class::Rejected)]);
    submit(&mut way, &[3], now);
    assert_eq!(request(&mut way, now), [2, 3]);
}

#[test]
fn what_is_held_back_is_parked_with_what_stands_before_it() {
    use delivery::Class::{Parked, Rejected};
    let (mut way, peer, now) = way_with(&delivery::Config {
        on_rejected: delivery::OnRejected::Park,
        ..delivery::Config::default()
    });
    way.lanes.handle_connected(peer);
    know_batch(&mut way, &[2, 3], now);
    submit(&mut way, &[1, 2], now);
    refuse(&mut way, now);
    assert_eq!(failed(&mut way), [(1, Rejected), (2, Parked)]);
}

#[test]
fn what_is_held_back_is_turned_away_with_what_stands_before_it() {
    let (mut way, _, _) = way_that_holds_one_back();
    let surplus = delivery::Amount {
        effects: 1,
        bytes: 0,
    };
    let lane = LaneKey::new("s");
    assert!(way.lanes.handle_surplus(&lane, Producer(1), surplus));
    let full = delivery::Class::LaneFull;
    assert_eq!(failed(&mut way), [(3, full), (4, full)]);
}

/// What is given back of the only lane from this effect on.
fn withdraw(way: &mut Way, number: u8) -> Vec<u8> {
    let lane = LaneKey::new("s");
    let taken = way.withdraw(&lane, effect(number).id);
    let numbers = taken.iter().map(|effect| effect.id.as_bytes()[0]);
    numbers.collect()
}

#[test]
fn what_is_taken_back_takes_along_what_is_held_behind_it() {
    let (mut way, peer, now) = way();
    know_batch(&mut way, &[4, 5], now);
    submit(&mut way, &[1, 2, 3, 4], now);
    assert_eq!(withdraw(&mut way, 2), [2, 3, 4]);
    submit(&mut way, &[3, 4, 5], now);
    way.lanes.handle_connected(peer);
    assert_eq!(request(&mut way, now), [1, 3]);
}

#[test]
fn what_is_held_back_is_taken_back_and_what_came_before_it_is_not() {
    let (mut way, peer, now) = way();
    know_batch(&mut way, &[1, 2, 3], now);
    way.lanes.handle_connected(peer);
    submit(&mut way, &[1, 2], now);
    assert!(withdraw(&mut way, 3).is_empty());
    assert_eq!(withdraw(&mut way, 2), [2]);
    submit(&mut way, &[3], now);
    assert_eq!(request(&mut way, now), [1, 3], "it cannot be made up");
}
