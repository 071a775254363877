//! What the supervisor handed to this process at birth, as descriptors.
//!
//! | variable | descriptor | meaning |
//! |---|---|---|
//! | `FALCO_READY_FD` | pipe, write end | one JSON line once we answer |
//! | `FALCO_LIFELINE_FD` | pipe, read end | end of file: the supervisor is gone, stop |
//! | `FALCO_SECRETS_FD` | pipe, read end | what must be in no argument and no environment |
//! | `FALCO_LISTENER_FD` | socket | listens already, for the emulator |
//! | `FALCO_LOCK_FD` | file | the instance lock, for the detached supervisor |
//! | `FALCO_STARTUP_FD` | socket | to and from the launcher, for the detached supervisor ([`super::startup`]) |
//!
//! They are close-on-exec again and out of the environment after [`take`], so
//! that no child of ours inherits them. A number of another kind is ignored:
//! the variable then came from somewhere else.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::stat::{SFlag, fstat};
use tokio::net::unix::pipe;

use super::manager::{self, Manager};
use super::startup::Startup;

/// Names the descriptor of the readiness pipe.
pub const READY_FD: &str = "FALCO_READY_FD";
/// Names the descriptor of the lifeline pipe.
pub const LIFELINE_FD: &str = "FALCO_LIFELINE_FD";
/// Names the descriptor of the secrets pipe.
pub const SECRETS_FD: &str = "FALCO_SECRETS_FD";
/// Names the descriptor of a socket that listens.
pub const LISTENER_FD: &str = "FALCO_LISTENER_FD";

/// Names the descriptor of the instance lock.
pub const LOCK_FD: &str = "FALCO_LOCK_FD";
/// Names the descriptor of the channel to the launcher.
pub const STARTUP_FD: &str = "FALCO_STARTUP_FD";

/// Secrets fit into a pipe's buffer: whoever writes them never waits.
const SECRETS_BYTES_MAX: u64 = 16 * 1024;

/// What this process inherited; all of it absent when nobody supervises us.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Tells the supervisor that we answer.
    pub ready: Option<ReadySender>,
    /// Tells us that the supervisor died.
    pub lifeline: Option<Lifeline>,
    /// What only we may know.
    pub secrets: Option<Secrets>,
    /// Where clients connect.
    pub listener: Option<OwnedFd>,
    /// The instance lock that our launcher took.
    pub lock: Option<OwnedFd>,
    /// Where our launcher lets us go and waits for news of the start.
    pub startup: Option<Startup>,
    /// What the service manager gave us.
    pub manager: Manager,
}

/// Takes the inherited descriptors out of the environment.
///
/// Called once, first thing in `main`, while there is one thread.
#[must_use]
pub fn take() -> Inherited {
    Inherited {
        ready: take_fd(READY_FD, SFlag::S_IFIFO).map(|fd| ReadySender { pipe: fd.into() }),
        lifeline: take_fd(LIFELINE_FD, SFlag::S_IFIFO).map(|pipe| Lifeline { pipe }),
        secrets: take_fd(SECRETS_FD, SFlag::S_IFIFO).and_then(Secrets::read),
        listener: take_fd(LISTENER_FD, SFlag::S_IFSOCK),
        lock: take_fd(LOCK_FD, SFlag::S_IFREG),
        startup: take_fd(STARTUP_FD, SFlag::S_IFSOCK).map(Startup::from),
        manager: manager::take(),
    }
}

/// Takes the lifeline alone: the rest is for the program that is run next.
///
/// Called once, first thing in `main`, while there is one thread.
#[must_use]
pub fn take_lifeline() -> Option<OwnedFd> {
    take_fd(LIFELINE_FD, SFlag::S_IFIFO)
}

/// The write end of the readiness pipe.
#[derive(Debug)]
pub struct ReadySender {
    pipe: File,
}

impl ReadySender {
    /// Writes `line`, one JSON object without newline, and closes the pipe.
    ///
    /// A supervisor that is gone is no error here; the lifeline says so.
    pub fn send(mut self, line: &str) {
        _ = self.pipe.write_all(format!("{line}\n").as_bytes());
    }
}

/// What a child says of itself after it was ready, on the same pipe.
#[derive(Debug)]
pub struct Teller {
    pipe: pipe::Sender,
    /// Only a part of the last line fitted in.
    is_cut: AtomicBool,
}

impl ReadySender {
    /// As [`Self::send`], and keeps the pipe, on the runtime this is called in;
    /// `None` if that cannot be.
    pub fn send_and_keep(mut self, line: &str) -> Option<Teller> {
        _ = self.pipe.write_all(format!("{line}\n").as_bytes());
        let pipe = pipe::Sender::from_owned_fd(self.pipe.into()).ok()?;
        let is_cut = AtomicBool::new(false);
        Some(Teller { pipe, is_cut })
    }
}

impl Teller {
    /// The longest line that is read. On Linux a pipe takes it as a whole or
    /// not at all; macOS promises that of 512 bytes.
    const LINE_BYTES_MAX: usize = 4096;

    /// Writes `line`, unless nobody reads or has read for long; never waits.
    pub fn say(&self, line: &str) {
        // What was cut ends here, and means nothing to who reads it.
        let begin = if self.is_cut.load(Relaxed) { "\n" } else { "" };
        let line = format!("{begin}{line}\n");
        if line.len() <= Self::LINE_BYTES_MAX
            && let Ok(written) = self.pipe.try_write(line.as_bytes())
        {
            self.is_cut.store(written < line.len(), Relaxed);
        }
    }
}

/// The read end of the lifeline pipe, which the supervisor never writes to.
#[derive(Debug)]
pub struct Lifeline {
    pipe: OwnedFd,
}

impl Lifeline {
    /// Resolves once the supervisor is gone.
    ///
    /// # Cancel safety
    ///
    /// The pipe is closed when the future is dropped; it belongs to a task of
    /// its own or to one that waits for nothing else.
    pub async fn lost(self) {
        let Ok(pipe) = pipe::Receiver::from_owned_fd(self.pipe) else {
            return;
        };
        let mut byte = [0; 1];
        loop {
            if pipe.readable().await.is_err() {
                return;
            }
            match pipe.try_read(&mut byte) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }
}

/// A JSON text that no log may show.
pub struct Secrets(String);

impl Secrets {
    fn read(fd: OwnedFd) -> Option<Self> {
        let mut text = String::new();
        let read = File::from(fd)
            .take(SECRETS_BYTES_MAX)
            .read_to_string(&mut text);
        read.is_ok().then_some(Self(text))
    }

    /// The text itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}

/// The descriptor that `variable` names, close-on-exec, if it is of this kind.
#[allow(unsafe_code)]
fn take_fd(variable: &str, expected: SFlag) -> Option<OwnedFd> {
    let value = std::env::var(variable).ok()?;
    // SAFETY: `take` runs before any thread is started.
    unsafe { std::env::remove_var(variable) };
    let number: RawFd = value.parse().ok().filter(|fd| 2 < *fd)?;
    // SAFETY: borrowed only to ask the kernel what it is; a closed number
    // makes the calls fail.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    let kind = SFlag::from_bits_truncate(fstat(borrowed).ok()?.st_mode & SFlag::S_IFMT.bits());
    if kind != expected {
        return None;
    }
    // SAFETY: an open descriptor that the variable declared to be ours, and the
    // variable is gone, so it is taken once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests;
