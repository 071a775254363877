//! The real chain, started and stopped by its own command line.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const FALCO: &str = env!("CARGO_BIN_EXE_falco");

/// A `falco` that sees none of the caller's settings.
fn falco(base: &Path) -> Command {
    let mut command = Command::new(FALCO);
    command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("HOME", base)
        .env("UNBOUND_BASE_DIR", base)
        .stdin(Stdio::null());
    command
}

/// A chain in a base directory of its own; dropped, it is stopped.
pub struct Chain {
    base: tempfile::TempDir,
    /// How long `falco up` took to return.
    pub up_took: Duration,
}

impl Chain {
    /// Starts a chain, against `upstream` (server URL and API key) or, without
    /// one, against an emulator of its own.
    pub fn start(upstream: Option<(&str, &str)>) -> Self {
        Self::configured(upstream, "")
    }

    /// The same with these settings.
    pub fn configured(upstream: Option<(&str, &str)>, settings: &str) -> Self {
        let base = tempfile::tempdir().expect("temporary directory");
        fs::write(base.path().join("falco.toml"), settings).expect("settings");
        let mut command = falco(base.path());
        if let Some((url, key)) = upstream {
            command
                .env("DAEMON_ABLY_ENDPOINT", url)
                .env("ABLY_API_KEY", key);
        }
        let started = Instant::now();
        let output = command.arg("up").output().expect("falco runs");
        let up_took = started.elapsed();
        assert!(
            output.status.success(),
            "falco up: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self { base, up_took }
    }

    pub fn socket(&self) -> PathBuf {
        self.base.path().join("falco.sock")
    }

    /// Every process of the chain with its name.
    pub fn processes(&self) -> BTreeMap<u32, String> {
        let needle = self.base.path().to_string_lossy().into_owned();
        let mut found = BTreeMap::new();
        for entry in fs::read_dir("/proc").expect("proc").flatten() {
            let Some(pid) = entry
                .file_name()
                .to_str()
                .and_then(|name| name.parse().ok())
            else {
                continue;
            };
            let environ = fs::read(entry.path().join("environ")).unwrap_or_default();
            if String::from_utf8_lossy(&environ).contains(&needle) {
                let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
                found.insert(pid, String::from_utf8_lossy(&command).replace('\0', " "));
            }
        }
        found
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        let _ = falco(self.base.path()).arg("stop").output();
    }
}

/// Falco by itself, in front of a transport that the bench plays; dropped, it
/// is killed.
pub struct Alone {
    child: Child,
    base: tempfile::TempDir,
}

impl Alone {
    pub fn start() -> Self {
        let base = tempfile::tempdir().expect("temporary directory");
        let child = falco(base.path())
            .args(["--device-id", "bench"])
            .env("UNBOUND_ABLY_SOCKET", base.path().join("ably.sock"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("falco runs");
        let alone = Self { child, base };
        let deadline = Instant::now() + Duration::from_secs(10);
        while !alone.socket().exists() {
            assert!(Instant::now() < deadline, "falco does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        alone
    }

    pub fn socket(&self) -> PathBuf {
        self.base.path().join("falco.sock")
    }

    pub fn transport_socket(&self) -> PathBuf {
        self.base.path().join("ably.sock")
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An emulator by itself; dropped, it is killed.
pub struct Emulator {
    child: Child,
    pub address: SocketAddr,
    pub key: String,
    _base: tempfile::TempDir,
}

impl Emulator {
    pub fn start() -> Self {
        let base = tempfile::tempdir().expect("temporary directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|socket| socket.local_addr())
            .expect("a free port");
        let child = falco(base.path())
            .args(["emulator", "--dir"])
            .arg(base.path())
            .args(["--listen", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("falco runs");
        let deadline = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(port).is_err() {
            assert!(Instant::now() < deadline, "the emulator does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
        let key = fs::read_to_string(base.path().join("key")).expect("key");
        Self {
            child,
            address: port,
            key: key.trim().to_owned(),
            _base: base,
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One field of `/proc/PID/FILE`, in the unit the kernel gives it.
pub fn proc_number(pid: u32, file: &str, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    text.lines()
        .find_map(|line| {
            line.strip_prefix(field)?
                .trim_start_matches(':')
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}
