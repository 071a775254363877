//! What survives, and what whoever sends it again is told.

use nix::libc::EIO;
use tokio::sync::oneshot::error::TryRecvError::Empty;

use super::super::played::{Plan, Played, Time};
use super::story::{
    DAEMON, FOR_GOOD, Story, another, asked, bypassing, effect, list, number, outbox,
};
use crate::clock::BootTime;
use crate::ingest::MemoPlace;
use crate::ingest::memo::Memo;
use crate::journal::played::{Lying, Op, Played as Writer};
use crate::journal::{OnFailure, Sync};
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::IdempotencyKey;
use crate::protocol::lane::{LaneRequest, LaneVerb, ParkedLane};
use crate::protocol::outbox::OutboxVerb;

fn with_key(number: u8, route: Option<&str>, channel: &str) -> SideEffect {
    SideEffect {
        route: route.map(Into::into),
        key: IdempotencyKey::Given("the same".into()),
        operation: Operation::Publish {
            channel: channel.into(),
            event: "e".into(),
            payload: bytes::Bytes::from_static(b"1").into(),
        },
        ..effect(number)
    }
}

#[test]
fn one_key_on_several_routes_and_channels_is_as_many_messages_also_after_a_crash() {
    let all = || {
        vec![
            with_key(1, None, "c"),
            with_key(2, None, "d"),
            with_key(3, Some("other"), "c"),
            with_key(4, Some("other"), "d"),
        ]
    };
    for before in [0, 2, 4] {
        let mut story = Story::new(outbox(Sync::Always, OnFailure::Exit));
        story.keep(all().into_iter().take(before).collect());
        let mut story = story.power_cut(1);
        // Their daemon has not heard of some, and sends all again.
        story.keep(all());
        story.link();
        story.deliver();
        story.published.sort_unstable();
        assert_eq!(story.published, [1, 2, 3, 4], "{before} before the crash");
        story.keep(all());
        story.deliver();
        assert_eq!(story.published.len(), 4, "they are known");
    }
}

#[test]
fn what_was_acked_outlives_a_sync_that_fails_twice_and_nothing_overtakes_it() {
    for dice in 0..8 {
        let mut story = Story::new(bypassing());
        story.keep(vec![effect(1), effect(2)]);
        // Of the segment, and of the one that should take its place.
        story.fail(Op::Sync, (0, 2), EIO);
        story.pass_until(|story| !story.falco.records());
        let refused = story.offer(vec![effect(3)]).remove(0);
        let refused = refused.expect_err("it would overtake them");
        assert!(refused.to_string().starts_with("unrecorded: "), "{refused}");
        assert_eq!(story.open(), [1, 2]);
        story.pass_until(|story| story.falco.records());
        story.keep(vec![effect(3)]);
        story.pass();
        let mut story = story.power_cut(dice);
        assert_eq!(story.open(), [1, 2, 3]);
        story.link();
        story.deliver();
        assert_eq!(story.published, [1, 2, 3]);
    }
}

#[test]
fn whoever_asks_how_a_large_outbox_is_while_it_is_taken_over_is_told_at_once() {
    let config = bypassing();
    let (disk, time) = (Lying::default(), Time::new());
    let (mut writer, journal, recovered) =
        Writer::open(&disk, &config, time.now()).expect("an empty disk");
    let mut falco = Played::begin(&time, (journal, recovered), &config, &Plan::default(), true);
    falco.open(DAEMON);
    let many = (0..5000).map(|_| another());
    falco.submit(&time, DAEMON, many.collect());
    falco.advance(&time);
    writer.turn(time.now());
    falco.hear(&time);
    drop((falco, writer));

    let disk = Lying::holding(&disk.files());
    let (_writer, journal, recovered) = Writer::open(&disk, &config, time.now()).expect("it opens");
    let mut falco = Played::opened(&time, (journal, recovered), &config, &Plan::default(), true);
    let mut listed = falco.ask(&time, list());
    let mut slices = 0;
    loop {
        let mut stats = falco.ask(&time, asked(OutboxVerb::Stats, &[]));
        let stats = stats.try_recv().expect("at once").stats.expect("numbers");
        if stats.state != "recovering" {
            break;
        }
        assert!(!falco.has_room(), "nothing is taken before");
        assert!(stats.recovering.is_some() && stats.depth <= slices * 200);
        assert!(listed.try_recv().is_err());
        falco.restore(&time);
        slices += 1;
    }
    assert_eq!(slices, 25);
    assert!(falco.has_room());
    assert_eq!(listed.try_recv().expect("now").records.len(), 1000);
}

