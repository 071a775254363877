//! A journal written without this crate.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use bytes::Bytes;
use falco::journal::{Config, DeadLetter, Journal, Live, State};
use falco::protocol::envelope::Operation;
use falco::protocol::id::IdempotencyKey;

use crate::path_of;

const SEGMENT: &str = "seg-0000000000000001.jsonl";

fn id(i: u128) -> falco::protocol::id::EffectId {
    uuid::Uuid::from_u128(0x0000_0000_0000_4000_8000_0000_0000_0000 | i).into()
}

/// The lane, key, route and fingerprint of what was recovered.
fn facts(live: &Live) -> (&str, String, Option<&str>, u64) {
    let key = live.key.to_string();
    (
        live.lane.as_str(),
        key,
        live.route.as_deref(),
        live.fingerprint,
    )
}

#[tokio::test]
async fn a_journal_of_another_hand_is_read_to_the_byte() {
    let base = tempfile::tempdir().expect("a directory");
    let directory = base.path().join("outbox");
    fs::create_dir(&directory).expect("made");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("ours");
    let golden = fs::read(path_of("journal").join(SEGMENT)).expect("the vector");
    fs::write(directory.join(SEGMENT), &golden).expect("written");

    let config = Config {
        dedupe_horizon: std::time::Duration::from_secs(1 << 40),
        ..Config::default()
    };
    let (journal, recovered) = Journal::open(&directory, &config).expect("it opens");
    assert_eq!(recovered.report.damage, []);
    assert!(recovered.report.clean);
    assert_eq!(
        (recovered.report.records, recovered.report.last_seq),
        (13, 13)
    );
    assert_eq!(recovered.report.durable_seq, 12);
    let done: Vec<_> = recovered.done.iter().map(|done| done.settled.id).collect();
    assert_eq!(done, [id(4), id(5), id(6)]);
    assert_eq!(&*recovered.notes[0].text, "seen 12");

    let live = &recovered.live;
    assert_eq!(
        live.iter().map(|live| live.n).collect::<Vec<_>>(),
        [3, 4, 5]
    );
    assert_eq!(facts(&live[0]), ("s1", id(1).to_string(), None, 255));
    let key = "11111111-2222-4333-8444-555555555555".to_owned();
    assert_eq!(facts(&live[1]), ("s1", key, Some("second"), 0));
    assert_eq!(live[2].key, IdempotencyKey::Given("given".into()));
    assert_eq!(live[2].lane.as_str(), "a \"lane\"");
    assert_eq!(
        (&live[0].state, &live[2].state),
        (&State::Open, &State::Open)
    );
    let letter = DeadLetter {
        class: "rejected".into(),
        code: Some(40_160),
        error: "not \"allowed\"".into(),
        attempts: 3,
        at_ms: 1_800_000_000_006,
    };
    assert_eq!(live[1].state, State::Dead(letter.into()));

    let stored = journal.read(vec![id(1), id(2), id(3)]).await.expect("open");
    let operations: Vec<Operation> = stored
        .into_iter()
        .map(|stored| stored.expect("read").expect("live").effect.operation)
        .collect();
    let published = |event: &str, payload: &'static [u8]| Operation::Publish {
        channel: "session:s1:conversation".into(),
        event: event.into(),
        payload: Bytes::from_static(payload).into(),
    };
    assert_eq!(
        operations,
        [
            published(
                "conversation.message.v1",
                br#"{"text": "hi \u2713", "n": 1.50}"#
            ),
            published("message.v1", b"{\n }"),
            Operation::ObjectSet {
                channel: "session:s1:status".into(),
                key: "state".into(),
                value: Bytes::from_static(b"[true]").into(),
            },
        ]
    );
    // What was read is never written again.
    assert_eq!(fs::read(directory.join(SEGMENT)).expect("read"), golden);
}
