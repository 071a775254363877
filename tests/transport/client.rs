//! A client of `ably.sock`.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::rig::PATIENCE;

pub struct Client {
    reader: BufReader<UnixStream>,
    writer: UnixStream,
    /// Lines that came while another kind was waited for.
    early: VecDeque<Value>,
    asked: u64,
}

impl Client {
    pub fn connect(socket: &Path) -> Self {
        let writer = UnixStream::connect(socket).expect("connects");
        writer.set_read_timeout(Some(PATIENCE)).expect("sets");
        let reader = BufReader::new(writer.try_clone().expect("clones"));
        Self {
            reader,
            writer,
            early: VecDeque::new(),
            asked: 0,
        }
    }

    pub fn send(&mut self, request: &Value) {
        self.send_raw(format!("{request}\n").as_bytes());
    }

    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).expect("writes");
    }

    /// The next line of any kind.
    pub fn line(&mut self) -> Value {
        let mut line = String::new();
        let read = self.reader.read_line(&mut line).expect("a line in time");
        assert!(read > 0, "the transport hung up");
        serde_json::from_str(&line).expect("JSON")
    }

    /// Sends `request` with an id of its own and waits for its answer.
    pub fn ask(&mut self, mut request: Value) -> Value {
        self.asked += 1;
        let id = format!("ask-{}", self.asked);
        request["request_id"] = json!(id);
        self.send(&request);
        self.wait_for(|line| line["request_id"] == json!(id))
    }

    /// The next answer, whoever asked.
    pub fn answer(&mut self) -> Value {
        self.wait_for(|line| line["request_id"].is_string())
    }

    /// The next `message.v1`.
    pub fn message(&mut self) -> Value {
        self.wait_for(|line| line["op"] == "message.v1")
    }

    fn wait_for(&mut self, is_meant: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.early.iter().position(&is_meant) {
            return self.early.remove(at).expect("found");
        }
        loop {
            let line = self.line();
            if is_meant(&line) {
                return line;
            }
            self.early.push_back(line);
        }
    }

    pub fn subscribe(&mut self, channel: &str) -> Value {
        self.ask(json!({"op": "subscribe.v1", "channel": channel, "subscription_id": channel}))
    }

    /// Whether nothing comes for a while.
    pub fn is_silent(&mut self, while_: Duration) -> bool {
        self.writer.set_read_timeout(Some(while_)).expect("sets");
        let silent = self.reader.fill_buf().is_err();
        self.writer.set_read_timeout(Some(PATIENCE)).expect("sets");
        silent && self.early.is_empty()
    }

    pub fn half_close(&self) {
        self.writer
            .shutdown(std::net::Shutdown::Write)
            .expect("half-closes");
    }

    /// Whether the transport has hung up.
    pub fn has_ended(&mut self) -> bool {
        matches!(self.reader.fill_buf(), Ok([]))
            || self
                .reader
                .fill_buf()
                .is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset)
    }
}

pub fn publish(channel: &str, id: &str, payload: &[u8]) -> Value {
    json!({
        "op": "publish.v1", "request_id": id, "message_id": id, "channel": channel,
        "event": "e", "payload_b64": BASE64.encode(payload),
    })
}

pub fn payload(message: &Value) -> Vec<u8> {
    let text = message["payload_b64"].as_str().expect("text");
    BASE64.decode(text).expect("base64")
}
