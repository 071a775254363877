//! Dead letters whose acceptance comes in the end.

use std::time::Duration;

use super::crash::memo;
use super::story::{FOR_GOOD, Story, another, asked, bypassing, effect, number, outbox};
use crate::delivery::{Refusal, RequestId};
use crate::journal::{OnFailure, Sync};
use crate::protocol::outbox::OutboxVerb;

/// Longer than the answer to a request is waited for, and the pause after that.
const SILENCE: Duration = Duration::from_secs(7);

/// A request that is on its way.
struct Sent {
    way: usize,
    id: RequestId,
    effects: Vec<u8>,
}

impl Story {
    /// The next request goes out, as soon as there is one.
    fn send_next(&mut self) -> Sent {
        let mut sent = None;
        self.pass_until(|story| {
            for way in 0..story.falco.ways() {
                let request = story.falco.request(&story.time, way);
                sent = request.map(|request| Sent {
                    way,
                    id: request.id,
                    effects: request.effects.iter().map(|e| number(e.id)).collect(),
                });
                if sent.is_some() {
                    return true;
                }
            }
            false
        });
        sent.expect("it goes out")
    }

    fn accept(&mut self, sent: Sent) {
        let Sent { way, id, effects } = sent;
        self.published.extend(effects);
        self.falco.answer(&self.time, (way, id), None);
    }

    fn refuse(&mut self, sent: &Sent, refusal: &Refusal<'_>) {
        let to = (sent.way, sent.id);
        self.falco.answer(&self.time, to, Some(refusal));
    }
}

fn strict() -> Story {
    Story::new(outbox(Sync::Always, OnFailure::Exit))
}

/// The first effect is a dead letter, and what it may have been published by was
/// not answered yet: that is returned.
fn with_dead_letter(story: &mut Story) -> Sent {
    with_dead_letter_before(story, 2)
}

/// The same with all up to `last` behind it.
fn with_dead_letter_before(story: &mut Story, last: u8) -> Sent {
    story.keep((1..=last).map(effect).collect());
    story.link();
    let silent = story.send_next();
    story.wait(SILENCE);
    let refused = story.send_next();
    story.refuse(&refused, &FOR_GOOD);
    story.pass_until(|story| story.dead().len() == 1);
    silent
}

#[test]
fn a_dead_letter_that_is_accepted_late_is_published_and_no_dead_letter_any_more() {
    for is_killed in [false, true] {
        let mut story = strict();
        let silent = with_dead_letter(&mut story);
        story.accept(silent);
        assert_eq!(story.dead(), []);
        story.deliver();
        assert_eq!(story.published, [1, 2]);
        if is_killed {
            (0..5).for_each(|_| story.pass());
            story = story.killed();
            story.link();
        }
        assert_eq!(story.dead(), []);
        story.keep(vec![effect(1)]);
        story.deliver();
        let published: &[u8] = if is_killed { &[] } else { &[1, 2] };
        assert_eq!(story.published, published, "that was a copy");
    }
}

#[test]
fn what_is_accepted_late_is_no_dead_letter_after_a_kill_before_the_journal_knew() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut story = strict().killed_with(memo(&dir));
    let silent = with_dead_letter(&mut story);
    // It is one on the disk, too.
    (0..5).for_each(|_| story.pass());
    story.accept(silent);
    let mut story = story.killed();
    assert_eq!(story.dead(), []);
    story.link();
    story.deliver();
    assert!(!story.published.contains(&1), "that was a copy");
}

#[test]
fn a_lane_that_waits_for_a_dead_letter_goes_on_when_that_is_accepted_late() {
    let mut story = Story::parking(outbox(Sync::Always, OnFailure::Exit));
    let silent = with_dead_letter(&mut story);
    story.deliver();
    assert_eq!(story.published, [0u8; 0]);
    assert_eq!(story.falco.status(&story.time).parked, 1);
    story.accept(silent);
    assert_eq!(story.falco.status(&story.time).parked, 0);
    story.deliver();
    assert_eq!(story.published, [1, 2]);
}

#[test]
fn what_was_requeued_by_then_is_published_no_second_time() {
    let mut story = strict();
    let silent = with_dead_letter(&mut story);
    story.ask(asked(OutboxVerb::Requeue, &[1]));
    // It is read from the disk.
    (0..5).for_each(|_| story.pass());
    story.accept(silent);
    assert_eq!(story.dead(), []);
    story.deliver();
    assert_eq!(story.published, [1, 2]);
}

#[test]
fn what_was_dropped_by_then_stays_dropped() {
    let mut story = strict();
    let silent = with_dead_letter(&mut story);
    story.ask(asked(OutboxVerb::Drop, &[1]));
    story.accept(silent);
    story.deliver();
    assert_eq!(story.dead(), []);
    assert_eq!(story.published, [1, 2]);
}

/// What an operator wants of the first effect is on its way to the disk, and so many
/// times the journal has worked since.
fn wanted(story: &mut Story, verb: OutboxVerb, passes: usize) {
    let told = story.ask_now(asked(verb, &[1]));
    assert!(told.is_none(), "it waits for the disk");
    (0..passes).for_each(|_| story.pass());
}

