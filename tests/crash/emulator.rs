//! A server for a chain whose processes die.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::rig::PATIENCE;

/// The emulator as a server that outlives the chain.
pub struct Server {
    child: Child,
    pub address: String,
    pub key: String,
}

impl Server {
    pub fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
        command.args(["emulator", "--dir"]).arg(dir);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.env_clear().spawn().expect("the emulator runs");
        let deadline = Instant::now() + PATIENCE;
        let address = loop {
            assert!(Instant::now() < deadline, "the emulator listens");
            let port = std::fs::read_to_string(dir.join("port")).unwrap_or_default();
            let address = format!("127.0.0.1:{}", port.trim());
            if TcpStream::connect(&address).is_ok() {
                break address;
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        let key = std::fs::read_to_string(dir.join("key")).expect("a key");
        Self {
            child,
            address,
            key: key.trim().to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
