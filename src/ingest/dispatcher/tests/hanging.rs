//! A disk that does not answer.

use std::time::Duration;

use bytes::Bytes;
use nix::libc::EIO;
use uuid::Uuid;

use super::story::{DAEMON, Story, another, bypassing, effect, number, outbox};
use super::{DEADLINE, answered_after};
use crate::delivery::{Class, Outcome};
use crate::journal::played::Op;
use crate::journal::{OnFailure, Sync};
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{IdempotencyKey, LaneKey};

/// A Falco whose disk hangs, with these on it, after their daemon was told.
fn hung(mut story: Story, effects: &[u8]) -> Story {
    story.hangs = true;
    for n in effects {
        story.submit(vec![keyed(*n)]);
    }
    let mut acks = Vec::new();
    story.pass_until(|story| {
        acks.append(&mut story.falco.acks());
        acks.len() == effects.len()
    });
    let told: Vec<u8> = acks.iter().map(|(_, id, _)| number(*id)).collect();
    assert_eq!(told, effects, "in their order");
    for (_, _, outcome) in &acks {
        expect_unrecorded(outcome);
        let text = outcome.as_ref().map_err(|failure| &*failure.text);
        let text = text.expect_err("it is none that is kept");
        let says = |part| text.contains(part);
        assert!(
            says("has not answered since") && says("may be kept all the same"),
            "{text}"
        );
    }
    story
}

/// Known by more than its id.
fn keyed(n: u8) -> SideEffect {
    SideEffect {
        key: IdempotencyKey::Uuid(Uuid::from_bytes([100 + n; 16])),
        ..effect(n)
    }
}

fn strict() -> Story {
    Story::new(outbox(Sync::Always, OnFailure::Exit))
}

fn expect_unrecorded(outcome: &Outcome) {
    let failure = outcome
        .as_ref()
        .expect_err("nobody knows whether it is kept");
    assert_eq!(failure.class, Class::Unrecorded, "{failure}");
}

#[test]
fn a_disk_that_hangs_keeps_nobody_waiting_for_longer_than_a_transport_may() {
    let mut story = strict();
    story.hangs = true;
    let took = answered_after(&mut story, |story| story.submit(vec![effect(1)]));
    assert_eq!(took, DEADLINE);
    let again = story.offer(vec![effect(2)]).remove(0);
    expect_unrecorded(&again);
}

#[test]
fn a_disk_that_hangs_is_told_of_until_it_answers() {
    let mut story = strict();
    story.hangs = true;
    story.submit(vec![effect(1)]);
    story.wait(Duration::from_secs(5));
    let status = |story: &mut Story| {
        let outbox = story.falco.status(&story.time).outbox;
        let outbox = outbox.expect("there is one");
        (outbox.state, outbox.why)
    };
    let (state, why) = status(&mut story);
    let why = why.unwrap_or_default();
    assert_eq!(state, "degraded");
    assert!(why.starts_with("its disk has not answered since "), "{why}");
    story.hangs = false;
    story.pass();
    assert_eq!(status(&mut story), ("ok".to_owned(), None));
}

#[test]
fn what_a_disk_took_in_the_end_is_published_in_its_order_and_acked_when_it_comes_again() {
    let mut story = hung(strict(), &[1, 2]);
    let copy = SideEffect {
        id: another().id,
        ..keyed(1)
    };
    for again in [keyed(1), copy.clone(), keyed(2), keyed(3)] {
        expect_unrecorded(&story.offer(vec![again]).remove(0));
    }
    story.hangs = false;
    story.pass();
    story.link();
    story.keep(vec![keyed(1), copy, keyed(2), keyed(3)]);
    story.deliver();
    assert_eq!(story.published, [1, 2, 3]);
    story.keep(vec![keyed(1), keyed(2), keyed(3)]);
    story.deliver();
    assert_eq!(story.published, [1, 2, 3], "each once");
}

#[test]
fn what_a_disk_refused_in_the_end_goes_nowhere_before_it_comes_again() {
    let mut story = hung(Story::new(bypassing()), &[1, 2]);
    story.fail(Op::Write, (0, 4), EIO);
    story.hangs = false;
    story.link();
    story.deliver();
    assert_eq!(story.published, [0u8; 0]);
    let outcomes = story.offer_and_deliver(vec![keyed(1), keyed(2)]);
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(story.published, [1, 2]);
}

#[test]
fn lanes_of_which_a_disk_that_hangs_has_nothing_go_around_it_where_that_is_allowed() {
    let mut story = hung(Story::new(bypassing()), &[1]);
    story.link();
    let mut other = effect(2);
    other.lane = LaneKey::new("other");
    let outcomes = story.offer_and_deliver(vec![other, keyed(3)]);
    assert!(outcomes[0].is_ok(), "{outcomes:?}");
    expect_unrecorded(&outcomes[1]);
    assert_eq!(story.published, [2]);
}

