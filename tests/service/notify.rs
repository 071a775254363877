//! What a service manager hears of `falco up --foreground`.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::base::{Base, PATIENCE, eventually, kill};
use super::suspended::{resume, suspend};

/// The service manager, as far as we can tell.
struct Manager {
    socket: UnixDatagram,
    name: String,
    /// Every line so far.
    heard: Vec<String>,
}

impl Manager {
    fn at_path(base: &Base) -> Self {
        let path = base.home().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Self::listening(socket, path.to_str().unwrap().to_owned())
    }

    fn abstract_one() -> Self {
        let name = format!("falco-test-{}", uuid());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        Self::listening(socket, format!("@{name}"))
    }

    fn listening(socket: UnixDatagram, name: String) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            name,
            heard: Vec::new(),
        }
    }

    fn start(&self, base: &Base, env: &[(&str, &str)]) -> Child {
        let mut command = base.falco(&["up", "--foreground"]);
        command.env("NOTIFY_SOCKET", &self.name);
        command.envs(env.iter().copied()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Listens until a line starts with `word`; returns it.
    fn hear(&mut self, word: &str) -> String {
        loop {
            let mut bytes = [0; 4096];
            let len = self.socket.recv(&mut bytes).unwrap();
            let message = String::from_utf8_lossy(&bytes[..len]);
            let lines: Vec<String> = message.lines().map(Into::into).collect();
            self.heard.extend(lines.iter().cloned());
            if let Some(line) = lines.into_iter().find(|l| l.starts_with(word)) {
                return line;
            }
        }
    }

    /// The number behind `word`, where it was heard last.
    fn heard_last(&self, word: &str) -> u128 {
        let mut numbers = self.heard.iter().rev().filter_map(|l| l.strip_prefix(word));
        numbers.next().unwrap().parse().unwrap()
    }

    fn count(&self, word: &str) -> usize {
        self.heard.iter().filter(|l| l.starts_with(word)).count()
    }
}

fn uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

#[test]
fn it_hears_ready_when_the_chain_is_ready_and_stopping() {
    let base = Base::new();
    for mut manager in [Manager::at_path(&base), Manager::abstract_one()] {
        let mut child = manager.start(&base, &[]);
        manager.hear("READY=1");
        assert_eq!(base.status()["state"], "running");
        kill(child.id(), "TERM");
        manager.hear("STOPPING=1");
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert_eq!(manager.count("READY=1"), 1);
        assert_eq!(manager.count("WATCHDOG=1"), 0, "nobody watches");
    }
}

#[test]
fn it_hears_what_is_waited_for_and_waits_as_long() {
    let base = Base::new();
    let mut manager = Manager::at_path(&base);
    let mut child = manager.start(&base, &[]);
    manager.hear("READY=1");
    assert!(
        manager.count("STATUS=starting, ") > 0,
        "{:?}",
        manager.heard
    );
    assert!(manager.count("EXTEND_TIMEOUT_USEC=") > 0);
    // The first time it is back sooner than a text is told; later it is not.
    for _ in 0..4 {
        let killed = base.pid_of("transport");
        kill(killed, "KILL");
        eventually("it is back", || {
            let status = base.status();
            let parts = status["parts"].as_array().unwrap();
            let mut others = parts.iter().filter(|p| p["name"] == "transport");
            status["state"] == "running" && others.all(|p| p["pid"] != killed)
        });
    }
    manager.hear("STATUS=degraded, ");
    manager.hear("STATUS=ready, ");
    kill(child.id(), "TERM");
    manager.hear("STATUS=stopping, ");
    child.wait().unwrap();
}

#[test]
fn it_hears_when_a_reload_begins_and_that_it_is_ready_after_it() {
    let base = Base::new();
    let mut manager = Manager::at_path(&base);
    let mut child = manager.start(&base, &[]);
    manager.hear("READY=1");
    let before = monotonic();
    assert_eq!(base.run(&["reload"]).code, 0);
    manager.hear("RELOADING=1");
    let usec = manager.heard_last("MONOTONIC_USEC=");
    assert!((before..=monotonic()).contains(&usec), "{usec}");
    manager.hear("READY=1");

    // What cannot be read changes nothing, and is over all the same.
    std::fs::write(base.dir().join("falco.toml"), "nonsense").unwrap();
    assert_ne!(base.run(&["reload"]).code, 0);
    manager.hear("RELOADING=1");
    manager.hear("READY=1");
    kill(child.id(), "TERM");
    manager.hear("STOPPING=1");
    child.wait().unwrap();
}

/// The manager's clock, in microseconds.
fn monotonic() -> u128 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC);
    Duration::from(now.unwrap()).as_micros()
}

#[test]
fn the_watchdog_hears_a_supervisor_that_turns_and_none_that_hangs() {
    let base = Base::new();
    let mut manager = Manager::at_path(&base);
    let began = Instant::now();
    let mut child = manager.start(&base, &[("WATCHDOG_USEC", "400000")]);
    for _ in 0..10 {
        manager.hear("WATCHDOG=1");
    }
    // Some may have waited to be heard; all are of this time.
    assert!(
        began.elapsed() > Duration::from_millis(1500),
        "not more often"
    );

    suspend(child.id());
    let stopped = Instant::now();
    let silence = Duration::from_millis(800);
    manager.socket.set_read_timeout(Some(silence)).unwrap();
    let mut bytes = [0; 4096];
    // What it said before it was stopped may still be there to be read.
    while manager.socket.recv(&mut bytes).is_ok() {
        assert!(stopped.elapsed() < PATIENCE, "it pings though it hangs");
    }
    resume(child.id());
    manager.hear("WATCHDOG=1");
    kill(child.id(), "TERM");
    child.wait().unwrap();
}

#[test]
fn a_watchdog_that_means_another_process_is_not_ours() {
    let base = Base::new();
    let mut manager = Manager::at_path(&base);
    let watchdog = [("WATCHDOG_USEC", "100000"), ("WATCHDOG_PID", "1")];
    let mut child = manager.start(&base, &watchdog);
    manager.hear("READY=1");
    kill(child.id(), "TERM");
    manager.hear("STOPPING=1");
    child.wait().unwrap();
    assert_eq!(manager.count("WATCHDOG=1"), 0);
}

#[test]
fn no_child_gets_what_the_manager_gave_us() {
    let base = Base::new();
    let mut manager = Manager::at_path(&base);
    let seen = base.home().join("seen");
    let command = format!("env > {}; exit 1", seen.display());
    let given = [
        ("WATCHDOG_USEC", "30000000"),
        ("LISTEN_FDS", "1"),
        ("LISTEN_PID", "1"),
        ("LISTEN_FDNAMES", "falco"),
        ("FALCO_TOKEN_COMMAND", &command),
    ];
    let mut child = manager.start(&base, &given);
    manager.hear("READY=1");
    let written = || std::fs::metadata(&seen).is_ok_and(|file| file.len() > 0);
    eventually("it asks for a token", written);
    let pid = base.pid_of("transport");
    let transport = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let all = std::fs::read_to_string(&seen).unwrap() + &transport;
    for name in ["NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_"] {
        assert!(!all.contains(name), "{name}");
    }
    kill(child.id(), "TERM");
    child.wait().unwrap();
}
