//! A transport that does what a test tells it to.

#[path = "../peers/transport.rs"]
mod played;

use std::io::{BufRead, Write};

use serde_json::{Value, json};

use crate::falco::PATIENCE;
use played::{messages, payload};

pub use played::{Peer, Transport};

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request(pub Value);

impl Transport {
    /// As a transport that knows nothing of what we added.
    pub fn accept(&mut self) -> Peer {
        self.meet()
    }

    /// As our own.
    pub fn accept_ours(&mut self) -> Peer {
        self.meet_as_ours()
    }
}

impl Peer {
    pub fn read(&mut self) -> Request {
        Request(self.line())
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

    pub fn write_raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("falco reads");
    }

    pub fn accept(&mut self, request: &Request) {
        self.confirm(&request.0);
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
        messages(&self.0).iter().map(payload).collect()
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
