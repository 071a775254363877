//! A chain of its own, in a directory of its own.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::transport::Transport;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// An outbox whose two further routes lead to the test. It waits longer for an
/// answer than a machine may keep a test from giving it: else what is in time
/// comes twice.
pub const OUTBOX: &str = r#"
[delivery]
mode = "outbox"
[outbox]
resume_grace = "0s"
[falco]
publish_timeout = "60s"
"#;

const ROUTES: &str = r#"
[[route]]
name = "test"
socket = "test.sock"
[[route]]
name = "other"
socket = "other.sock"
"#;

pub const FALCO: &str = env!("CARGO_BIN_EXE_falco");

pub struct Chain {
    dir: TempDir,
}

impl Chain {
    /// Brings up a chain with this configuration and the routes.
    pub fn up(toml: &str) -> Self {
        let chain = Self::new(toml);
        chain.start();
        chain
    }

    pub fn new(toml: &str) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let chain = Self { dir };
        let mut builder = DirBuilder::new();
        builder.mode(0o700).create(chain.base()).expect("a base");
        chain.configure(toml);
        chain
    }

    pub fn configure(&self, toml: &str) {
        let text = format!("{toml}{ROUTES}");
        fs::write(self.base().join("falco.toml"), text).expect("writes");
    }

    pub fn base(&self) -> PathBuf {
        self.dir.path().join("base")
    }

    pub fn start(&self) {
        let (code, out) = self.run(&["up", "--quiet"]);
        assert_eq!(code, 0, "{out}");
    }

    /// Runs a verb; returns its exit code and all it said.
    pub fn run(&self, args: &[&str]) -> (i32, String) {
        let output = self.command(args).output().expect("runs");
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.push_str(&String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), text)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.program(FALCO);
        command.args(args);
        command
    }

    /// Any program, that sees what falco would see.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.dir.path())
            .env("UNBOUND_BASE_DIR", self.base())
            .stdin(Stdio::null());
        command
    }

    /// What a verb prints as JSON, one object a line.
    pub fn json(&self, args: &[&str]) -> Vec<Value> {
        let output = self.command(args).output().expect("runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().map(serde_json::from_str);
        lines
            .collect::<Result<_, _>>()
            .unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// How the chain is. A Falco that the machine keeps from answering in time is
    /// asked again.
    pub fn status(&self) -> Value {
        let mut status = Value::Null;
        eventually("falco answers", || {
            status = self.json(&["status", "--json"]).remove(0);
            status["state"] != "unknown"
        });
        status
    }

    /// What the outbox says of itself.
    pub fn outbox(&self) -> Value {
        self.status()["ingest"]["outbox"].clone()
    }

    pub fn daemon(&self) -> Daemon {
        Daemon::connect(&self.base().join("falco.sock"))
    }

    /// The far end of the route called so, before anybody listens there.
    pub fn transport(&self, route: &str) -> Transport {
        Transport::at(self.base().join(format!("{route}.sock")))
    }

    /// Kills the supervisor, and waits until everything is gone.
    pub fn kill(&self) {
        let pid = self.status()["pid"].as_u64().expect("a pid").to_string();
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.expect("kills").success());
        eventually("the supervisor is gone", || self.run(&["status"]).0 == 3);
    }

    pub fn stop(&self) {
        let (code, out) = self.run(&["stop"]);
        assert_eq!(code, 0, "{out}");
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.run(&["stop", "--now"]);
    }
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(20));
    }
}
