//! `falco emit` against a real Falco.

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::falco::{Falco, PATIENCE};

fn emit(falco: &Falco, args: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_falco"))
        .arg("emit")
        .args(args)
        .env_clear()
        .env("FALCO_SOCKET", falco.socket())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("emit starts");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(input.as_bytes()).expect("emit reads");
    drop(stdin);
    child.wait_with_output().expect("emit ends")
}

fn lines(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(str::to_owned).collect()
}

#[test]
fn flags_send_one_effect_and_print_its_ack() {
    let falco = Falco::start();
    let mut transport = falco.transport();
    let peer = std::thread::spawn(move || {
        let mut peer = transport.accept_ours();
        let request = peer.read();
        peer.accept(&request);
        request
    });
    let output = emit(
        &falco,
        &["--event", "e", "--channel", "c", "--payload", "{ }"],
        "",
    );
    let request = peer.join().expect("peer");
    assert_eq!(request.payload(), "{ }");
    assert_eq!(output.status.code(), Some(0));
    let id = request.text("idempotency_key");
    assert_eq!(lines(&output), [format!("SUCCESS {id}")]);
}

#[test]
fn what_an_editor_puts_before_the_first_line_is_no_part_of_it() {
    let falco = Falco::start();
    let mut transport = falco.transport();
    let peer = std::thread::spawn(move || transport.accept_ours().accept_messages(1));
    let output = emit(&falco, &[], "\u{feff}{\"type\":\"t\",\"payload\":1}\n");
    assert_eq!(output.status.code(), Some(0), "{:?}", lines(&output));
    assert_eq!(peer.join().expect("peer"), [b"1"]);
}

#[test]
fn lines_are_sent_as_they_stand_and_acked_in_order() {
    let falco = Falco::start();
    let mut transport = falco.transport();
    let peer = std::thread::spawn(move || transport.accept_ours().accept_messages(3000));
    let effect = |n| {
        format!(
            "{{\"type\":\"t\",\"session_id\":\"{}\",\"payload\":{n}}}\n",
            n % 7
        )
    };
    let input: String = (0..3000).map(effect).collect();
    let output = emit(&falco, &[], &format!("\n{input}\r\n"));
    assert_eq!(output.status.code(), Some(0));
    let acks = lines(&output);
    assert_eq!(acks.len(), 3000);
    assert!(acks.iter().all(|ack| ack.starts_with("SUCCESS ")));
    assert_eq!(peer.join().expect("peer").len(), 3000);
}

#[test]
fn one_failure_makes_the_exit_code_and_the_rest_is_sent() {
    let falco = Falco::start();
    let mut transport = falco.transport();
    let peer = std::thread::spawn(move || transport.accept_ours().accept_messages(1));
    let output = emit(&falco, &["--json"], "{}\n{\"type\":\"t\"}\n");
    assert_eq!(output.status.code(), Some(1));
    let acks = lines(&output);
    assert!(acks[0].contains("\"status\":\"FAILED\""), "{acks:?}");
    assert!(acks[0].contains("rejected: missing event name"), "{acks:?}");
    assert!(acks[1].contains("\"status\":\"SUCCESS\""), "{acks:?}");
    peer.join().expect("peer");
}

#[test]
fn without_falco_emit_says_so_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let started = Instant::now();
    let output = Command::new(env!("CARGO_BIN_EXE_falco"))
        .args(["emit", "--event", "e", "--timeout", "600", "--base-dir"])
        .arg(dir.path())
        .output()
        .expect("runs");
    assert_eq!(output.status.code(), Some(3));
    assert!(started.elapsed() < PATIENCE);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("there is no socket"), "{error}");
    assert!(error.contains("falco up"), "{error}");
}

#[test]
fn a_deadline_ends_the_wait_for_an_ack() {
    let falco = Falco::start();
    let output = emit(&falco, &["--event", "e", "--timeout", "1"], "");
    assert_eq!(output.status.code(), Some(75));
    assert!(lines(&output)[0].contains("no ack came in time"));
}

#[test]
fn nonsense_is_a_usage_error() {
    let falco = Falco::start();
    for args in [&["--payload", "not json"][..], &["--nonsense"]] {
        assert_eq!(emit(&falco, args, "").status.code(), Some(2), "{args:?}");
    }
}
