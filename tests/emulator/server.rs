//! The process: its port, its key, its end.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::client::{Emulator, command};

async fn get(emulator: &Emulator, path: &str) -> String {
    let mut socket = TcpStream::connect(&emulator.address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_stop_is_said_to_every_client() {
    let mut emulator = Emulator::start(&[]);
    let mut client = emulator.connect("").await;
    client.attach(json!({"channel": "c"})).await;
    let stopped = tokio::task::spawn_blocking(move || emulator.stop());
    let error = client.expect(6).await["error"].clone();
    assert_eq!(
        (&error["code"], &error["statusCode"]),
        (&json!(80003), &json!(400))
    );
    assert_eq!(client.next().await, None);
    assert_eq!(stopped.await.unwrap(), Some(0));
}

#[tokio::test]
async fn the_time_and_the_health_need_no_credentials_and_all_else_does() {
    let emulator = Emulator::start(&[]);
    assert!(get(&emulator, "/time").await.starts_with("HTTP/1.1 200"));
    assert!(get(&emulator, "/healthz").await.starts_with("HTTP/1.1 200"));
    for path in [
        "/channels/c",
        "/channels/c/messages",
        "/channels/c/presence",
        "/channels/c/object",
    ] {
        let answer = get(&emulator, path).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(answer.contains("x-ably-errorcode: 40101"), "{answer}");
    }
    assert!(get(&emulator, "/nothing").await.starts_with("HTTP/1.1 404"));
}

#[test]
fn only_its_owner_can_read_the_key() {
    let emulator = Emulator::start(&[]);
    let mode = emulator.key_file().metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn it_serves_no_other_machine() {
    let dir = tempfile::tempdir().unwrap();
    let refused = command(dir.path())
        .args(["--listen", "0.0.0.0:0"])
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert!(!refused.status.success());
    assert!(String::from_utf8_lossy(&refused.stderr).contains("no loopback address"));
}

#[tokio::test]
async fn a_stranger_is_refused_before_the_body_is_read() {
    let emulator = Emulator::start(&[]);
    let mut socket = TcpStream::connect(&emulator.address).await.unwrap();
    let head = "POST /channels/c/messages HTTP/1.1\r\nHost: x\r\nContent-Length: 400000\r\n\r\n";
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = socket.read_exact(&mut answer);
    let read = tokio::time::timeout(crate::client::PATIENCE, read);
    read.await.expect("an answer without the body").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}