#[test]
fn whoever_asks_for_parked_lanes_before_the_outbox_was_read_waits_for_them() {
    let mut story = Story::parking(outbox(Sync::Always, OnFailure::Exit));
    story.keep(vec![effect(1), effect(2)]);
    story.link();
    story.answer(Some(&FOR_GOOD));
    story.pass();
    let mut story = story.killed_and_unread();
    let asked = |verb| LaneRequest {
        verb,
        all: true,
        limit: 10,
        ..LaneRequest::default()
    };
    let [mut listed, left, mut resumed] = [LaneVerb::List, LaneVerb::Discard, LaneVerb::Resume]
        .map(|verb| story.falco.ask_lanes(&story.time, asked(verb)));
    drop(left);
    let told = (listed.try_recv(), resumed.try_recv());
    assert!(matches!(told, (Err(Empty), Err(Empty))), "{told:?}");

    story.falco.restore_all(&story.time);
    let listed = listed.try_recv().expect("now").lanes;
    let waits = |lane: &ParkedLane| (lane.effect_id.parse().map(number).ok(), lane.waiting);
    assert_eq!(listed.iter().map(waits).collect::<Vec<_>>(), [(Some(1), 1)]);
    story.link();
    story.deliver();
    assert_eq!(story.published, [2], "it was resumed");
    assert_eq!(story.dead().len(), 1, "who left drops nothing");
}

pub(super) fn memo(dir: &tempfile::TempDir) -> MemoPlace {
    MemoPlace {
        file_bytes_max: 64 * 1024,
        ..MemoPlace::new(dir.path().to_owned(), "boot".to_owned())
    }
}

/// The same id, and other bytes.
fn other(number: u8) -> SideEffect {
    SideEffect {
        operation: Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: bytes::Bytes::from_static(b"{\"other\":1}").into(),
        },
        ..effect(number)
    }
}

#[test]
fn an_id_means_one_thing_after_a_kill_before_the_journal_knew_that_it_is_published() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut story = Story::new(bypassing()).killed_with(memo(&dir));
    story.keep(vec![effect(1)]);
    story.link();
    story.answer(None);
    assert_eq!(story.published, [1]);
    let mut story = story.killed();
    assert!(story.is_conflict(other(1)));
    story.keep(vec![effect(1)]);
    story.link();
    story.deliver();
    assert!(story.is_conflict(other(1)));
    assert!(story.published.is_empty(), "it is known");
}

/// As a program left it that noted no more of an outbox.
#[test]
fn an_id_that_is_kept_means_one_thing_though_a_memo_knows_it_as_published_by_its_id_alone() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut story = Story::new(bypassing());
    story.keep(vec![effect(1)]);
    story.link();
    let (mut noted, _) = Memo::open(&memo(&dir), BootTime::now());
    let mut requests = 0;
    for way in 0..story.falco.ways() {
        if let Some(request) = story.falco.request(&story.time, way) {
            noted.handle_sent(way, &request, BootTime::now());
            noted.handle_accepted(way, request.id, BootTime::now());
            requests += 1;
        }
    }
    noted.flush();
    assert_eq!(requests, 1);
    let mut story = story.killed_with(memo(&dir));
    assert!(story.is_conflict(other(1)));
    story.keep(vec![effect(1)]);
    story.link();
    story.deliver();
    assert_eq!(story.published, [1], "with the id that Ably knows");
    assert!(story.is_conflict(other(1)));
}
