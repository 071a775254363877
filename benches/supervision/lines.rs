//! Lines of a stream, each with the moment it came.

use std::io::{BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

pub struct Lines(Receiver<(Instant, String)>);

impl Lines {
    /// Reads `stream` until it ends.
    pub fn of(stream: impl Read + Send + 'static) -> Self {
        let (sender, receiver) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// The next line with all of `words`.
    pub fn next_with(&self, words: &[&str]) -> (Instant, String) {
        loop {
            let next = self.0.recv_timeout(PATIENCE);
            let (at, line) = next.unwrap_or_else(|_| panic!("no line with {words:?}"));
            if words.iter().all(|word| line.contains(word)) {
                return (at, line);
            }
        }
    }

    /// Forgets what has come.
    pub fn forget(&self) {
        while self.0.try_recv().is_ok() {}
    }
}

/// `VmRSS` and `Pss` of a process, in kB.
pub fn memory(pid: u32) -> (u64, u64) {
    let field = |file: &str, name: &str| -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix(name));
        let number = line.and_then(|l| l.trim_start_matches(':').split_whitespace().next());
        number.and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    (field("status", "VmRSS"), field("smaps_rollup", "Pss"))
}

pub fn kill(pid: u32) -> Instant {
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    let at = Instant::now();
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    at
}
