//! Starting, stopping, and lines that are no requests.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Instant;

use serde_json::json;

use crate::client::publish;
use crate::rig::{PATIENCE, Rig, Setup};

#[test]
fn a_stop_answers_open_requests_says_goodbye_and_leaves_no_socket() {
    // It takes no longer than it has to.
    let mut rig = Rig::start_with(Setup {
        env: vec![("DAEMON_ABLY_SHUTDOWN_TIMEOUT", "600".to_owned())],
        ..Setup::default()
    });
    let mut watcher = rig.client();
    watcher.subscribe("presence:u-1");
    let mut client = rig.client();
    for n in 0..200 {
        client.send(&publish("c", &n.to_string(), b"x"));
    }
    assert_eq!(client.ask(json!({"op": "hello.v1"}))["ok"], true);
    let start = Instant::now();
    rig.transport.terminate();
    for _ in 0..200 {
        assert_eq!(client.answer()["ok"], true);
    }
    let status = rig.transport.wait();
    assert!(status.success(), "{status}");
    assert!(start.elapsed() < PATIENCE);
    assert!(!rig.socket().exists());
    let log = rig.transport.log();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[test]
fn a_stop_takes_no_longer_than_told_when_ably_is_gone() {
    let mut rig = Rig::start();
    rig.await_state("connected");
    rig.kill_emulator();
    let mut client = rig.client();
    let mut request = publish("c", "1", b"x");
    request["timeout_ms"] = json!(600_000);
    client.send(&request);
    // Its answer says that the request before it has been read.
    assert_eq!(client.ask(json!({"op": "hello.v1"}))["ok"], true);
    let start = Instant::now();
    rig.transport.terminate();
    assert_eq!(client.answer()["ok"], false);
    assert!(rig.transport.wait().success());
    // Two seconds, and what a busy machine adds.
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn heartbeats_say_online_at_once_and_again() {
    let rig = Rig::start_with(Setup {
        env: vec![("DAEMON_ABLY_HEARTBEAT_INTERVAL", "1".to_owned())],
        ..Setup::default()
    });
    let mut watcher = rig.client();
    assert_eq!(watcher.subscribe("presence:u-1")["ok"], true);
    let message = watcher.message();
    assert_eq!(message["event"], "daemon.presence.v1");
    let payload: serde_json::Value =
        serde_json::from_slice(&crate::client::payload(&message)).expect("JSON");
    assert_eq!(
        (&payload["status"], &payload["user_id"]),
        (&json!("online"), &json!("u-1"))
    );
}

#[test]
fn a_second_transport_on_one_socket_is_refused_and_disturbs_nothing() {
    use std::os::unix::process::CommandExt;

    let rig = Rig::start();
    let output = Command::new(env!("CARGO_BIN_EXE_falco"))
        .arg0("daemon-ably")
        .args(["--device-id", "d", "--user-id", "u"])
        .env("UNBOUND_ABLY_SOCKET", rig.socket())
        .env("UNBOUND_ABLY_BROKER_TOKEN_FALCO", "f")
        .env("UNBOUND_ABLY_BROKER_TOKEN_NAGATO", "n")
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.status.signal(), None);
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use"));
    assert_eq!(rig.client().ask(json!({"op": "hello.v1"}))["ok"], true);
}

#[test]
fn garbage_costs_its_sender_nothing_but_a_line_and_others_nothing_at_all() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send_raw(b"garbage\n\n\r\n\xff\xfe\n[1,2]\n{\"op\":\"x\"}\n");
    assert_eq!(client.ask(json!({"op": "hello.v1"}))["ok"], true);

    let mut flood = rig.client();
    let long = vec![b'x'; 3 * 1024 * 1024];
    std::thread::spawn(move || {
        flood.send_raw(&long[..1024 * 1024]);
        _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| flood.send_raw(&long)));
        assert!(flood.has_ended());
    });
    assert_eq!(client.ask(json!({"op": "hello.v1"}))["ok"], true);
}

#[test]
fn a_line_without_its_end_is_a_request_when_the_client_half_closes() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.send_raw(publish("c", "last", b"x").to_string().as_bytes());
    client.half_close();
    let answer = client.answer();
    assert_eq!(
        (&answer["request_id"], &answer["ok"]),
        (&json!("last"), &json!(true))
    );
    assert!(client.has_ended());
}
