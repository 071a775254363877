//! A chain in front of a server that outlives it.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::emulator::Server;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// See the module.
pub struct Rig {
    dir: tempfile::TempDir,
    pub server: Server,
}

impl Rig {
    pub fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Server::start(&dir.path().join("server"));
        let rig = Self { dir, server };
        for made in [rig.base(), rig.wires()] {
            std::fs::create_dir(made).expect("a directory");
        }
        std::fs::write(rig.base().join("falco.toml"), settings).expect("settings");
        rig
    }

    pub fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    pub fn outbox(&self) -> PathBuf {
        self.base().join("outbox")
    }

    /// Where the daemons' wires are.
    pub fn wires(&self) -> PathBuf {
        self.dir.path().join("wires")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
        command.args(args).env_clear().stdin(Stdio::null());
        command.env("UNBOUND_BASE_DIR", self.base());
        command.env("ABLY_API_KEY", &self.server.key);
        let endpoint = format!("http://{}", self.server.address);
        command.env("DAEMON_ABLY_ENDPOINT", endpoint);
        command
    }

    /// Runs a verb that has to succeed.
    pub fn run(&self, args: &[&str]) {
        let output = self.command(args).output().expect("falco runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
    }

    pub fn up(&self) {
        self.run(&["up", "--quiet"]);
    }

    /// Whether there is a supervisor.
    pub fn is_up(&self) -> bool {
        let status = self.command(&["status"]).output().expect("falco runs");
        status.status.code() != Some(3)
    }

    /// How the chain is. A Falco that the machine keeps from answering in time is
    /// asked again.
    pub fn status(&self) -> Value {
        let mut status = Value::Null;
        wait_until("falco answers", || {
            let output = self.command(&["status", "--json"]).output();
            let told = output.expect("falco runs").stdout;
            status = serde_json::from_slice(&told).unwrap_or_default();
            status["state"] != "unknown"
        });
        status
    }

    /// The part of that name, as status has it.
    pub fn part(&self, name: &str) -> Value {
        let status = self.status();
        let parts = status["parts"].as_array().into_iter().flatten();
        let mut found = parts.filter(|part| part["name"] == name);
        found.next().cloned().unwrap_or_default()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        _ = self.command(&["stop", "--now"]).output();
    }
}

/// Waits until something is so, for a bounded time.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never true: {what}");
        sleep(Duration::from_millis(20));
    }
}
