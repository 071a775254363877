//! A transport that does what a test tells it to.

#[path = "../peers/transport.rs"]
mod played;

use serde_json::{Value, json};

use played::{messages, payload};

pub use played::{Peer, Transport};

use crate::daemon::{Daemon, effect};

impl Transport {
    /// As our own.
    pub fn accept(&mut self) -> Peer {
        self.meet_as_ours()
    }
}

impl Peer {
    pub fn read(&mut self) -> Value {
        self.line()
    }

    pub fn accept(&mut self, request: &Value) {
        self.confirm(request);
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

/// Has the first effect refused for good; its session and the route are called
/// as always.
pub fn refuse_first(daemon: &mut Daemon, transport: &mut Transport) -> Peer {
    daemon.publish(1, &effect("test", "s", 1));
    let mut peer = transport.accept();
    let refused = peer.read();
    peer.refuse(&refused, 40_160, false);
    peer
}

/// The payloads a request carries.
pub fn payloads(request: &Value) -> Vec<String> {
    let text = |message| String::from_utf8(payload(message)).expect("UTF-8");
    messages(request).iter().map(text).collect()
}

/// The keys by which copies of them are recognised.
pub fn keys(request: &Value) -> Vec<String> {
    let key = |m: &Value| m["idempotency_key"].as_str().expect("a key").to_owned();
    messages(request).iter().map(key).collect()
}

/// `0..count` as payloads.
pub fn numbers(count: u32) -> Vec<String> {
    (0..count).map(|n| n.to_string()).collect()
}
