//! Every process of the chain is killed, suspended and asked to end, at every
//! phase of its life: nobody is left, nothing foreign is touched, and the chain
//! is ready again.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::base::Base;

/// The longest that anything here may take: a part that hangs has 10 s to get
/// ready, then 5 s to end, on a machine that has other things to do.
const BOUND: Duration = Duration::from_secs(90);

const SIGNALS: [&str; 3] = ["KILL", "STOP", "TERM"];

#[derive(Clone, Copy, PartialEq)]
enum Who {
    Supervisor,
    Transport,
    Emulator,
}

impl Who {
    fn is(self, line: &str) -> bool {
        match self {
            Self::Supervisor => line.contains("__daemon"),
            Self::Transport => line.starts_with("daemon-ably"),
            Self::Emulator => line.contains(" emulator --dir"),
        }
    }

    fn in_chain(self, base: &Base) -> Option<u32> {
        let all = base.processes().into_iter();
        let mut mine = all.filter(|(_, line)| self.is(line)).map(|(pid, _)| pid);
        mine.next()
    }
}

/// A base directory with files of others in it.
struct Guarded {
    base: Base,
    theirs: UnixListener,
    before: Vec<(PathBuf, u64, u64)>,
}

impl Guarded {
    fn new() -> Self {
        let base = Base::new();
        let mut private = fs::DirBuilder::new();
        private.mode(0o700).recursive(true);
        for name in ["run", "logs"] {
            private.create(base.dir().join(name)).unwrap();
        }
        let theirs = UnixListener::bind(base.socket("daemon.sock")).unwrap();
        drop(UnixListener::bind(base.socket("nagato.sock")).unwrap());
        // Who hangs is to be noticed within the patience of a test.
        let liveness = "[liveness]\nevery = \"1s\"\ntimeout = \"2s\"\n";
        fs::write(base.dir().join("falco.toml"), liveness).unwrap();
        for name in ["notes.txt", "run/notes.txt", "logs/other.log"] {
            fs::write(base.dir().join(name), "precious").unwrap();
        }
        let mut guarded = Self {
            base,
            theirs,
            before: Vec::new(),
        };
        guarded.before = guarded.foreign();
        guarded
    }

    /// Every foreign file: what it is called, its inode and its size.
    fn foreign(&self) -> Vec<(PathBuf, u64, u64)> {
        let names = [
            "daemon.sock",
            "nagato.sock",
            "notes.txt",
            "run/notes.txt",
            "logs/other.log",
        ];
        let stat = |name| {
            let path = self.base.dir().join(name);
            let meta = fs::symlink_metadata(&path).unwrap();
            (path, meta.ino(), meta.size())
        };
        names.map(stat).into()
    }

    fn assert_untouched(&self) {
        assert_eq!(self.foreign(), self.before);
        UnixStream::connect(self.base.socket("daemon.sock")).unwrap();
        self.theirs.accept().unwrap();
    }

    fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + BOUND;
        loop {
            if let Some(found) = look() {
                return found;
            }
            assert!(Instant::now() < deadline, "never: {what}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn begin(&self, args: &[&str]) -> Child {
        let mut command = self.base.falco(args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// Waits for a verb, which ends in bounded time whatever happens.
    fn finish(mut verb: Child) {
        Self::eventually("the verb ends", || verb.try_wait().unwrap());
    }

    /// Brings the chain back: by itself or with `up`, and a supervisor that is
    /// suspended with the verb that `status` names for it.
    fn heal(&self, who: Who, signal: &str) {
        if who == Who::Supervisor && signal == "STOP" {
            let said = self.base.run(&["stop", "--now"]);
            assert_eq!(said.code, 0, "{}", said.stderr);
        }
        Self::eventually("the chain is ready again", || {
            let said = self.base.run(&["up", "--timeout", "40"]);
            let ready = said.code == 0 && self.base.status()["state"] == "running";
            ready.then_some(())
        });
        self.base.emit();
    }

    fn end(&self) {
        let said = self.base.run(&["stop"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        self.base
            .assert_nothing_left_but(&["daemon.sock", "nagato.sock"]);
        self.assert_untouched();
    }
}

/// Signals `pid`, if it is there.
fn signal(pid: u32, name: &str) {
    let mut command = Command::new("kill");
    command.args(["-s", name, &pid.to_string()]);
    command.stderr(Stdio::null()).status().unwrap();
}

fn while_starting(who: Who) {
    for name in SIGNALS {
        let chain = Guarded::new();
        let up = chain.begin(&["up", "--timeout", "40"]);
        let pid = Guarded::eventually("it is there", || who.in_chain(&chain.base));
        signal(pid, name);
        if who == Who::Supervisor && name == "STOP" {
            assert_eq!(chain.base.run(&["stop", "--now"]).code, 0);
        }
        Guarded::finish(up);
        chain.heal(who, name);
        chain.end();
    }
}

fn while_ready(who: Who) {
    for name in SIGNALS {
        let chain = Guarded::new();
        chain.base.up();
        let pid = who.in_chain(&chain.base).unwrap();
        signal(pid, name);
        if who != Who::Supervisor {
            Guarded::eventually("it is another process", || {
                who.in_chain(&chain.base).filter(|now| *now != pid)
            });
        }
        chain.heal(who, name);
        chain.end();
    }
}

fn while_stopping(who: Who) {
    for name in SIGNALS {
        let chain = Guarded::new();
        chain.base.up();
        let pid = who.in_chain(&chain.base).unwrap();
        let mut stop = chain.begin(&["stop"]);
        // Held open: who tells more must not fail for it.
        let mut said = BufReader::new(stop.stderr.take().unwrap());
        let mut line = String::new();
        while !line.contains("stopped") {
            line.clear();
            assert_ne!(said.read_line(&mut line).unwrap(), 0, "the first part is");
        }
        signal(pid, name);
        Guarded::finish(stop);
        chain.heal(who, name);
        chain.end();
    }
}

#[test]
fn a_supervisor_hit_while_it_starts() {
    while_starting(Who::Supervisor);
}

#[test]
fn a_supervisor_hit_while_it_is_ready() {
    while_ready(Who::Supervisor);
}

#[test]
fn a_supervisor_hit_while_it_stops() {
    while_stopping(Who::Supervisor);
}

#[test]
fn a_transport_hit_while_it_starts() {
    while_starting(Who::Transport);
}

#[test]
fn a_transport_hit_while_it_is_ready() {
    while_ready(Who::Transport);
}

#[test]
fn a_transport_hit_while_it_stops() {
    while_stopping(Who::Transport);
}

#[test]
fn an_emulator_hit_while_it_starts() {
    while_starting(Who::Emulator);
}

#[test]
fn an_emulator_hit_while_it_is_ready() {
    while_ready(Who::Emulator);
}

#[test]
fn an_emulator_hit_while_it_stops() {
    while_stopping(Who::Emulator);
}
