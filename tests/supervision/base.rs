//! A base directory of its own, and what runs in it.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub use super::quick::assert_quick;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Base {
    home: TempDir,
    dir: PathBuf,
    env: Vec<(String, String)>,
}

/// An address that nobody listens on, and that the system gives to nobody who
/// leaves the choice to it: such ports are above these.
pub fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let pid = u16::try_from(std::process::id() % 10_000).unwrap();
        let port = 10_000 + (pid + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// What a finished `falco` said.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Base {
    pub fn new() -> Self {
        Self::called("base")
    }

    pub fn called(name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join(name);
        Self {
            home,
            dir,
            env: Vec::new(),
        }
    }

    /// One that is there before falco is.
    pub fn made() -> Self {
        let base = Self::new();
        base.make();
        base
    }

    /// One with this configuration.
    pub fn configured(text: &str) -> Self {
        let base = Self::made();
        base.configure(text);
        base
    }

    /// Makes the directory, ours and private.
    pub fn make(&self) {
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).create(&self.dir).unwrap();
    }

    pub fn configure(&self, text: &str) {
        fs::write(self.dir.join("falco.toml"), text).unwrap();
    }

    pub fn with_env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let value = value.as_ref().to_str().unwrap().to_owned();
        self.env.push((name.to_owned(), value));
        self
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    pub fn socket(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// `falco` with `args`, in a clean environment.
    pub fn falco(&self, args: &[&str]) -> Command {
        let mut command = self.program(env!("CARGO_BIN_EXE_falco"));
        command.args(args);
        command
    }

    /// `program` in the same environment.
    pub fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
            .env("HOME", self.home())
            .env("UNBOUND_BASE_DIR", &self.dir);
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        said(&self.falco(args).output().unwrap())
    }

    /// Brings the chain up; returns the supervisor's pid.
    pub fn up(&self) -> u32 {
        let said = self.run(&["up", "--json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let summary: Value = serde_json::from_str(&said.stdout).unwrap();
        u32::try_from(summary["pid"].as_u64().unwrap()).unwrap()
    }

    /// How the chain is. A supervisor that the machine keeps from answering in
    /// time is asked again.
    pub fn status(&self) -> Value {
        let mut status = Value::Null;
        eventually("the supervisor answers", || {
            status = self.look();
            status["state"] != "unknown"
        });
        status
    }

    /// How the chain is as far as one look can tell.
    pub fn look(&self) -> Value {
        let said = self.run(&["status", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr))
    }

    pub fn part(&self, name: &str) -> Value {
        let status = self.status();
        let parts = status["parts"].as_array().cloned().unwrap_or_default();
        parts
            .into_iter()
            .find(|p| p["name"] == name)
            .unwrap_or_default()
    }

    pub fn pid_of(&self, part: &str) -> u32 {
        u32::try_from(self.part(part)["pid"].as_u64().unwrap()).unwrap()
    }

    /// Who runs, by its own word.
    pub fn pid_of_supervisor(&self) -> u32 {
        u32::try_from(self.status()["pid"].as_u64().unwrap()).unwrap()
    }

    /// Publishes one effect; panics unless it is acked.
    pub fn emit(&self) {
        let said = self.run(&["emit", "--event", "hello", "--payload", "{}"]);
        assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    }

    /// Every process with our directory in its arguments or environment.
    pub fn processes(&self) -> Vec<(u32, String)> {
        let needle = self.home().to_str().unwrap().as_bytes();
        let has = |text: &[u8]| text.windows(needle.len()).any(|w| w == needle);
        let pids = fs::read_dir("/proc").unwrap();
        let pids = pids.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|&pid| pid != std::process::id())
            .filter_map(|pid| {
                let read = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                let line = read("cmdline");
                (has(&line) || has(&read("environ")))
                    .then(|| (pid, String::from_utf8_lossy(&line).replace('\0', " ")))
            })
            .collect()
    }

    pub fn assert_nothing_left(&self) {
        self.assert_nothing_left_but(&[]);
    }

    /// No process, and no socket or pidfile but those of others.
    pub fn assert_nothing_left_but(&self, others: &[&str]) {
        assert_eq!(self.processes(), []);
        let sockets: Vec<_> = fs::read_dir(&self.dir)
            .map(|d| d.map(|e| e.unwrap().path()).collect())
            .unwrap_or_default();
        let left: Vec<&PathBuf> = sockets
            .iter()
            .filter(|p| p.extension().is_some_and(|e| e == "sock" || e == "pid"))
            .filter(|p| !others.iter().any(|other| p.ends_with(other)))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }

    /// A program in our home that a shell runs.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.home().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub fn wait_ready(&self) {
        eventually("the chain is ready", || self.status()["state"] == "running");
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let stopped = self.run(&["stop", "--now"]);
        if stopped.code != 0 || !self.processes().is_empty() {
            for (pid, _) in self.processes() {
                kill(pid, "KILL");
            }
        }
    }
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

pub fn kill(pid: u32, signal: &str) {
    let status = Command::new("kill")
        .args(["-s", signal, &pid.to_string()])
        .status();
    assert!(status.unwrap().success() || signal == "KILL");
}

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10));
    }
}
