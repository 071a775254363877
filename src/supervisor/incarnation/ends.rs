//! How a child is told to end, and how it did.

use nix::sys::signal::Signal;

use super::super::chain::Ending;
use super::super::sidecar::StopSignal;
use super::Birth;
use crate::process::child::Exit;
use crate::protocol::life::Life;

pub(in crate::supervisor) fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::SIGTERM,
        StopSignal::Int => Signal::SIGINT,
        StopSignal::Quit => Signal::SIGQUIT,
        StopSignal::Hup => Signal::SIGHUP,
        StopSignal::Usr1 => Signal::SIGUSR1,
        StopSignal::Usr2 => Signal::SIGUSR2,
    }
}

/// Tells the journal of every signal that goes to a child's group.
pub(super) struct Signals<'a> {
    pub(super) birth: &'a Birth,
    pub(super) incarnation: u32,
    pub(super) group: u32,
}

impl Signals<'_> {
    pub(super) fn note(&self, signal: &str, why: &str) {
        self.birth.journal.note(Life::Signaled {
            part: self.birth.log.name().to_owned(),
            incarnation: self.incarnation,
            group: self.group,
            signal: signal.to_owned(),
            why: why.to_owned(),
        });
    }
}

pub(super) fn ending(exit: &Exit) -> Ending {
    match *exit {
        Exit::Code(code) => Ending::Exited(code),
        Exit::Signal {
            signal,
            core_dumped,
        } => Ending::Signaled {
            signal,
            core_dumped,
        },
        Exit::Unknown => Ending::Failed(exit.to_string().into()),
    }
}
