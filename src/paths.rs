//! Where everything lives: the base directory and the names in it.
//!
//! Pure: the command line reads the environment and hands the base in.

use std::path::{Path, PathBuf};

/// The longest socket path the kernel takes, in bytes, without its NUL
/// (`sun_path` is 108 bytes on Linux, 104 on macOS).
pub const SOCKET_PATH_MAX: usize = if cfg!(target_os = "macos") { 103 } else { 107 };

/// The files of one instance, all below one base directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    base: PathBuf,
}

impl Paths {
    /// The layout below `base`, which should be absolute: the detached daemon
    /// has another working directory.
    #[must_use]
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// The base directory itself, mode 0700.
    #[must_use]
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// Falco's socket, which daemons write side effects to.
    #[must_use]
    pub fn falco_socket(&self) -> PathBuf {
        self.base.join("falco.sock")
    }

    /// The transport's socket, which Falco and others speak NDJSON on.
    #[must_use]
    pub fn ably_socket(&self) -> PathBuf {
        self.base.join("ably.sock")
    }

    /// The token broker's socket.
    #[must_use]
    pub fn broker_socket(&self) -> PathBuf {
        self.base.join("ably-auth.sock")
    }

    /// The supervisor's control socket.
    #[must_use]
    pub fn control_socket(&self) -> PathBuf {
        self.base.join("falco-control.sock")
    }

    /// The instance lock, held for the supervisor's life and never unlinked.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.base.join("falco.lock")
    }

    /// The pidfile, for people and old tools; the lock is the authority.
    #[must_use]
    pub fn pid_file(&self) -> PathBuf {
        self.base.join("falco.pid")
    }

    /// What children hold while they live: see [`Self::lease_file`].
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.base.join("run")
    }

    /// The lease of the part called `name`; never unlinked.
    #[must_use]
    pub fn lease_file(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.lease"))
    }

    /// Where the sidecar called `name` may say how it is.
    #[must_use]
    pub fn notices(&self, name: &str) -> PathBuf {
        self.run().join(format!("{name}.notify"))
    }

    /// The configuration, written by the user and nobody else.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.base.join("falco.toml")
    }

    /// What `falco login` keeps.
    #[must_use]
    pub fn credentials_file(&self) -> PathBuf {
        self.base.join("credentials.json")
    }

    /// Device and user id, generated once and kept.
    #[must_use]
    pub fn identity_file(&self) -> PathBuf {
        self.base.join("identity.json")
    }

    /// Effects that are kept until they are published.
    #[must_use]
    pub fn outbox(&self) -> PathBuf {
        self.base.join("outbox")
    }

    /// Logs of the supervisor and of every sidecar.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.base.join("logs")
    }

    /// The journal of life events.
    #[must_use]
    pub fn events(&self) -> PathBuf {
        self.logs().join("events.jsonl")
    }

    /// The emulator's own directory: its key and its last address.
    #[must_use]
    pub fn emulator(&self) -> PathBuf {
        self.base.join("emulator")
    }
}
