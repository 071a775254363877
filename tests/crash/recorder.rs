//! What really went to the server: a TCP proxy in front of it that writes down
//! every message published through it, copies that the server drops included.
//! Knows websocket frames and JSON, and nothing of ours.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// `MESSAGE` of Ably's protocol.
const ACTION_MESSAGE: u64 = 15;

/// A message as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    pub channel: String,
    /// What a subscriber tells copies by.
    pub key: Option<String>,
    pub payload: String,
}

/// A proxy in front of a server.
pub struct Recorder {
    pub address: SocketAddr,
    published: Arc<Mutex<Vec<Publish>>>,
}

impl Recorder {
    /// Listens in front of `server` until the test process ends.
    pub fn before(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let published = Arc::<Mutex<Vec<Publish>>>::default();
        let records = Arc::clone(&published);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else {
                    continue;
                };
                carry(client, server, &records);
            }
        });
        Self { address, published }
    }

    /// Everything published so far, in order.
    pub fn published(&self) -> Vec<Publish> {
        self.published.lock().expect("whole").clone()
    }
}

fn carry(client: TcpStream, server: TcpStream, records: &Arc<Mutex<Vec<Publish>>>) {
    let (mut from_client, mut to_client) = (client.try_clone().expect("a clone"), client);
    let (mut from_server, mut to_server) = (server.try_clone().expect("a clone"), server);
    let records = Arc::clone(records);
    thread::spawn(move || {
        let mut frames = Frames::default();
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut bytes) {
            // Written down before the server can answer it.
            for publish in frames.read(&bytes[..read]) {
                records.lock().expect("whole").push(publish);
            }
            if to_server.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        _ = to_server.shutdown(Shutdown::Both);
    });
    thread::spawn(move || {
        _ = std::io::copy(&mut from_server, &mut to_client);
        _ = to_client.shutdown(Shutdown::Both);
    });
}

/// The frames of a websocket's client half.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    is_open: bool,
    text: Vec<u8>,
}

impl Frames {
    fn read(&mut self, bytes: &[u8]) -> Vec<Publish> {
        self.bytes.extend_from_slice(bytes);
        if !self.is_open {
            let end = self.bytes.windows(4).position(|four| four == b"\r\n\r\n");
            let Some(end) = end else { return Vec::new() };
            self.bytes.drain(..end + 4);
            self.is_open = true;
        }
        let mut published = Vec::new();
        while let Some((is_last, payload)) = self.frame() {
            self.text.extend(payload);
            if is_last {
                published.extend(messages(&self.text));
                self.text.clear();
            }
        }
        published
    }

    /// The next whole frame, unmasked.
    fn frame(&mut self) -> Option<(bool, Vec<u8>)> {
        let [first, second, rest @ ..] = &self.bytes[..] else {
            return None;
        };
        let (length, at) = match second & 0x7f {
            126 => (
                usize::from(u16::from_be_bytes(rest.get(..2)?.try_into().ok()?)),
                4,
            ),
            127 => {
                let length = u64::from_be_bytes(rest.get(..8)?.try_into().ok()?);
                (usize::try_from(length).ok()?, 10)
            }
            length => (usize::from(length), 2),
        };
        let mask: [u8; 4] = self.bytes.get(at..at + 4)?.try_into().ok()?;
        let masked = self.bytes.get(at + 4..at + 4 + length)?;
        let payload = masked.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m);
        let frame = (first & 0x80 != 0, payload.collect());
        self.bytes.drain(..at + 4 + length);
        Some(frame)
    }
}

fn messages(text: &[u8]) -> Vec<Publish> {
    let Ok(protocol) = serde_json::from_slice::<Value>(text) else {
        return Vec::new();
    };
    if protocol["action"] != ACTION_MESSAGE {
        return Vec::new();
    }
    let channel = protocol["channel"].as_str().expect("a channel");
    let messages = protocol["messages"].as_array().expect("messages");
    let publish = |message: &Value| Publish {
        channel: channel.to_owned(),
        key: message["extras"]["headers"]["idempotency-key"]
            .as_str()
            .map(str::to_owned),
        payload: payload(message),
    };
    messages.iter().map(publish).collect()
}

fn payload(message: &Value) -> String {
    let data = message["data"].as_str().expect("data");
    let bytes = STANDARD.decode(data).expect("base64");
    String::from_utf8(bytes).expect("UTF-8")
}