#[test]
fn what_the_journal_was_not_given_yet_is_known_not_to_be_kept() {
    let mut story = strict();
    story.hangs = true;
    let large = |n: u8| {
        let mut large = effect(n);
        let Operation::Publish { payload, .. } = &mut large.operation else {
            unreachable!("it is one");
        };
        *payload = Bytes::from(vec![b'1'; 4_000_000]).into();
        large
    };
    for n in 1..=12 {
        story.submit(vec![large(n)]);
    }
    let mut acks = Vec::new();
    story.pass_until(|story| {
        acks.append(&mut story.falco.acks());
        acks.len() == 12
    });
    for (_, _, outcome) in &acks {
        expect_unrecorded(outcome);
    }
    story.hangs = false;
    story.link();
    story.deliver();
    story.keep((1..=12).map(large).collect());
    story.deliver();
    // What the disk has by then is published first, and is in order too.
    let all: Vec<u8> = (1..=12).collect();
    assert_eq!(story.published, all);
}

#[test]
fn a_stop_answers_also_what_a_disk_holds_up() {
    let mut story = strict();
    story.hangs = true;
    story.submit(vec![effect(1)]);
    story.pass();
    story.falco.stop(&story.time, vec![(DAEMON, effect(2))]);
    story.pass_until(|story| story.falco.is_done());
    let acks = story.falco.acks();
    let told: Vec<_> = acks.iter().map(|(_, id, _)| number(*id)).collect();
    assert_eq!(told, [1, 2]);
    for (_, _, outcome) in acks {
        let failure = outcome.expect_err("it is none that is kept");
        assert_eq!(failure.class, Class::ShuttingDown, "{failure}");
    }
}

#[test]
fn a_stop_answers_also_what_a_journal_refuses_that_fails_just_then() {
    let mut story = Story::new(outbox(Sync::Always, OnFailure::Exit));
    story.submit(vec![effect(1)]);
    story.falco.stop(&story.time, vec![]);
    story.fail(Op::Sync, (0, u64::MAX), EIO);
    story.work();
    assert!(!story.falco.is_done(), "nobody has heard what became of it");
    story.falco.hear(&story.time);
    assert!(story.falco.is_done());
    let acks = story.falco.acks();
    assert!(matches!(&acks[..], [(_, _, Err(_))]), "{acks:?}");
}

#[test]
fn a_stop_gives_a_disk_that_hangs_no_more_time() {
    let mut story = strict();
    story.hangs = true;
    let answer_by = story.time.now().0 + DEADLINE;
    story.submit(vec![effect(1)]);
    story.wait(DEADLINE * 9 / 10);
    story.falco.stop(&story.time, vec![]);
    assert_eq!(story.falco.due(), Some(answer_by));
    let mut acks = Vec::new();
    story.pass_until(|story| {
        acks.append(&mut story.falco.acks());
        !acks.is_empty()
    });
    let outcomes: Vec<_> = acks.into_iter().map(|ack| ack.2).collect();
    assert_eq!(outcomes.len(), 1);
    expect_unrecorded(&outcomes[0]);
}

#[test]
fn one_that_came_late_to_the_disk_does_not_say_that_it_hangs() {
    let mut story = strict();
    let read = story.time.now().0;
    story.hangs = true;
    story.wait(2 * DEADLINE);
    let late = vec![effect(1)];
    story.falco.submit_late(&story.time, DAEMON, late, read);
    story.falco.advance(&story.time);
    story.pass();
    assert_eq!(story.falco.acks(), []);
    story.hangs = false;
    story.pass_until(|story| story.falco.acks().iter().any(|ack| ack.2.is_ok()));
}

#[test]
fn what_becomes_of_others_keeps_nobody_without_an_answer() {
    let mut story = strict();
    story.keep(vec![effect(50)]);
    story.hangs = true;
    // The journal's queue holds as many, each by itself.
    for _ in 0..8192 {
        story.submit(vec![another()]);
    }
    story.link();
    story.answer(None);
    story.pass_until(|story| story.falco.acks().len() == 8192);
    assert!(story.falco.has_room(), "what comes is refused");
}

#[test]
fn what_a_disk_has_answered_is_heard_before_it_is_said_to_hang() {
    let mut story = strict();
    for n in 1..=3 {
        story.submit(vec![effect(n)]);
    }
    story.work();
    // The process was stopped, and its timer is looked at first.
    story.wait(DEADLINE);
    let acks = story.falco.acks();
    assert_eq!(acks.len(), 3);
    assert!(acks.iter().all(|ack| ack.2.is_ok()), "{acks:?}");
}

#[test]
fn while_falco_itself_is_stopped_its_disk_does_not_hang() {
    let mut story = strict();
    story.submit(vec![effect(1)]);
    story.wait(2 * DEADLINE);
    let acks = story.falco.acks();
    assert!(matches!(acks[..], [(_, _, Ok(()))]), "{acks:?}");
}

#[test]
fn a_disk_that_hangs_after_a_stop_of_the_process_is_told_of_a_moment_later() {
    let mut story = strict();
    story.hangs = true;
    story.submit(vec![effect(1)]);
    story.wait(2 * DEADLINE);
    let took = answered_after(&mut story, |_| {});
    assert_eq!(took, Duration::from_secs(5));
}
