//! A transport that does what a test tells it to, written from the contract.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::falco::PATIENCE;

/// The socket, before anybody connects.
pub struct Transport {
    path: PathBuf,
    listener: Option<UnixListener>,
}

/// One connection of falco.
pub struct Peer {
    pub stream: UnixStream,
    lines: BufReader<UnixStream>,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request(pub Value);

impl Transport {
    pub fn at(path: PathBuf) -> Self {
        let listener = None;
        Self { path, listener }
    }

    /// Listens, and takes falco's connection and its greeting.
    pub fn accept(&mut self) -> Peer {
        let listener = self.listener.get_or_insert_with(|| {
            _ = std::fs::remove_file(&self.path);
            UnixListener::bind(&self.path).expect("binds")
        });
        let (stream, _) = listener.accept().expect("falco connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let lines = BufReader::new(stream.try_clone().expect("clones"));
        let mut peer = Peer { stream, lines };
        let hello = peer.read();
        assert_eq!(hello.0["op"], "hello.v1");
        peer
    }

    /// As our own transport: greets back, knows batches.
    pub fn accept_ours(&mut self) -> Peer {
        let mut peer = self.accept();
        peer.write(&json!({
            "op": "hello.ack.v1", "request_id": "hello", "ok": true,
            "features": ["publish.batch.v1", "message_id"],
        }));
        peer
    }
}

impl Peer {
    pub fn read(&mut self) -> Request {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a request");
        assert!(line.ends_with('\n'), "a whole line, not {line:?}");
        Request(serde_json::from_str(&line).expect("JSON"))
    }

    /// The next request, or `None` when falco sends none for a moment.
    pub fn read_soon(&mut self) -> Option<Request> {
        self.read_within(std::time::Duration::from_millis(100))
    }

    /// The next request, or `None` when falco sends none for so long.
    pub fn read_within(&mut self, moment: std::time::Duration) -> Option<Request> {
        self.stream.set_read_timeout(Some(moment)).expect("timeout");
        let nothing = self.lines.fill_buf().is_err();
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("timeout");
        (!nothing).then(|| self.read())
    }

    pub fn write(&mut self, line: &Value) {
        self.write_raw(format!("{line}\n").as_bytes());
    }

    pub fn write_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("falco reads");
    }

    pub fn accept(&mut self, request: &Request) {
        let request_id = &request.0["request_id"];
        self.write(&json!({"op": "publish.ack.v1", "request_id": request_id, "ok": true}));
    }

    pub fn refuse(&mut self, request: &Request, error: &str) {
        let request_id = &request.0["request_id"];
        let op = "publish.ack.v1";
        self.write(&json!({"op": op, "request_id": request_id, "ok": false, "error": error}));
    }

    /// Reads and accepts until `messages` have come; returns their payloads.
    pub fn accept_messages(&mut self, messages: usize) -> Vec<Vec<u8>> {
        let mut payloads = Vec::new();
        while payloads.len() < messages {
            let request = self.read();
            self.accept(&request);
            payloads.extend(request.payloads());
        }
        payloads
    }
}

impl Request {
    /// The payloads it carries, decoded.
    pub fn payloads(&self) -> Vec<Vec<u8>> {
        let decode = |message: &Value| {
            let text = message["payload_b64"].as_str().expect("payload_b64");
            STANDARD.decode(text).expect("base64 with padding")
        };
        match self.0["messages"].as_array() {
            Some(messages) => messages.iter().map(decode).collect(),
            None => vec![decode(&self.0)],
        }
    }

    /// The only payload, as text.
    pub fn payload(&self) -> String {
        let [payload] = &self.payloads()[..] else {
            panic!("not one payload: {self:?}");
        };
        String::from_utf8(payload.clone()).expect("UTF-8")
    }

    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().expect("a string")
    }
}
