//! A daemon, written from the contract and not from our own code.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::falco::PATIENCE;

/// An ack as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    pub id: [u8; 16],
    pub ok: bool,
    pub error: String,
}

pub struct Daemon {
    pub stream: UnixStream,
}

/// The id with this number.
pub fn id(n: u32) -> [u8; 16] {
    let mut id = [0xee; 16];
    id[..4].copy_from_slice(&n.to_le_bytes());
    id
}

/// A SideEffect frame.
pub fn frame(id: [u8; 16], json: &[u8]) -> Vec<u8> {
    let len = u32::try_from(json.len()).expect("small");
    let mut frame = Vec::new();
    frame.extend((24 + len).to_le_bytes());
    frame.extend([0x03, 0, 0, 0]);
    frame.extend(id);
    frame.extend(len.to_le_bytes());
    frame.extend(json);
    frame
}

/// Frames 0..n, each publishing its number on `channel`.
pub fn frames(n: u32, channel: &str) -> Vec<u8> {
    let json = |n| format!(r#"{{"type":"t","channel":"{channel}","payload":{n}}}"#);
    (0..n)
        .flat_map(|n| frame(id(n), json(n).as_bytes()))
        .collect()
}

impl Daemon {
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("falco accepts");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        Self { stream }
    }

    /// The same connection, to read it on another thread.
    pub fn other_half(&self) -> Self {
        let stream = self.stream.try_clone().expect("clones");
        Self { stream }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("falco reads");
    }

    pub fn send(&mut self, n: u32, json: &str) {
        self.write(&frame(id(n), json.as_bytes()));
    }

    pub fn read(&mut self) -> Ack {
        let mut header = [0; 28];
        self.stream.read_exact(&mut header).expect("an ack");
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4"));
        assert_eq!(header[4], 0x04, "a PublishAck");
        assert_eq!(header[6..8], [0, 0], "reserved is 0");
        assert_eq!(number(0), number(24) + 24, "lengths agree");
        let mut error = vec![0; number(24) as usize];
        self.stream.read_exact(&mut error).expect("its text");
        Ack {
            id: header[8..24].try_into().expect("16"),
            ok: match header[5] {
                0x01 => true,
                0x02 => false,
                other => panic!("status {other}"),
            },
            error: String::from_utf8(error).expect("UTF-8"),
        }
    }

    pub fn expect_success(&mut self, n: u32) {
        let ack = self.read();
        assert_eq!((ack.id, ack.ok, ack.error.as_str()), (id(n), true, ""));
    }

    /// Expects a FAILED with this text after its machine-readable word.
    pub fn expect_failed(&mut self, n: u32, word: &str, text: &str) {
        let ack = self.read();
        assert_eq!((ack.id, ack.ok), (id(n), false), "{ack:?}");
        assert!(ack.error.starts_with(&format!("{word}: ")), "{ack:?}");
        assert!(ack.error.contains(text), "{ack:?}");
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        self.stream.shutdown(Shutdown::Write).expect("half-closes");
    }

    /// Expects the end of the connection.
    pub fn expect_end(&mut self) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        // Bytes we sent and falco never read may turn the end into a reset.
        let reset = std::io::ErrorKind::ConnectionReset;
        assert!(read.is_ok() || read.is_err_and(|e| e.kind() == reset));
        assert!(rest.is_empty(), "{rest:?}");
    }

    /// Expects that nothing comes for a moment.
    pub fn expect_silence(&mut self) {
        let moment = std::time::Duration::from_millis(50);
        self.stream.set_read_timeout(Some(moment)).expect("timeout");
        let mut byte = [0];
        let kind = self.stream.read(&mut byte).expect_err("silence").kind();
        assert_eq!(kind, std::io::ErrorKind::WouldBlock);
        self.stream
            .set_read_timeout(Some(PATIENCE))
            .expect("timeout");
    }
}
