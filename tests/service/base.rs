//! A home of its own, and what runs in it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Base {
    home: TempDir,
}

/// What a finished `falco` said.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Base {
    pub fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home }
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn dir(&self) -> PathBuf {
        self.home().join("base")
    }

    fn path(&self) -> String {
        let system = std::env::var("PATH").unwrap_or_default();
        format!("{}:{system}", self.home().join("bin").display())
    }

    /// `falco` with `args`, in a clean environment.
    pub fn falco(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
        command.args(args).env_clear().stdin(Stdio::null());
        command
            .env("PATH", self.path())
            .env("HOME", self.home())
            .env("UNBOUND_BASE_DIR", self.dir());
        command
    }

    /// A program of the test that is found before the system's.
    pub fn fake(&self, name: &str, script: &str) {
        let bin = self.home().join("bin");
        fs::create_dir_all(&bin).unwrap();
        let path = bin.join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub fn run(&self, args: &[&str]) -> Said {
        said(&self.falco(args).output().unwrap())
    }

    pub fn status(&self) -> Value {
        let said = self.run(&["status", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr))
    }

    pub fn pid_of(&self, part: &str) -> u32 {
        let status = self.status();
        let parts = status["parts"].as_array().unwrap();
        let part = parts.iter().find(|p| p["name"] == part).unwrap();
        u32::try_from(part["pid"].as_u64().unwrap()).unwrap()
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        self.run(&["stop", "--now"]);
    }
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

pub fn said(output: &Output) -> Said {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Said {
        code: output
            .status
            .code()
            .unwrap_or_else(|| -output.status.signal().unwrap_or(999)),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}
