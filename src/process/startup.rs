//! Between a launcher and the supervisor it detaches: a pair of sockets.
//!
//! ```text
//! launcher                                     supervisor
//!   takes the lock, writes itself into it
//!   detaches it ─────────────────────────────▶ waits
//!   writes the supervisor into the lock
//!   and lets go of its own descriptor
//!   ── one byte: go ─────────────────────────▶ writes itself into the lock
//!   ◀───────── JSON lines: how the start goes ──
//! ```
//!
//! So nobody writes over what came later, and whoever the lock names is
//! somebody whose death frees it. A launcher that is gone writes no more either:
//! the supervisor goes on without it. One that hangs may write yet, so a
//! supervisor that was not let go in time gives up.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// How long a launcher may take to let its supervisor go: two short writes.
pub const GO_PATIENCE: Duration = Duration::from_secs(10);

/// The launcher's end, and the supervisor's.
///
/// # Errors
///
/// When there is no descriptor left.
pub fn pair() -> io::Result<(Launching, OwnedFd)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((Launching(ours), theirs.into()))
}

/// The launcher's end, while the supervisor waits.
#[derive(Debug)]
pub struct Launching(UnixStream);

impl Launching {
    /// Lets the supervisor go; what comes now is how its start goes.
    ///
    /// # Errors
    ///
    /// When the runtime this is called in cannot read it.
    pub fn go(mut self) -> io::Result<tokio::net::UnixStream> {
        // A supervisor that is gone is told by the end of the stream.
        _ = self.0.write_all(b"\n");
        self.0.set_nonblocking(true)?;
        tokio::net::UnixStream::from_std(self.0)
    }
}

/// The supervisor's end.
#[derive(Debug)]
pub struct Startup(UnixStream);

impl From<OwnedFd> for Startup {
    fn from(fd: OwnedFd) -> Self {
        Self(fd.into())
    }
}

impl Startup {
    /// Waits until the launcher has let us go or is gone, for `patience` at
    /// most.
    ///
    /// # Errors
    ///
    /// When it has not: it hangs.
    pub fn wait(&mut self, patience: Duration) -> io::Result<()> {
        self.0.set_read_timeout(Some(patience))?;
        match self.0.read_exact(&mut [0]) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                Err(ErrorKind::TimedOut.into())
            }
            _ => Ok(()),
        }
    }

    /// Says one line of how the start goes.
    ///
    /// # Errors
    ///
    /// When the launcher is gone.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.0.write_all(format!("{line}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn a_supervisor_waits_until_it_is_let_go() {
        let (launching, theirs) = pair().unwrap();
        let mut startup = Startup::from(theirs);
        let hangs = startup.wait(SHORT).unwrap_err();
        assert_eq!(hangs.kind(), ErrorKind::TimedOut);
        let mut news = launching.go().unwrap();
        startup.wait(SHORT).unwrap();
        startup.say("{}").unwrap();
        drop(startup);
        let mut text = String::new();
        let read = tokio::io::AsyncReadExt::read_to_string(&mut news, &mut text);
        read.await.unwrap();
        assert_eq!(text, "{}\n");
    }

    #[test]
    fn a_supervisor_goes_on_without_a_launcher_that_is_gone() {
        let (launching, theirs) = pair().unwrap();
        drop(launching);
        let mut startup = Startup::from(theirs);
        startup.wait(SHORT).unwrap();
        assert!(startup.say("{}").is_err());
    }
}
