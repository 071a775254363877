//! Falco in the foreground, as it tells on standard error.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::lines::{Lines, kill, memory};

pub struct Falco {
    base: TempDir,
    supervisor: Child,
    said: Lines,
}

fn falco(base: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
    command
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", base)
        .env("UNBOUND_BASE_DIR", base)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

impl Falco {
    pub fn start() -> Self {
        let base = tempfile::tempdir().unwrap();
        let mut command = falco(base.path(), &["up", "--foreground"]);
        let mut supervisor = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = Lines::of(supervisor.stderr.take().unwrap());
        said.next_with(&["ready in"]);
        Self {
            base,
            supervisor,
            said,
        }
    }

    fn run(&self, args: &[&str]) -> Duration {
        let began = Instant::now();
        let status = falco(self.base.path(), args).status().unwrap();
        assert!(status.success(), "falco {args:?}");
        began.elapsed()
    }

    pub fn memory(&self) -> (u64, u64) {
        memory(self.supervisor.id())
    }

    pub fn status(&self) -> Duration {
        self.run(&["status"])
    }

    fn transport(&self) -> u32 {
        let output = falco(self.base.path(), &["status", "--json"])
            .stdout(Stdio::piped())
            .output();
        let status: Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        let parts = status["parts"].as_array().unwrap();
        let transport = parts.iter().find(|p| p["name"] == "transport").unwrap();
        u32::try_from(transport["pid"].as_u64().unwrap()).unwrap()
    }

    /// Kills the transport; when that is told, and when it answers again, the
    /// delay before its start taken off.
    pub fn kill_transport(&mut self) -> (Duration, Duration) {
        let pid = self.transport();
        self.said.forget();
        let killed = kill(pid);
        let (noticed, _) = self.said.next_with(&["transport", "signal KILL"]);
        let (ready, _) = self.said.next_with(&["transport", "ready"]);
        let healed = ready - killed;
        (noticed - killed, healed.saturating_sub(self.last_delay()))
    }

    /// How long the supervisor waited before the last restart.
    fn last_delay(&self) -> Duration {
        let log = std::fs::read_to_string(self.base.path().join("logs/falco.log")).unwrap();
        let delays = log.lines().rev().filter_map(|line| {
            let record: Value = serde_json::from_str(line).ok()?;
            find(&record, "delay_ms")
        });
        Duration::from_millis(delays.into_iter().next().expect("a delay was logged"))
    }

    /// Makes the next delay the first one again.
    pub fn forgive(&self) {
        self.run(&["restart", "transport"]);
    }

    /// From the request until the supervisor is gone.
    pub fn stop(mut self) -> Duration {
        let took = self.run(&["stop"]);
        let began = Instant::now();
        self.supervisor.wait().unwrap();
        took + began.elapsed()
    }
}

fn find(value: &Value, field: &str) -> Option<u64> {
    let object = value.as_object()?;
    let here = object.get(field).and_then(Value::as_u64);
    here.or_else(|| object.values().find_map(|inner| find(inner, field)))
}

/// Why a start cannot succeed.
#[derive(Clone, Copy)]
pub enum Fails {
    /// The transport exits, for good.
    PartExits,
    /// Somebody listens on `falco.sock`.
    SocketTaken,
}

/// From `up` until it has said that it failed, and has left nothing.
pub fn fail(how: Fails) -> Duration {
    let home = tempfile::tempdir().unwrap();
    let base = home.path();
    let mut up = falco(base, &["up"]);
    let code = match how {
        Fails::PartExits => {
            let program = base.join("daemon-ably");
            std::fs::write(&program, "#!/bin/sh\nexit 78\n").unwrap();
            std::fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
            up.env("DAEMON_ABLY_BINARY", program);
            69
        }
        Fails::SocketTaken => 73,
    };
    let taken = matches!(how, Fails::SocketTaken);
    let _theirs = taken.then(|| UnixListener::bind(base.join("falco.sock")).unwrap());
    let began = Instant::now();
    let status = up.status().unwrap();
    assert_eq!(status.code(), Some(code));
    began.elapsed()
}
