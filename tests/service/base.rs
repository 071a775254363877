//! A home of its own, and what runs in it.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

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

    /// `falco` with `args`, in a clean environment.
    pub fn falco(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
        command.args(args).env_clear().stdin(Stdio::null());
        command
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("UNBOUND_BASE_DIR", self.dir());
        command
    }

    pub fn run(&self, args: &[&str]) -> Said {
        said(&self.falco(args).output().unwrap())
    }
}

fn said(output: &Output) -> Said {
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
