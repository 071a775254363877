//! A chain of its own for each test.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::Daemon;
use crate::server;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running chain; stopped when dropped.
pub struct Chain {
    dir: tempfile::TempDir,
}

/// A running `falco tail`; killed when dropped.
pub struct Tail {
    child: Child,
    lines: BufReader<ChildStdout>,
    said: BufReader<ChildStderr>,
}

impl Chain {
    pub fn up() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let chain = Self { dir };
        chain.run(&["up", "--quiet"]);
        chain
    }

    pub fn base(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a verb that has to succeed; returns what it printed.
    pub fn run(&self, args: &[&str]) -> String {
        let output = self.command(args).output().expect("falco runs");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).expect("text")
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
        command.args(args).env_clear();
        command.env("UNBOUND_BASE_DIR", self.base());
        // A machine that is busy keeps no effect from being published in time.
        command.env("FALCO_PUBLISH_TIMEOUT", "60");
        command.stdin(Stdio::null());
        command
    }

    pub fn daemon(&self) -> Daemon {
        Daemon::connect(&self.base().join("falco.sock"))
    }

    /// A tail of `channel` that is subscribed.
    pub fn tail(&self, channel: &str) -> Tail {
        self.tail_all(&[channel])
    }

    /// A tail of channels that are all subscribed to.
    pub fn tail_all(&self, words: &[&str]) -> Tail {
        let mut command = self.command(&[&["tail"], words].concat());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("falco runs");
        let said = BufReader::new(child.stderr.take().expect("piped"));
        let lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut tail = Tail { child, lines, said };
        let channels = words.iter().filter(|word| !word.starts_with('-'));
        tail.wait_until_subscribed(channels.count());
        tail
    }

    /// The payloads that `channel` holds, oldest first.
    pub fn history(&self, channel: &str) -> Vec<String> {
        let address = self.part("emulator")["place"].clone();
        let address = address.as_str().expect("an address").to_owned();
        let key = std::fs::read_to_string(self.base().join("emulator/key")).expect("a key");
        server::history(address.trim_start_matches("http://"), key.trim(), channel)
    }

    /// Kills the part's process once it has one.
    pub fn kill(&self, part: &str) {
        let deadline = Instant::now() + PATIENCE;
        let pid = loop {
            if let Some(pid) = self.part(part)["pid"].as_u64() {
                break pid.to_string();
            }
            assert!(Instant::now() < deadline, "{part} never came back");
            std::thread::sleep(Duration::from_millis(5));
        };
        let killed = Command::new("kill").args(["-KILL", &pid]).status();
        assert!(killed.expect("kill runs").success());
    }

    /// How the chain is. A Falco that the machine keeps from answering in time is
    /// asked again.
    pub fn status(&self) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.command(&["status", "--json"]).output();
            let output = output.expect("falco runs");
            let status: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            if status["state"] != "unknown" || deadline < Instant::now() {
                return status;
            }
        }
    }

    /// Waits until the status is as `holds` says.
    pub fn wait_for_status(&self, what: &str, holds: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status();
            if holds(&status) {
                return;
            }
            assert!(Instant::now() < deadline, "never true: {what}: {status}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn part(&self, name: &str) -> Value {
        let status = self.status();
        let parts = status["parts"].as_array().expect("parts");
        let part = parts.iter().find(|part| part["name"] == name);
        part.expect("a part of this name").clone()
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        _ = self.command(&["stop"]).output();
    }
}

impl Tail {
    /// Waits until it says so of so many channels.
    pub fn wait_until_subscribed(&mut self, channels: usize) {
        let mut said = String::new();
        while said.matches("Subscribed").count() < channels {
            let read = self.said.read_line(&mut said).expect("text");
            assert_ne!(read, 0, "tail ended: {said}");
        }
    }

    pub fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("text");
        line.trim_end_matches('\n').to_owned()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
