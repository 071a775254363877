//! What an outbox is not opened with, or does not take, and how it is set up.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::chain::{Chain, OUTBOX};
use crate::daemon::effect;
use crate::transport::numbers;

/// A chain that was up once, and the segment in which it keeps an effect.
fn stopped() -> (Chain, PathBuf) {
    let chain = Chain::up(OUTBOX);
    chain.daemon().publish(0, &effect("test", "s", 0));
    chain.stop();
    let files = fs::read_dir(chain.base().join("outbox")).expect("lists");
    let files = files.map(|file| file.expect("a file").path());
    let segments = files.filter(|path| path.extension().is_some_and(|e| e == "jsonl"));
    let newest = segments.max().expect("a segment");
    (chain, newest)
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

/// Adds the next record as a later version would write it.
fn write_newer(segment: &Path) {
    let text = fs::read_to_string(segment).expect("reads");
    let header: Value = serde_json::from_str(text.lines().next().expect("a header")).expect("JSON");
    let number =
        |value: &Value| u64::from_str_radix(value.as_str().expect("hex"), 16).expect("hex");
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    let next = number(&last["q"]) + 1;
    let line = format!(
        r#"{{"v":2,"q":"{next:016x}","k":"Z","id":"00000000-0000-0000-0000-000000000000","t":1"#
    );
    let crc = crc32c::crc32c(&number(&header["salt"]).to_le_bytes());
    let crc = crc32c::crc32c_append(crc, line.as_bytes());
    let mut file = OpenOptions::new()
        .append(true)
        .open(segment)
        .expect("opens");
    let line = format!("{line},\"c\":\"{crc:08x}\"}}\n");
    file.write_all(line.as_bytes()).expect("writes");
}

#[test]
fn an_outbox_of_a_later_version_fails_the_start_for_good_as_wrong_configuration() {
    let (chain, segment) = stopped();
    write_newer(&segment);
    let before = fs::read(&segment).expect("reads");
    let (code, said) = chain.run(&["up"]);
    assert_eq!(code, 78, "{said}");
    assert!(said.contains("a newer falco wrote it"), "{said}");
    assert!(said.contains("(attempt 1)"), "{said}");
    assert_eq!(fs::read(&segment).expect("reads"), before);
}

#[test]
fn an_outbox_that_others_may_enter_fails_the_start_as_not_allowed() {
    let (chain, segment) = stopped();
    set_mode(segment.parent().expect("outbox"), 0o755);
    let (code, said) = chain.run(&["up"]);
    assert_eq!(code, 77, "{said}");
    assert!(said.contains("chmod 700"), "{said}");
}

#[test]
fn a_segment_that_others_may_read_is_closed_to_them_at_the_start() {
    let (chain, segment) = stopped();
    set_mode(&segment, 0o644);
    chain.start();
    let mode = fs::metadata(&segment).map(|meta| meta.permissions().mode() & 0o777);
    assert_eq!(mode.ok(), Some(0o600));
}

#[test]
fn an_outbox_that_keeps_as_many_effects_as_it_may_refuses_more_and_never_goes_around() {
    for sync in ["always", "interval"] {
        let few = format!("[outbox]\nmax_effects = 1000\nsync = \"{sync}\"");
        let chain = Chain::up(&OUTBOX.replace("[outbox]", &few));
        let mut daemon = chain.daemon();
        for n in 0..1000 {
            daemon.publish(n, &effect("test", "s", n));
        }
        // Other lanes have nothing kept before them, and do not go around it.
        for (n, lane) in [(5000, "s"), (5001, "other")] {
            daemon.send(n, &effect("test", lane, n));
            daemon.expect_failed(n, "unrecorded: the outbox is full");
        }
        let outbox = chain.outbox();
        assert_eq!(
            (&outbox["state"], &outbox["unrecorded"]),
            (&"full".into(), &2.into())
        );
        let mut peer = chain.transport("test").accept();
        assert_eq!(peer.accept_messages(1000), numbers(1000));
        crate::chain::eventually("there is room", || chain.outbox()["depth"] == 0);
        daemon.publish(5002, &effect("test", "s", 5002));
        assert_eq!(peer.accept_messages(1), ["5002"]);
    }
}

#[test]
fn events_that_carry_their_identity_are_known_by_it_under_any_effect_id() {
    let identified = "[delivery]\nidentified_events = [\"note.v1\"]";
    let chain = Chain::up(&OUTBOX.replace("[delivery]", identified));
    let mut daemon = chain.daemon();
    let mut peer = chain.transport("test").accept();
    let note = |event: &str, at: u32| {
        format!(
            r#"{{"type":"{event}","route":"test","channel":"c","payload":{{"message_id":"m","sequence_number":1,"at":{at}}}}}"#
        )
    };
    daemon.publish(1, &note("note.v1", 1));
    daemon.publish(2, &note("note.v1", 2));
    daemon.publish(3, &note("other.v1", 3));
    daemon.publish(4, &note("other.v1", 4));
    let at = |text: &String| serde_json::from_str::<Value>(text).expect("JSON")["at"].clone();
    let came: Vec<_> = peer.accept_messages(3).iter().map(at).collect();
    assert_eq!(came, [1, 3, 4].map(Value::from));
}
