//! A transport that does what a test tells it to, written from the contract.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::chain::PATIENCE;

/// Where falco looks for one.
pub struct Transport {
    path: PathBuf,
    listener: Option<UnixListener>,
}

/// One connection of falco.
pub struct Peer {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Transport {
    pub fn at(path: PathBuf) -> Self {
        let listener = None;
        Self { path, listener }
    }

    /// Listens, takes falco's connection, greets back and knows batches.
    pub fn accept(&mut self) -> Peer {
        let listener = self.listener.get_or_insert_with(|| {
            _ = std::fs::remove_file(&self.path);
            UnixListener::bind(&self.path).expect("binds")
        });
        let (stream, _) = listener.accept().expect("falco connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let lines = BufReader::new(stream.try_clone().expect("clones"));
        let mut peer = Peer { stream, lines };
        assert_eq!(peer.read()["op"], "hello.v1");
        peer.write(&json!({
            "op": "hello.ack.v1", "request_id": "hello", "ok": true,
            "features": ["publish.batch.v1", "message_id"],
        }));
        peer
    }
}

impl Peer {
    pub fn read(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a request");
        assert!(line.ends_with('\n'), "a whole line, not {line:?}");
        serde_json::from_str(&line).expect("JSON")
    }

    fn write(&mut self, line: &Value) {
        let line = format!("{line}\n");
        self.stream.write_all(line.as_bytes()).expect("falco reads");
    }

    pub fn accept(&mut self, request: &Value) {
        let id = &request["request_id"];
        self.write(&json!({"op": "publish.ack.v1", "request_id": id, "ok": true}));
    }

    /// Refuses with Ably's `code`.
    pub fn refuse(&mut self, request: &Value, code: u32, retryable: bool) {
        let id = &request["request_id"];
        self.write(&json!({
            "op": "publish.ack.v1", "request_id": id, "ok": false,
            "error": "no", "code": code, "retryable": retryable,
        }));
    }

    /// Accepts until so many messages have come; returns their payloads.
    pub fn accept_messages(&mut self, count: usize) -> Vec<String> {
        let mut all = Vec::new();
        while all.len() < count {
            let request = self.read();
            all.extend(payloads(&request));
            self.accept(&request);
        }
        all
    }
}

/// The payloads a request carries.
pub fn payloads(request: &Value) -> Vec<String> {
    messages(request).map(|m| text(&m["payload_b64"])).collect()
}

/// The keys by which copies of them are recognised.
pub fn keys(request: &Value) -> Vec<String> {
    let key = |m: &Value| m["idempotency_key"].as_str().expect("a key").to_owned();
    messages(request).map(key).collect()
}

fn messages(request: &Value) -> impl Iterator<Item = &Value> {
    let one = std::slice::from_ref(request);
    let many = request["messages"].as_array().map(Vec::as_slice);
    many.unwrap_or(one).iter()
}

fn text(base64: &Value) -> String {
    let bytes = STANDARD.decode(base64.as_str().expect("base64"));
    String::from_utf8(bytes.expect("base64")).expect("UTF-8")
}

/// `0..count` as payloads.
pub fn numbers(count: u32) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}
