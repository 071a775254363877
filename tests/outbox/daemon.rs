//! A daemon, written from the contract and not from our own code.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::chain::PATIENCE;

pub struct Daemon {
    stream: UnixStream,
}

/// The id with this number, as it goes on the wire.
pub fn id(n: u32) -> [u8; 16] {
    let mut id = [0xee; 16];
    id[..4].copy_from_slice(&n.to_be_bytes());
    id
}

/// The same as text.
pub fn uuid(n: u32) -> String {
    format!("{n:08x}-eeee-eeee-eeee-eeeeeeeeeeee")
}

/// An effect of lane `lane` with the number as its payload.
pub fn effect(route: &str, lane: &str, n: u32) -> String {
    format!(
        r#"{{"type":"t","route":"{route}","session_id":"{lane}","channel":"{lane}","payload":{n}}}"#
    )
}

impl Daemon {
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("falco accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        Self { stream }
    }

    pub fn send(&mut self, n: u32, json: &str) {
        let len = u32::try_from(json.len()).expect("small");
        let mut frame = Vec::new();
        frame.extend((24 + len).to_le_bytes());
        frame.extend([0x03, 0, 0, 0]);
        frame.extend(id(n));
        frame.extend(len.to_le_bytes());
        frame.extend(json.as_bytes());
        self.stream.write_all(&frame).expect("falco reads");
    }

    /// The next ack's id, and its error if it is no success.
    pub fn read(&mut self) -> ([u8; 16], Option<String>) {
        let mut header = [0; 28];
        self.stream.read_exact(&mut header).expect("an ack");
        let len = u32::from_le_bytes(header[24..28].try_into().expect("4"));
        let mut error = vec![0; len as usize];
        self.stream.read_exact(&mut error).expect("its text");
        let error = String::from_utf8(error).expect("UTF-8");
        let id = header[8..24].try_into().expect("16");
        (id, (header[5] != 0x01).then_some(error))
    }

    pub fn expect_success(&mut self, n: u32) {
        assert_eq!(self.read(), (id(n), None));
    }

    pub fn expect_failed(&mut self, n: u32, text: &str) {
        let (acked, error) = self.read();
        let error = error.expect("FAILED");
        assert_eq!(acked, id(n), "{error}");
        assert!(error.contains(text), "{error}");
    }

    /// Sends an effect and has it acked.
    pub fn publish(&mut self, n: u32, json: &str) {
        self.send(n, json);
        self.expect_success(n);
    }
}
