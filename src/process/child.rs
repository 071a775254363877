//! A running child: how it ends, and how it is made to end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::family::{self, Family, Looks};
use super::group::Group;
use super::lease::Lease;
use super::sys;
use super::table::Stat;

/// How long the killed rest of a group or family may take to vanish.
const GONE_PATIENCE: Duration = Duration::from_secs(2);

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Which.
        signal: i32,
        /// Whether the kernel kept an image of its memory.
        core_dumped: bool,
    },
    /// The kernel does not say.
    Unknown,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal {
                signal,
                core_dumped,
            } => {
                match Signal::try_from(*signal) {
                    Ok(known) => write!(f, "signal {}", known.as_str().trim_start_matches("SIG"))?,
                    Err(_) => write!(f, "signal {signal}")?,
                }
                f.write_str(if *core_dumped { ", core dumped" } else { "" })
            }
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// Output streams of a child, to be drained from its birth.
#[derive(Debug)]
pub struct Output {
    /// Its standard output.
    pub stdout: pipe::Receiver,
    /// Its standard error.
    pub stderr: pipe::Receiver,
}

/// A child that is not reaped yet; dropping it kills its whole group and those
/// of its descendants that left it.
#[derive(Debug)]
pub struct Child {
    inner: process::Child,
    group: Group,
    family: Family,
    /// Readable once the child has ended.
    ended: OwnedFd,
    reaped: bool,
}

impl Child {
    pub(super) fn watch(mut inner: process::Child, lease: Option<&Lease>) -> io::Result<Self> {
        let pid = inner.id();
        match sys::end_of(pid) {
            Ok(ended) => Ok(Self {
                inner,
                group: Group::led_by(pid),
                family: Family::of(pid, lease),
                ended,
                reaped: false,
            }),
            Err(error) => {
                _ = inner.kill();
                _ = inner.wait();
                family::spawned().remove(&pid);
                Err(error)
            }
        }
    }

    /// Its process id, which is also its group's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Takes the output streams, once, on the runtime this is called in.
    ///
    /// # Errors
    ///
    /// When they cannot be registered with the runtime.
    pub fn take_output(&mut self) -> io::Result<Option<Output>> {
        let (Some(out), Some(err)) = (self.inner.stdout.take(), self.inner.stderr.take()) else {
            return Ok(None);
        };
        Ok(Some(Output {
            stdout: pipe::Receiver::from_owned_fd(out.into())?,
            stderr: pipe::Receiver::from_owned_fd(err.into())?,
        }))
    }

    /// What tells that the child has ended, on the runtime this is called in.
    ///
    /// # Errors
    ///
    /// When it cannot be registered with the runtime.
    pub fn end(&self) -> io::Result<End> {
        let fd = sys::readable(self.ended.try_clone()?)?;
        Ok(End { fd })
    }

    /// Whether `pid` is a process of its group.
    #[must_use]
    pub fn owns(&self, pid: i32) -> bool {
        let stat = u32::try_from(pid).ok().and_then(Stat::of);
        stat.is_some_and(|stat| stat.group == self.pid().cast_signed())
    }

    /// Asks the whole group to end, with `signal`.
    pub fn terminate(&mut self, signal: Signal) {
        self.family.gather();
        self.signal(signal);
        // A suspended process takes no other signal before it goes on.
        self.signal(Signal::SIGCONT);
    }

    /// Ends the whole group and who left it (SIGKILL).
    pub fn kill(&mut self) {
        self.family.gather();
        self.signal(Signal::SIGKILL);
        self.family.kill();
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = self.group.signal(signal) {
            tracing::warn!(pid = self.pid(), signal = signal.as_str(), %error, "Failed to signal a process group.");
        }
    }

    /// Reaps a child that has ended, and ends what it left behind, in its group
    /// and out of it.
    ///
    /// Returns those that would not go as well.
    pub async fn reap(mut self) -> (Exit, Vec<u32>) {
        // Nobody is below a zombie any more: there is nobody to gather.
        self.signal(Signal::SIGKILL);
        self.family.kill();
        let exit = self.wait();
        let deadline = Instant::now() + GONE_PATIENCE;
        let mut looks = Looks::default();
        loop {
            let gone = self.family.end();
            if gone && self.group.is_empty() {
                return (exit, Vec::new());
            }
            if deadline <= Instant::now() {
                return (exit, self.left());
            }
            looks.pause().await;
        }
    }

    fn left(&self) -> Vec<u32> {
        let mut left = self.group.members();
        left.extend(self.family.left());
        left.sort_unstable();
        left.dedup();
        left
    }

    fn wait(&mut self) -> Exit {
        self.reaped = true;
        let mut spawned = family::spawned();
        let status = self.inner.wait();
        spawned.remove(&self.inner.id());
        match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal {
                    signal,
                    core_dumped: status.core_dumped(),
                },
                (None, None) => Exit::Unknown,
            },
            Err(_) => Exit::Unknown,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.wait();
        }
    }
}

/// Tells that a child has ended; see [`Child::end`].
#[derive(Debug)]
pub struct End {
    fd: AsyncFd<OwnedFd>,
}

impl End {
    /// Resolves once the child has ended, and stays so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn reached(&self) {
        while let Ok(mut guard) = self.fd.readable().await {
            if self.is_reached() {
                return;
            }
            guard.clear_ready();
        }
    }

    fn is_reached(&self) -> bool {
        sys::is_readable(self.fd.get_ref())
    }
}

#[cfg(test)]
mod tests;
