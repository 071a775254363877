//! A large outbox: reading it takes its time, and everybody is told.

use std::process::Stdio;

use falco::journal::{Config, Effect, Entry, Journal, Sync};
use falco::protocol::envelope::Operation;
use falco::protocol::id::{EffectId, IdempotencyKey, LaneKey};

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::uuid;
use crate::leaving::ask_to_drop;

/// So many that an unoptimised build reads for a second or more.
const COUNT: u32 = 200_000;

fn effect(n: u32) -> Entry {
    let id = match n {
        0 => uuid(0).parse().expect("an id"),
        _ => EffectId::random(),
    };
    Entry::Effect(Effect {
        id,
        lane: LaneKey::new(format!("{}", n % 100)),
        route: Some("test".into()),
        key: IdempotencyKey::Uuid(id.as_uuid()),
        fingerprint: 0,
        arrived_ms: 1,
        operation: Operation::Publish {
            channel: "c".into(),
            event: "t".into(),
            payload: bytes::Bytes::from(n.to_string()).into(),
        },
    })
}

/// Leaves an outbox such as a long outage does.
fn fill(chain: &Chain) {
    let config = Config::with_sync(Sync::INTERVAL);
    let (journal, _) = Journal::open(&chain.base().join("outbox"), &config).expect("opens");
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.expect("a runtime").block_on(async {
        for from in (0..COUNT).step_by(4000) {
            let entries = (from..from + 4000).map(effect).collect();
            let receipt = journal.append(entries).await.expect("it is open");
            receipt.await.expect("is recorded");
        }
        journal.close().await.expect("closes");
    });
}

#[test]
fn a_chain_with_a_large_outbox_is_starting_until_it_is_read_and_says_how_far_it_is() {
    let chain = Chain::new(OUTBOX);
    fill(&chain);
    let mut up = chain.command(&["up"]);
    let up = up.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let up = up.expect("runs");
    let recovers = || {
        let status = chain.json(&["status", "--json"]).pop();
        let recovering = status.map(|status| {
            let records = &status["ingest"]["outbox"]["recovering"]["records"];
            status["state"] == "starting" && Some(0) < records.as_u64()
        });
        recovering == Some(true)
    };
    eventually("it says how far it is", recovers);
    let asks = ask_to_drop(&chain, 0);
    let waits = recovers();
    drop(asks);
    let (code, text) = chain.run(&["status"]);
    let told = text.contains("outbox    recovering · ") && text.contains(" records read, ");
    assert!(code == 1 && told, "{code} {text}");
    let up = up.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&up.stderr);
    assert!(up.status.success(), "{said}");
    assert!(said.contains("reads its outbox: "), "{said}");
    let kept = chain.outbox()["depth"].clone();
    // Who left while it was read has asked for nothing.
    assert!(kept == COUNT || !waits, "as soon as it is up: {kept}");
}
