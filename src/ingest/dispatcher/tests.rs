use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::played::{Played, Time};
use crate::delivery::{Class, Peer};
use crate::journal::played::{Lying, Played as Writer};
use crate::journal::{self, OnFailure, Sync};
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

const DAEMON: u64 = 1;

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
            payload: Bytes::from_static(b"{}"),
        },
        bytes: 100,
        is_ordered: false,
    }
}

/// An outbox that may be gone around, and no transport.
struct Story {
    disk: Lying,
    writer: Writer,
    time: Time,
    now: Duration,
    falco: Played,
}

impl Story {
    fn new() -> Self {
        let config = journal::Config {
            on_failure: OnFailure::Bypass,
            low_water_bytes: 0,
            low_water_percent: 0,
            reserve_bytes: 0,
            ..journal::Config::with_sync(Sync::INTERVAL)
        };
        let (disk, time) = (Lying::default(), Time::new());
        let opened = Writer::open(&disk, &config, time.now());
        let (writer, journal, recovered) = opened.expect("an empty disk");
        let mut falco = Played::new(&time, journal, &config, recovered, &[]);
        falco.open(DAEMON);
        Self {
            disk,
            writer,
            time,
            now: Duration::ZERO,
            falco,
        }
    }

    /// A while passes, in which the journal works.
    fn pass(&mut self) {
        self.now += Duration::from_millis(500);
        self.time.advance_to(self.now);
        self.writer.turn(self.time.now());
        self.falco.hear(&self.time);
    }

    /// The transport accepts what goes out, if anything does.
    fn accept(&mut self) -> bool {
        for way in 0..self.falco.ways() {
            let request = self.falco.request(&self.time, way);
            if let Some(id) = request.map(|request| request.id) {
                self.falco.answer(&self.time, (way, id), None);
                return true;
            }
        }
        false
    }

    fn pass_until(&mut self, mut is_so: impl FnMut(&mut Self) -> bool) {
        for _ in 0..1000 {
            if is_so(self) {
                return;
            }
            self.pass();
        }
        panic!("it never came");
    }
}

#[test]
fn nothing_is_kept_behind_what_fails_because_falco_stops() {
    let mut story = Story::new();
    story.disk.set_capacity(Some(story.disk.used()));
    let first = vec![effect(1)];
    story.falco.submit(&story.time, DAEMON, first);
    story.falco.advance(&story.time);
    story.pass_until(|story| !story.falco.records());
    story.disk.set_capacity(None);
    story.pass_until(|story| story.falco.records());
    assert!(story.falco.acks().is_empty(), "it waits on the direct way");

    story.falco.stop(&story.time, DAEMON, vec![effect(2)]);

    let mut acks = Vec::new();
    story.pass_until(|story| {
        acks.append(&mut story.falco.acks());
        acks.len() == 2
    });
    for (_, id, outcome) in acks {
        let class = outcome.expect_err("the first is not published").class;
        assert_eq!(class, Class::ShuttingDown, "{id}");
    }
}

#[test]
fn what_was_kept_for_long_is_known_for_a_quarter_of_an_hour_after_it_is_published() {
    let mut story = Story::new();
    story
        .falco
        .submit(&story.time, DAEMON, vec![effect(1), effect(2)]);
    story.falco.advance(&story.time);
    story.pass_until(|story| story.falco.acks().len() == 2);
    story.now += Duration::from_secs(20 * 60);
    story.pass();

    let (batches, window) = (false, 8);
    for way in 0..story.falco.ways() {
        story.falco.link(way, Peer { batches, window });
    }
    story.pass_until(|story| !story.accept() && story.falco.is_drained());
    story.now += Duration::from_secs(14 * 60);
    story.pass();
    let again = vec![effect(1), effect(2)];
    story.falco.submit(&story.time, DAEMON, again);
    story.falco.advance(&story.time);

    story.pass_until(|story| story.falco.acks().len() == 2);
    assert!(story.falco.is_drained(), "it is published, and not again");
}
