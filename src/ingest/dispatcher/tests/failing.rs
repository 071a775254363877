//! A disk that fails, hangs or is behind: what daemons and operators hear.

use nix::libc::EIO;

use super::DEADLINE;
use super::story::{DAEMON, FOR_GOOD, Story};
use super::story::{another, asked, bypassing, effect, list, number, outbox};
use crate::delivery::{Class, Peer};
use crate::journal::played::Op;
use crate::journal::{OnFailure, Sync};
use crate::protocol::outbox::OutboxVerb;

/// A dead letter the disk did not take.
fn with_unwritten_letter() -> Story {
    let mut story = Story::new(bypassing());
    story.keep(vec![effect(1)]);
    story.pass();
    story.link();
    story.fail(Op::Sync, (0, u64::MAX), EIO);
    story.answer(Some(&FOR_GOOD));
    story.pass_until(|story| !story.falco.records());
    story
}

#[test]
fn a_dead_letter_says_that_the_disk_does_not_take_it_until_it_does() {
    let mut story = with_unwritten_letter();
    let why = "publish rejected: not allowed";
    assert_eq!(story.dead(), [(1, format!("unrecorded: {why}"))]);
    story.disk.heal();
    story.pass_until(|story| story.falco.records());
    story.pass();
    assert_eq!(story.dead(), [(1, why.to_owned())]);
    let mut story = story.power_cut(1);
    assert_eq!(story.dead(), [(1, why.to_owned())]);
}

#[test]
fn dead_letters_that_fit_in_no_file_together_are_written_in_pieces_and_not_without_a_pause() {
    let mut story = Story::new(outbox(Sync::Always, OnFailure::Bypass));
    story.keep((0..200).map(|_| another()).collect());
    story.disk.set_file_max(30_000);
    story.link();
    story.answer(Some(&FOR_GOOD));
    story.pass_until(|story| story.dead().len() == 200);
    let before = story.disk.calls(Op::Write);
    for _ in 0..100 {
        story.pass();
    }
    let writes = story.disk.calls(Op::Write) - before;
    assert!(writes < 50, "{writes}");
    assert_eq!(story.killed().dead().len(), 200, "on disk");
}

#[test]
fn a_dead_letter_the_disk_never_took_is_tried_once_more_after_a_crash() {
    for dice in 0..4 {
        let mut story = with_unwritten_letter().power_cut(dice);
        // The disk may have kept it for all it said.
        if story.dead().is_empty() {
            assert_eq!(story.open(), [1]);
            story.link();
            story.deliver();
            assert_eq!(story.published, [1]);
        }
    }
}

#[test]
fn an_operator_hears_that_what_a_failing_disk_refused_may_be_found_done_after_a_restart() {
    let mut story = Story::new(bypassing());
    story.keep(vec![effect(1)]);
    story.pass();
    story.fail(Op::Sync, (0, u64::MAX), EIO);
    let answer = story.ask(asked(OutboxVerb::Drop, &[1]));
    let error = answer.error.expect("it is not on disk");
    assert!(
        error.starts_with("the journal's disk has failed"),
        "{error}"
    );
    assert!(error.contains("after a restart it may"), "{error}");
    assert_eq!((answer.changed, story.open()), (0, vec![1]));
    story.disk.heal();
    story.pass_until(|story| story.falco.records());
    let answer = story.ask(asked(OutboxVerb::Drop, &[1]));
    assert_eq!((answer.error, answer.changed), (None, 1));
    assert!(story.power_cut(0).open().is_empty());
}

#[test]
fn what_is_kept_is_listed_from_memory_while_the_disk_hangs() {
    let mut story = Story::new(bypassing());
    story.keep((1..=5).map(effect).collect());
    // From here on the journal does nothing, and its queue fills.
    let mut sent = 0_u16;
    while story.falco.has_room() {
        story.falco.submit(&story.time, DAEMON, vec![another()]);
        story.falco.advance(&story.time);
        sent += 1;
        assert!(sent < 10_000);
    }
    let listed = story.ask_now(list()).expect("at once");
    assert_eq!((listed.records.len(), listed.more), (1000, true));
    let stats = story.ask_now(asked(OutboxVerb::Stats, &[]));
    let stats = stats.expect("at once").stats.expect("the numbers");
    assert_eq!(stats.depth, 5 + u64::from(sent));
    story.pass_until(|story| story.falco.has_room());
}

#[test]
fn why_the_journal_has_failed_reaches_the_daemon_the_status_and_the_metrics() {
    let mut story = Story::new(outbox(Sync::Always, OnFailure::Exit));
    story.keep(vec![effect(1)]);
    story.fail(Op::Sync, (0, u64::MAX), EIO);
    let failure = story.offer(vec![effect(2)]).remove(0);
    let failure = failure.expect_err("no disk");
    assert_eq!(failure.class, Class::Unrecorded);
    let why = "Input/output error";
    let told = failure.to_string();
    assert!(
        told.starts_with("unrecorded: the journal has failed: "),
        "{told}"
    );
    assert!(told.contains(why), "{told}");
    let verdict = story.falco.verdict().expect("Falco ends");
    assert!(verdict.why.contains(why), "{verdict:?}");
    let status = story.falco.status(&story.time);
    let outbox = status.outbox.clone().expect("an outbox");
    assert_eq!(outbox.state, "failed");
    assert!(outbox.is_degraded() && outbox.why.expect("a reason").contains(why));
    let page = crate::protocol::metrics::text(&crate::protocol::control::Status {
        ingest: Some(status),
        ..Default::default()
    });
    assert!(
        page.contains(r#"falco_outbox_state{state="failed"} 1"#),
        "{page}"
    );
    assert!(page.contains("falco_outbox_unrecorded_total 1"), "{page}");
}

/// What goes out next, together; nobody answers it.
fn request(story: &mut Story) -> Vec<u8> {
    let mut ways = 0..story.falco.ways();
    let numbers = ways.find_map(|way| {
        let request = story.falco.request(&story.time, way)?;
        let effects = request.effects.iter();
        Some(effects.map(|effect| number(effect.id)).collect())
    });
    numbers.expect("a request")
}

#[test]
fn what_went_around_a_disk_and_may_be_published_goes_out_as_it_was_also_once_it_is_kept() {
    let mut story = Story::new(bypassing());
    story.disk.set_capacity(Some(story.disk.used()));
    story.submit(vec![effect(1), effect(2)]);
    story.pass_until(|story| !story.falco.records());
    let (batches, window) = (true, 8);
    for way in 0..story.falco.ways() {
        story.falco.link(way, Peer { batches, window });
    }
    assert_eq!(request(&mut story), [1, 2]);
    story.wait(DEADLINE);
    let given_up = story.falco.acks();
    assert!(given_up.iter().all(|(.., outcome)| outcome.is_err()));
    assert_eq!(given_up.len(), 2);

    story.disk.set_capacity(None);
    story.pass_until(|story| story.falco.records());
    story.keep((1..=3).map(effect).collect());
    assert_eq!(request(&mut story), [1, 2]);
}
