//! Falco dies while it looks after what it keeps: as it begins a segment, empties
//! one, notes what an operator wants, or takes a file from the inbox.

use std::ops::Range;

use falco::client::Client;
use falco::protocol::id::EffectId;
use serde_json::Value;

use crate::checker::{Sent, check_copies, check_seen};
use crate::rig::{Death, Rig, channel, wait_until};
use crate::{OUTBOX, deaths};

const EFFECTS: u8 = 200;

/// The one that no server takes.
const REFUSED: u8 = 77;

fn id(n: u8) -> EffectId {
    EffectId::from_bytes([n; 16])
}

fn payload(n: u8) -> String {
    // More than Ably takes at once; and of a hundred, what is worth compacting.
    let length = if n == REFUSED { 70_000 } else { 1500 };
    format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(length))
}

fn effect(n: u8) -> String {
    let (channel, payload) = (channel("lane"), payload(n));
    format!(r#"{{"type":"t","session_id":"lane","channel":"{channel}","payload":{payload}}}"#)
}

async fn hand_over(client: &Client, which: Range<u8>) {
    let mut acks = Vec::new();
    for n in which {
        let ack = client.deliver_as(id(n), effect(n)).await;
        acks.push(ack.expect("a client"));
    }
    for ack in acks {
        assert_eq!(ack.await, Ok(()));
    }
}

/// All but one is published, and seen once though it went out again at a death.
fn check(rig: &Rig, deaths: usize) {
    let taken = (0..EFFECTS).filter(|n| *n != REFUSED).map(payload);
    let sent = Sent::from([("lane".to_owned(), taken.collect())]);
    check_seen(&sent, &rig.seen(&sent));
    check_copies(&sent, &rig.published(), deaths);
}

fn outbox(rig: &Rig) -> Value {
    rig.status()["ingest"]["outbox"].take()
}

/// Everything but the dead letters is published.
fn is_settled(rig: &Rig, dead: u64) -> bool {
    let outbox = outbox(rig);
    outbox["state"] == "ok" && outbox["depth"] == 0 && outbox["dead"] == dead
}

/// A chain with one dead letter, which dies where it is told as somebody gives it
/// the verb.
async fn crash(death: Death, verb: &[&str]) -> Rig {
    let rig = Rig::new(OUTBOX);
    rig.up(None);
    hand_over(&rig.client(), 0..100).await;
    wait_until("all is settled", || is_settled(&rig, 1)).await;
    rig.stop();
    rig.up(Some(death));
    // Also in the segment that is written there is something to gain.
    hand_over(&rig.client(), 100..EFFECTS).await;
    wait_until("all is settled", || is_settled(&rig, 1)).await;
    // Whoever asks may see it die.
    _ = rig.run(verb);
    let came = format!("{death:?} has come");
    wait_until(&came, || rig.deaths_left() == 0).await;
    wait_until("the supervisor is gone", || !rig.is_up()).await;
    rig.up(None);
    wait_until("it is read", || outbox(&rig)["state"] == "ok").await;
    rig
}

/// What was kept, settled and dead before is so still, and known.
async fn check_kept(rig: &Rig, dead: u64) {
    wait_until("all is settled", || is_settled(rig, dead)).await;
    assert!(rig.run(&["outbox", "verify"]).status.success());
    if dead == 0 {
        return check(rig, 0);
    }
    // Also the letter is there: its id is not taken for something new.
    hand_over(&rig.client(), 0..EFFECTS).await;
    wait_until("all is settled", || is_settled(rig, dead)).await;
    check(rig, 0);
}

const REFUSED_ID: &str = "4d4d4d4d-4d4d-4d4d-4d4d-4d4d4d4d4d4d";

/// Points on the way of what an operator wants.
const DECISIONS: [&str; 2] = ["DecisionWritten", "DecisionSynced"];

#[tokio::main(flavor = "current_thread")]
#[test]
async fn a_requeue_that_was_cut_off_happened_or_did_not() {
    for death in deaths(&DECISIONS, &[1], 1) {
        let rig = crash(death, &["outbox", "requeue", REFUSED_ID]).await;
        check_kept(&rig, 1).await;
    }
}

#[tokio::main(flavor = "current_thread")]
#[test]
async fn a_drop_that_was_cut_off_happened_or_did_not_and_stays_so() {
    for death in deaths(&DECISIONS, &[1], 1) {
        let verb = ["outbox", "drop", REFUSED_ID];
        let rig = crash(death, &verb).await;
        if outbox(&rig)["dead"] == 1 {
            assert!(rig.run(&verb).status.success());
        }
        check_kept(&rig, 0).await;
        rig.stop();
        rig.up(None);
        check_kept(&rig, 0).await;
    }
}

#[tokio::main(flavor = "current_thread")]
#[test]
async fn a_compaction_that_was_cut_off_anywhere_costs_nothing() {
    // One segment begins with the chain.
    let begun = deaths(&["SegmentBegun"], &[2], 1);
    let emptied = deaths(&["CopiesSynced", "SegmentRemoved"], &[1], 1);
    for death in begun.into_iter().chain(emptied) {
        let rig = crash(death, &["outbox", "compact"]).await;
        check_kept(&rig, 1).await;
    }
}

/// Points on the way of a file's lines.
const INBOX: [&str; 4] = [
    "InboxOffered",
    "InboxNoted",
    "JournalWritten",
    "JournalSynced",
];

#[tokio::main(flavor = "current_thread")]
#[test]
async fn a_file_of_the_inbox_is_taken_once_wherever_falco_dies() {
    for death in deaths(&INBOX, &[1], 1) {
        let rig = Rig::new(OUTBOX);
        rig.up(Some(death));
        let lines = (0..EFFECTS).filter(|n| *n != REFUSED).map(effect);
        let file: String = lines.map(|line| line + "\n").collect();
        let inbox = rig.base().join("outbox/inbox");
        wait_until("there is an inbox", || inbox.exists()).await;
        let written = rig.base().join("dropped");
        std::fs::write(&written, file).expect("writes");
        std::fs::rename(&written, inbox.join("a.jsonl")).expect("drops");
        let came = format!("{death:?} has come");
        wait_until(&came, || rig.deaths_left() == 0).await;
        wait_until("the supervisor is gone", || !rig.is_up()).await;
        rig.up(None);
        let done = inbox.join("done");
        let is_taken = || std::fs::read_dir(&done).is_ok_and(|dir| dir.count() == 1);
        wait_until("the file is taken", is_taken).await;
        wait_until("all is settled", || is_settled(&rig, 0)).await;
        check(&rig, death.times);
    }
}