#[test]
fn what_is_being_requeued_is_published_no_second_time() {
    for (passes, is_killed) in cases() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut story = strict().killed_with(memo(&dir));
        let silent = with_dead_letter(&mut story);
        wanted(&mut story, OutboxVerb::Requeue, passes);
        story.accept(silent);
        let published: &[u8] = if is_killed { &[2] } else { &[1, 2] };
        if is_killed {
            story = story.killed();
            story.link();
        }
        story.deliver();
        assert_eq!(story.dead(), []);
        assert_eq!(story.published, published, "{passes}");
        story.keep(vec![effect(1)]);
        story.deliver();
        assert_eq!(story.published, published, "{passes}, sent again");
    }
}

/// How far a requeue has come, and whether Falco is killed then.
fn cases() -> impl Iterator<Item = (usize, bool)> {
    (0..6).flat_map(|passes| [(passes, false), (passes, true)])
}

#[test]
fn what_was_to_be_requeued_is_published_also_if_the_disk_does_not_take_the_wish() {
    for verb in [OutboxVerb::Requeue, OutboxVerb::Drop] {
        let mut story = Story::new(bypassing());
        let silent = with_dead_letter(&mut story);
        (0..5).for_each(|_| story.pass());
        story.disk.set_capacity(Some(story.disk.used()));
        let mut told = story.falco.ask(&story.time, asked(verb, &[1]));
        story.accept(silent);
        let mut answer = None;
        story.pass_until(|_| {
            answer = told.try_recv().ok();
            answer.is_some()
        });
        let answer = answer.expect("one");
        assert!(answer.error.is_some(), "{answer:?}");
        assert_eq!(story.dead(), []);
        story.disk.set_capacity(None);
        let again = story.ask_now(asked(OutboxVerb::Requeue, &[1]));
        assert_eq!(again.expect("at once").changed, 0);
        story.deliver();
        assert_eq!(story.published, [1, 2]);
    }
}

#[test]
fn what_comes_behind_a_letter_that_is_accepted_while_it_is_read_keeps_its_order() {
    for passes in 0..6 {
        let mut story = Story::parking(outbox(Sync::Always, OnFailure::Exit));
        let silent = with_dead_letter_before(&mut story, 4);
        wanted(&mut story, OutboxVerb::Requeue, passes);
        story.accept(silent);
        story.deliver();
        assert_eq!(story.published, [1, 2, 3, 4], "{passes}");
        assert!(story.open().is_empty());
    }
}

/// Two effects went around the disk together and were given up; of them the first has
/// come again and is kept, held back for the second: the server knows only both. What
/// was not answered yet is returned.
fn with_half_of_a_batch(story: &mut Story) -> Sent {
    story.disk.set_capacity(Some(story.disk.used()));
    story.offer(vec![another()]);
    story.link_with_batches();
    story.submit(vec![effect(1), effect(2)]);
    let silent = story.send_next();
    assert_eq!(silent.effects, [1, 2]);
    for _ in 0..2 {
        story.wait(SILENCE);
        story.send_next();
    }
    let mut acks = Vec::new();
    story.pass_until(|story| {
        acks.append(&mut story.falco.acks());
        acks.len() == 2
    });
    assert!(acks.iter().all(|ack| ack.2.is_err()), "{acks:?}");
    story.disk.set_capacity(None);
    story.pass_until(|story| story.falco.records());
    story.keep(vec![effect(1)]);
    assert_eq!(story.open(), [1]);
    silent
}

#[test]
fn what_is_held_back_for_the_rest_is_published_no_second_time() {
    let mut story = Story::new(bypassing());
    let silent = with_half_of_a_batch(&mut story);
    story.accept(silent);
    assert_eq!(story.open(), [0; 0]);
    story.keep(vec![effect(2), effect(1)]);
    story.deliver();
    assert_eq!(story.published, [1, 2]);
}

#[test]
fn what_is_held_back_goes_out_with_the_rest_if_that_is_on_its_way_to_the_disk() {
    let mut story = Story::new(bypassing());
    let silent = with_half_of_a_batch(&mut story);
    story.submit(vec![effect(2)]);
    story.accept(silent);
    let again = story.send_next();
    assert_eq!(again.effects, [1, 2], "the server knows these");
    story.accept(again);
    assert_eq!(story.open(), [0; 0]);
}

#[test]
fn a_dead_letter_is_accepted_late_also_while_what_it_went_out_with_comes_again() {
    let mut story = Story::new(bypassing());
    let silent = with_half_of_a_batch(&mut story);
    let refused = story.send_next();
    assert_eq!(refused.effects, [1]);
    story.refuse(&refused, &FOR_GOOD);
    story.pass_until(|story| story.dead().len() == 1);
    story.submit(vec![effect(2)]);
    story.accept(silent);
    assert_eq!(story.dead(), []);
}
