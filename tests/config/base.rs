//! A base directory of its own, and what runs in it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct Base {
    home: TempDir,
    dir: PathBuf,
    env: Vec<(String, String)>,
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
        let dir = home.path().join("base");
        Self {
            home,
            dir,
            env: Vec::new(),
        }
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

    /// `falco` with `args`, in a clean environment.
    pub fn falco(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
        command.args(args).env_clear().stdin(Stdio::null());
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

    pub fn up(&self) {
        let said = self.run(&["up", "-q"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
    }

    pub fn status(&self) -> Value {
        let said = self.run(&["status", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr))
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
        assert_eq!(self.processes(), []);
        let mut left = fs::read_dir(&self.dir).unwrap().map(|e| e.unwrap().path());
        assert_eq!(
            left.find(|p| p.extension().is_some_and(|e| e == "sock" || e == "pid")),
            None
        );
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let stopped = self.run(&["stop", "--now"]);
        if stopped.code != 0 || !self.processes().is_empty() {
            for (pid, _) in self.processes() {
                _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
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

pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "never: {what}");
        sleep(Duration::from_millis(10));
    }
}
