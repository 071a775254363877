//! The programs under test.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::broker::{Broker, Minting};
use crate::client::Client;
use crate::slow;

/// Longer than anything here takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(90);

pub const DEVICE: &str = "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11";

/// An emulator, a broker and a transport in a directory of their own; killed
/// when dropped.
pub struct Rig {
    pub dir: tempfile::TempDir,
    pub broker: Broker,
    pub transport: Process,
    pub emulator: Option<Process>,
    address: String,
}

/// A child whose log is kept.
pub struct Process {
    child: Child,
    log: Option<thread::JoinHandle<String>>,
}

/// What a test wants otherwise.
pub struct Setup {
    pub minting: Minting,
    pub env: Vec<(&'static str, String)>,
    /// Whether there is an emulator from the start.
    pub reachable: bool,
    /// How much longer its ACKs take than all else, in JSON.
    pub acks_take: Option<Duration>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            minting: Minting {
                capability: r#"{"*":["*"]}"#.to_owned(),
                lifetime_secs: 3600,
            },
            env: Vec::new(),
            reachable: true,
            acks_take: None,
        }
    }
}

impl Rig {
    pub fn start() -> Self {
        Self::start_with(Setup::default())
    }

    pub fn start_with(setup: Setup) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (emulator, address) = emulator(&dir, "127.0.0.1:0");
        let key = std::fs::read_to_string(dir.path().join("emulator/key")).expect("a key");
        let broker = Broker::start(&dir.path().join("auth.sock"), key.trim(), setup.minting);
        let emulator = setup.reachable.then_some(emulator);
        let endpoint = match setup.acks_take {
            Some(time) => slow::before(address.clone(), time),
            None => address.clone(),
        };
        let transport = transport(&dir, &endpoint, &setup.env);
        let rig = Self {
            dir,
            broker,
            transport,
            emulator,
            address,
        };
        rig.await_socket();
        rig
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("ably.sock")
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.socket())
    }

    /// Ends the emulator without a word.
    pub fn kill_emulator(&mut self) {
        self.emulator = None;
    }

    /// Starts it again where it was.
    pub fn restart_emulator(&mut self) {
        let (emulator, _) = emulator(&self.dir, &self.address);
        self.emulator = Some(emulator);
    }

    /// Waits until the transport says that `state` is what it is in.
    pub fn await_state(&self, state: &str) {
        let mut client = self.client();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = client.ask(serde_json::json!({"op": "status.v1"}));
            if status["connections"][0]["state"] == state {
                return;
            }
            assert!(Instant::now() < deadline, "never {state}: {status}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn await_socket(&self) {
        let deadline = Instant::now() + PATIENCE;
        while !self.socket().exists() {
            assert!(Instant::now() < deadline, "the transport never listened");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// An emulator that listens, and where.
fn emulator(dir: &tempfile::TempDir, listen: &str) -> (Process, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
    let home = dir.path().join("emulator");
    command
        .args(["emulator", "--listen", listen, "--dir"])
        .arg(home);
    let mut process = Process::spawn(command.env_clear());
    let line = process.await_log("listens on ");
    let (_, address) = line.split_once("listens on ").expect("it does");
    let address = address.split(';').next().expect("an address");
    (process, address.to_owned())
}

fn transport(dir: &tempfile::TempDir, address: &str, env: &[(&str, String)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_falco"));
    command
        .arg0("daemon-ably")
        .args(["--device-id", DEVICE, "--user-id", " U-1", "--debug"])
        .env_clear()
        .env("UNBOUND_ABLY_SOCKET", dir.path().join("ably.sock"))
        .env("UNBOUND_ABLY_BROKER_SOCKET", dir.path().join("auth.sock"))
        .env("UNBOUND_ABLY_BROKER_TOKEN_FALCO", "for-falco")
        .env("UNBOUND_ABLY_BROKER_TOKEN_NAGATO", "for-nagato")
        .env("DAEMON_ABLY_ENDPOINT", format!("http://{address}"))
        .envs(env.iter().map(|(name, value)| (name, value)));
    let mut process = Process::spawn(&mut command);
    process.collect_log();
    process
}

impl Process {
    fn spawn(command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        Self { child, log: None }
    }

    /// From now on: a full pipe would stop the process.
    fn collect_log(&mut self) {
        let stderr = BufReader::new(self.child.stderr.take().expect("piped"));
        self.log = Some(thread::spawn(move || collect(stderr)));
    }

    /// Waits for a line with `text`, which is returned; the rest is collected.
    fn await_log(&mut self, text: &str) -> String {
        let mut stderr = BufReader::new(self.child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            let read = stderr.read_line(&mut line).expect("reads");
            assert!(read > 0, "ended without saying {text:?}");
        }
        self.log = Some(thread::spawn(move || collect(stderr)));
        line
    }

    pub fn terminate(&self) {
        let pid = self.child.id().to_string();
        let killed = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(killed.expect("kill runs").success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("waits") {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not stop");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it logged, once it has ended.
    pub fn log(&mut self) -> String {
        self.log.take().expect("ended").join().expect("a log")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn collect(mut stderr: BufReader<ChildStderr>) -> String {
    let mut log = Vec::new();
    _ = std::io::Read::read_to_end(&mut stderr, &mut log);
    String::from_utf8_lossy(&log).into_owned()
}
