//! Everything that goes wrong around the chain, one thing after the other.

use std::fmt;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::disk::Disk;
use crate::load::Load;
use crate::rig::{Rig, wait_until};

/// One thing that goes wrong.
#[derive(Debug, Clone, Copy)]
pub enum Trouble {
    DaemonsCutOff,
    TransportKilled,
    TransportPaused,
    TransportRestarted,
    FalcoKilled,
    FalcoRestarted,
    DiskFull,
}

/// Falco ends too.
pub const STORM: &[Trouble] = &[
    Trouble::DaemonsCutOff,
    Trouble::FalcoKilled,
    Trouble::TransportKilled,
    Trouble::DiskFull,
    Trouble::TransportPaused,
    Trouble::FalcoRestarted,
];

/// Falco lives on.
pub const LIFE: &[Trouble] = &[
    Trouble::DaemonsCutOff,
    Trouble::TransportKilled,
    Trouble::TransportPaused,
    Trouble::DaemonsCutOff,
    Trouble::TransportRestarted,
];

/// The time at full rate between two troubles.
const PEACE: Duration = Duration::from_millis(1500);

/// How long a transport is stopped, in turn: less and more than Falco waits for
/// an answer.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(300),
    Duration::from_secs(2),
    Duration::from_secs(6),
];

/// How long a disk is full.
const FULL_FOR: Duration = Duration::from_secs(3);

/// See the module.
pub struct Troubles<'a> {
    rig: &'a Rig,
    load: &'a Load,
    disk: Option<Disk>,
    pub ends_of_falco: usize,
    others: usize,
    pauses: usize,
    full: usize,
}

impl<'a> Troubles<'a> {
    pub fn new(rig: &'a Rig, load: &'a Load, disk: Option<Disk>) -> Self {
        Self {
            rig,
            load,
            disk,
            ends_of_falco: 0,
            others: 0,
            pauses: 0,
            full: 0,
        }
    }

    /// Makes these in turn for so long, each at least once, and has `look` look
    /// at the chain after each.
    pub fn make(&mut self, these: &[Trouble], length: Duration, mut look: impl FnMut(&Rig)) {
        let end = Instant::now() + length;
        let mut made = 0;
        while made < these.len() || Instant::now() < end {
            sleep(PEACE);
            look(self.rig);
            self.make_one(these[made % these.len()]);
            made += 1;
        }
    }

    fn make_one(&mut self, trouble: Trouble) {
        match trouble {
            Trouble::DaemonsCutOff => self.load.cut(),
            Trouble::TransportKilled => self.signal_transport(Signal::SIGKILL),
            Trouble::TransportPaused => self.pause_transport(),
            Trouble::TransportRestarted => self.rig.run(&["restart", "transport"]),
            Trouble::FalcoKilled => self.kill_falco(),
            Trouble::FalcoRestarted => self.rig.run(&["restart", "falco"]),
            Trouble::DiskFull => return self.fill_disk(),
        }
        match trouble {
            Trouble::FalcoKilled | Trouble::FalcoRestarted => self.ends_of_falco += 1,
            _ => self.others += 1,
        }
    }

    /// Does nothing while there is no transport.
    fn signal_transport(&self, signal: Signal) {
        if let Some(pid) = self.rig.part("transport")["pid"].as_u64() {
            _ = kill(pid_of(pid), signal);
        }
    }

    fn pause_transport(&mut self) {
        let Some(pid) = self.rig.part("transport")["pid"].as_u64() else {
            return;
        };
        _ = kill(pid_of(pid), Signal::SIGSTOP);
        sleep(PAUSES[self.pauses % PAUSES.len()]);
        _ = kill(pid_of(pid), Signal::SIGCONT);
        self.pauses += 1;
    }

    fn kill_falco(&self) {
        let pid = self.rig.status()["pid"].as_u64().expect("a supervisor");
        kill(pid_of(pid), Signal::SIGKILL).expect("it is ours");
        wait_until("the supervisor is gone", || !self.rig.is_up());
        self.rig.up();
    }

    fn fill_disk(&mut self) {
        let Some(disk) = &self.disk else { return };
        disk.fill();
        sleep(FULL_FOR);
        disk.empty();
        self.full += 1;
    }
}

impl fmt::Display for Troubles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            ends_of_falco,
            others,
            full,
            ..
        } = self;
        write!(
            f,
            "{ends_of_falco} ends of Falco, {others} other troubles, disk full {full} times"
        )
    }
}

fn pid_of(pid: u64) -> Pid {
    Pid::from_raw(i32::try_from(pid).expect("a pid"))
}
