//! The program under test.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::Daemon;
use crate::transport::Transport;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A falco of its own, in a directory of its own; killed when dropped.
pub struct Falco {
    child: Child,
    dir: tempfile::TempDir,
    log: Option<thread::JoinHandle<String>>,
}

impl Falco {
    /// Starts it and waits until it listens. Its attempts take longer than any
    /// test: one that a busy machine keeps from answering is not asked twice.
    pub fn start() -> Self {
        Self::start_with(&[("FALCO_PUBLISH_TIMEOUT", "60")])
    }

    /// The same, whose attempts time out after a second.
    pub fn start_impatient() -> Self {
        Self::start_with(&[("FALCO_PUBLISH_TIMEOUT", "1")])
    }

    pub fn start_with(env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut child = Command::new(env!("CARGO_BIN_EXE_falco"))
            .args(["--device-id", "dev-1", "--debug"])
            .env_clear()
            .env("UNBOUND_BASE_DIR", dir.path())
            .env("UNBOUND_ABLY_SOCKET", dir.path().join("ably.sock"))
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("falco starts");
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        let log = Some(thread::spawn(move || collect(stderr)));
        let falco = Self { child, dir, log };
        falco.await_socket();
        falco
    }

    fn await_socket(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.socket().exists() {
            assert!(Instant::now() < deadline, "falco never listened");
            thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("falco.sock")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The memory it holds now.
    pub fn memory_kib(&self) -> u64 {
        let pid = self.pid().to_string();
        let ps = Command::new("ps").args(["-o", "rss=", "-p", &pid]).output();
        let text = String::from_utf8(ps.expect("ps runs").stdout).expect("text");
        text.trim().parse().expect("a number")
    }

    /// A daemon connected to it.
    pub fn daemon(&self) -> Daemon {
        Daemon::connect(&self.socket())
    }

    /// A transport for it, not yet listening.
    pub fn transport(&self) -> Transport {
        Transport::at(self.dir.path().join("ably.sock"))
    }

    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it the signal of this name.
    pub fn signal(&self, name: &str) {
        let (flag, pid) = (format!("-{name}"), self.child.id().to_string());
        let sent = Command::new("kill").args([flag, pid]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits for its end; returns its exit status and its log.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                break status;
            }
            assert!(Instant::now() < deadline, "falco did not stop");
            thread::sleep(Duration::from_millis(5));
        };
        let log = self.log.take().expect("once").join().expect("log");
        (status, log)
    }
}

impl Drop for Falco {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn collect(mut stderr: impl BufRead) -> String {
    let mut log = Vec::new();
    _ = stderr.read_to_end(&mut log);
    String::from_utf8_lossy(&log).into_owned()
}
