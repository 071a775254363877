//! The far end of falco, written from the contract: what every test that plays
//! a transport needs. What it does is up to the test.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// The socket, before anybody connects.
pub struct Transport {
    path: PathBuf,
    listener: Option<UnixListener>,
}

/// One connection of falco.
pub struct Peer {
    pub stream: UnixStream,
    pub lines: BufReader<UnixStream>,
}

impl Transport {
    pub fn at(path: PathBuf) -> Self {
        let listener = None;
        Self { path, listener }
    }

    /// Listens, and takes falco's connection and its greeting. A falco that ended
    /// before it was met may have left a connection; that is none.
    pub fn meet(&mut self) -> Peer {
        let listener = self.listener.get_or_insert_with(|| {
            _ = std::fs::remove_file(&self.path);
            UnixListener::bind(&self.path).expect("binds")
        });
        let mut peer = loop {
            let (stream, _) = listener.accept().expect("falco connects");
            stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
            if !is_left(&stream) {
                let lines = BufReader::new(stream.try_clone().expect("clones"));
                break Peer { stream, lines };
            }
        };
        assert_eq!(peer.line()["op"], "hello.v1");
        peer
    }

    /// As our own transport: greets back, knows batches.
    pub fn meet_as_ours(&mut self) -> Peer {
        let mut peer = self.meet();
        peer.write(&json!({
            "op": "hello.ack.v1", "request_id": "hello", "ok": true,
            "features": ["publish.batch.v1", "message_id"],
        }));
        peer
    }
}

impl Peer {
    /// The next request.
    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a request");
        assert!(line.ends_with('\n'), "a whole line, not {line:?}");
        serde_json::from_str(&line).expect("JSON")
    }

    pub fn write(&mut self, line: &Value) {
        let line = format!("{line}\n");
        self.stream.write_all(line.as_bytes()).expect("falco reads");
    }

    /// Says that it was published.
    pub fn confirm(&mut self, request: &Value) {
        let id = &request["request_id"];
        self.write(&json!({"op": "publish.ack.v1", "request_id": id, "ok": true}));
    }
}

/// Whether nobody is at the other end any more.
fn is_left(stream: &UnixStream) -> bool {
    let mut stream = [PollFd::new(stream.as_fd(), PollFlags::POLLIN)];
    poll(&mut stream, PollTimeout::ZERO).expect("polls");
    let seen = stream[0].revents();
    seen.is_some_and(|seen| seen.contains(PollFlags::POLLHUP))
}

/// The messages a request carries; one that is no batch is its only one.
pub fn messages(request: &Value) -> &[Value] {
    let many = request["messages"].as_array().map(Vec::as_slice);
    many.unwrap_or(std::slice::from_ref(request))
}

/// The payload of a message.
pub fn payload(message: &Value) -> Vec<u8> {
    let text = message["payload_b64"].as_str().expect("payload_b64");
    STANDARD.decode(text).expect("base64 with padding")
}
