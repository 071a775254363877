use std::time::Duration;

use super::breaker::PROBE_PAUSE;
use super::*;

const ROUND_TRIP: Duration = Duration::from_millis(40);

fn allowed(pace: &Pace) -> usize {
    let recent = 0..100_000;
    recent.take_while(|recent| pace.may_send(*recent)).count()
}

/// Sends all that is allowed, and all of it succeeds; how much that was.
fn round_trip(pace: &mut Pace, now: &mut Instant) -> usize {
    let sent = allowed(pace);
    for _ in 0..sent {
        pace.handle_sent(*now);
    }
    *now += ROUND_TRIP;
    for _ in 0..sent {
        pace.handle_success(1);
    }
    sent
}

#[test]
fn the_window_doubles_with_every_round_trip_and_an_outage_ends_that() {
    let (mut pace, mut now) = (Pace::new(1), Instant::now());
    let sent: Vec<_> = (0..6).map(|_| round_trip(&mut pace, &mut now)).collect();
    assert_eq!(sent, [4, 8, 16, 32, 64, 128]);
    pace.handle_outage();
    assert_eq!(round_trip(&mut pace, &mut now), 4);
}

#[test]
fn a_limit_halves_the_window_once_a_round_trip_and_it_grows_back_by_one() {
    let (mut pace, mut now) = (Pace::new(1), Instant::now());
    for _ in 0..4 {
        round_trip(&mut pace, &mut now);
    }
    let sent = now;
    now += ROUND_TRIP;
    for _ in 0..40 {
        pace.handle_sign(Sign::TooMuch { sent }, 64, now);
    }
    assert_eq!(round_trip(&mut pace, &mut now), 32);
    assert_eq!(round_trip(&mut pace, &mut now), 32);
    assert_eq!(round_trip(&mut pace, &mut now), 33);
}

#[test]
fn a_window_that_grew_unused_is_cut_to_half_of_what_was_used() {
    let (mut pace, now) = (Pace::new(1), Instant::now());
    for _ in 0..100_000 {
        pace.handle_success(1);
    }
    pace.handle_sign(Sign::TooMuch { sent: now }, 100, now);
    assert_eq!(allowed(&pace), 50);
}

#[test]
fn one_silent_channel_among_many_costs_next_to_nothing() {
    let (mut pace, mut now) = (Pace::new(1), Instant::now());
    for _ in 0..8 {
        round_trip(&mut pace, &mut now);
    }
    let before = allowed(&pace);
    for _ in 0..100 {
        pace.handle_sign(Sign::Trouble, 1000, now);
        pace.handle_success(1);
    }
    assert!(allowed(&pace) >= before);
}

#[test]
fn when_nothing_succeeds_one_is_tried_at_a_time_until_one_does() {
    let (mut pace, mut now) = (Pace::new(1), Instant::now());
    for _ in 0..FAILURES_MAX {
        assert!(pace.may_send(0));
        pace.handle_sign(Sign::Trouble, 1, now);
    }
    assert!(!pace.may_send(0), "open");
    let mut pauses = Vec::new();
    for _ in 0..5 {
        let probe_at = pace.poll_timeout().expect("open");
        pauses.push(probe_at - now);
        now = probe_at;
        pace.handle_timeout(now);
        assert!(pace.may_send(0) && !pace.may_send(1));
        assert_eq!(pace.poll_timeout(), None);
        pace.handle_sent(now);
        pace.handle_sign(Sign::Trouble, 1, now);
    }
    assert!(pauses.iter().all(|pause| *pause <= PROBE_PAUSE.1));
    assert!(pauses[4] >= PROBE_PAUSE.1 / 2, "{pauses:?}");
    pace.handle_success(1);
    assert_eq!(pace.poll_timeout(), None);
    assert_eq!(allowed(&pace), 5);
}

#[test]
fn retries_have_a_budget_that_successes_and_time_fill() {
    let (mut pace, now) = (Pace::new(1), Instant::now());
    let spend = |pace: &mut Pace, now| (0..10_000).filter(|_| pace.try_retry(now)).count();
    assert_eq!(spend(&mut pace, now), 8192);
    assert_eq!(spend(&mut pace, now), 0);
    pace.handle_success(100);
    assert_eq!(spend(&mut pace, now), 10);
    assert_eq!(spend(&mut pace, now + Duration::from_secs(1)), 256);
}
