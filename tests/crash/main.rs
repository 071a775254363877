//! The crash matrix: every process of the chain, and a daemon above it, dies at
//! every point that matters, and afterwards a server's records and the daemon's own
//! list say that nothing was lost, nothing was reordered and nothing is seen twice.
//!
//! Needs the features `failpoints` and `sqlite`.

#[path = "../client/chat.rs"]
mod chat;
mod checker;
mod daemon;
mod emulator;
mod fresh;
mod kept;
mod known;
mod recorder;
mod rig;
mod routes;
#[path = "../chain/server.rs"]
mod server;
mod told;

/// What `tests/chain/server.rs` asks for.
mod falco {
    pub use crate::rig::PATIENCE;
}

use std::time::{Duration, Instant};

use crate::checker::{check_copies, check_seen};
use crate::rig::{Death, HandedOver, PATIENCE, Rig, hand_over, wait_until};

/// Points in the transport, which the supervisor starts again.
const TRANSPORT: [&str; 4] = ["RequestRead", "PublishFed", "AckRead", "AnswersWritten"];

/// Points in Falco; with it the supervisor dies, and all of the chain.
const FALCO: [&str; 5] = [
    "EffectsTaken",
    "MemoWritten",
    "RequestFed",
    "AnswerRead",
    "AcksWritten",
];

/// Points in Falco that an outbox adds.
const JOURNAL: [&str; 3] = ["JournalWritten", "JournalSynced", "DoneWritten"];

const EFFECTS: usize = 900;

const DIRECT: &str = "";
const OUTBOX: &str = "[delivery]\nmode = \"outbox\"\n[outbox]\nresume_grace = \"0s\"\n";

#[tokio::main(flavor = "current_thread")]
async fn crash(death: Death, lanes: usize, settings: &str) {
    let rig = Rig::new(settings);
    rig.up(Some(death));
    let client = rig.client();
    let mut handed = hand_over(&client, lanes, EFFECTS).await;
    survive(&rig, death, async || handed.add(&client, lanes).await).await;
    let HandedOver { sent, acks } = handed;
    for ack in acks {
        assert_eq!(ack.await, Ok(()), "{death:?}");
    }
    wait_until("all is published", || rig.is_published()).await;
    check_seen(&sent, &rig.seen(&sent));
    check_copies(&sent, &rig.published(), death.times);
}

/// How long a chain may have to do with what it has before it is given more.
const MORE_AFTER: Duration = Duration::from_secs(1);

/// Waits for a death, and brings up again what nobody else does. A chain may do
/// so much at once that it is a few turns short of its death: `more` has it do
/// another one.
async fn survive(rig: &Rig, death: Death, mut more: impl AsyncFnMut()) {
    let deadline = Instant::now() + PATIENCE;
    let mut more_at = Instant::now() + MORE_AFTER;
    while rig.deaths_left() == death.times {
        assert!(Instant::now() < deadline, "never came: {death:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
        if more_at < Instant::now() {
            more().await;
            more_at = Instant::now() + MORE_AFTER;
        }
    }
    if death.is_of_falco() {
        wait_until("the supervisor is gone", || !rig.is_up()).await;
        rig.up(None);
    }
}

fn deaths(points: &[&'static str], passes: &[u32], times: usize) -> Vec<Death> {
    let with = |point: &&'static str| {
        let point = *point;
        passes.iter().map(move |&passes| Death {
            point,
            passes,
            times,
        })
    };
    points.iter().flat_map(with).collect()
}

#[test]
fn a_transport_that_dies_anywhere_costs_one_lane_nothing() {
    for death in deaths(&TRANSPORT, &[1, 4], 2) {
        crash(death, 1, DIRECT);
    }
}

#[test]
fn a_transport_that_dies_anywhere_costs_many_lanes_nothing() {
    for death in deaths(&TRANSPORT, &[1, 4], 2) {
        crash(death, 100, DIRECT);
    }
}

#[test]
fn a_falco_that_dies_anywhere_costs_one_lane_nothing() {
    for death in deaths(&FALCO, &[1, 3], 1) {
        crash(death, 1, DIRECT);
    }
}

#[test]
fn a_transport_that_dies_anywhere_costs_an_outbox_of_one_lane_nothing() {
    for death in deaths(&TRANSPORT, &[1, 4], 2) {
        crash(death, 1, OUTBOX);
    }
}

#[test]
fn a_transport_that_dies_anywhere_costs_an_outbox_of_many_lanes_nothing() {
    for death in deaths(&TRANSPORT, &[1, 4], 2) {
        crash(death, 100, OUTBOX);
    }
}

#[test]
fn a_falco_that_dies_anywhere_costs_an_outbox_of_one_lane_nothing() {
    for death in deaths(&[&FALCO[..], &JOURNAL].concat(), &[1, 3], 1) {
        crash(death, 1, OUTBOX);
    }
}

#[test]
fn a_falco_that_dies_anywhere_costs_an_outbox_of_many_lanes_nothing() {
    for death in deaths(&[&FALCO[..], &JOURNAL].concat(), &[1, 3], 1) {
        crash(death, 100, OUTBOX);
    }
}

#[test]
fn a_falco_that_dies_anywhere_costs_many_lanes_nothing() {
    for death in deaths(&FALCO, &[1, 3], 1) {
        crash(death, 100, DIRECT);
    }
}
