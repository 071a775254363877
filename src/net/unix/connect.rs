//! Connecting, and what a refusal means.
//!
//! On Linux a listener whose backlog is full says EAGAIN, and ECONNREFUSED means
//! that nobody listens. macOS says ECONNREFUSED for both, so there a refusal is
//! believed only once it has lasted: a backlog that is served has room again
//! by then.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::address::{Address, PathTooLong};

/// How often a connect is tried again while the listener's backlog is full.
const BUSY_RETRY: Duration = Duration::from_millis(5);

/// How long a refusal must last to be believed: as long as a busy server may
/// take for a full backlog.
const REFUSED_PATIENCE: Duration = if cfg!(target_os = "macos") {
    Duration::from_millis(100)
} else {
    Duration::ZERO
};

/// Why a socket could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No such file.
    #[error("there is no socket {}", path.display())]
    Absent {
        /// The path tried.
        path: PathBuf,
    },
    /// The socket is there, nobody listens.
    #[error("nobody listens on {}", path.display())]
    Refused {
        /// The path tried.
        path: PathBuf,
    },
    /// The listener takes no more connections.
    #[error("{} accepted no connection within {} ms", path.display(), waited.as_millis())]
    TimedOut {
        /// The path tried.
        path: PathBuf,
        /// How long it was tried.
        waited: Duration,
    },
    /// The path does not fit into a socket address.
    #[error(transparent)]
    TooLong(#[from] PathTooLong),
    /// Anything else.
    #[error("failed to connect to {}", path.display())]
    Io {
        /// The path tried.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Connects to `path`, waiting up to `patience` while the backlog is full.
///
/// # Errors
///
/// Says whether there is no socket, nobody listens, or time ran out.
pub async fn connect(path: &Path, patience: Duration) -> Result<UnixStream, ConnectError> {
    let address = Address::of(path)?;
    let began = Instant::now();
    loop {
        let source = match UnixStream::connect(address.path()).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let path = || path.to_path_buf();
        match verdict(source.kind(), began.elapsed(), patience, REFUSED_PATIENCE) {
            Verdict::Again => tokio::time::sleep(BUSY_RETRY).await,
            Verdict::Absent => return Err(ConnectError::Absent { path: path() }),
            Verdict::Refused => return Err(ConnectError::Refused { path: path() }),
            Verdict::TimedOut => {
                let (path, waited) = (path(), patience);
                return Err(ConnectError::TimedOut { path, waited });
            }
            Verdict::Broken => {
                let path = path();
                return Err(ConnectError::Io { path, source });
            }
        }
    }
}

/// What a connect that failed means.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Again,
    Absent,
    Refused,
    TimedOut,
    Broken,
}

fn verdict(
    said: io::ErrorKind,
    waited: Duration,
    patience: Duration,
    refused_patience: Duration,
) -> Verdict {
    use io::ErrorKind::{ConnectionRefused, NotFound, WouldBlock};
    match said {
        NotFound => Verdict::Absent,
        ConnectionRefused if waited < patience.min(refused_patience) => Verdict::Again,
        ConnectionRefused => Verdict::Refused,
        WouldBlock if waited < patience => Verdict::Again,
        WouldBlock => Verdict::TimedOut,
        _ => Verdict::Broken,
    }
}

/// The outcome of `connect`, a refusal only once it is to be believed; blocks
/// that long.
pub(super) fn believed<T>(connect: impl Fn() -> Result<T, Errno>) -> Result<T, Errno> {
    let began = std::time::Instant::now();
    loop {
        match connect() {
            Err(Errno::ECONNREFUSED) if began.elapsed() < REFUSED_PATIENCE => {
                std::thread::sleep(BUSY_RETRY);
            }
            done => return done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use io::ErrorKind::{ConnectionRefused, NotFound, WouldBlock};

    #[test]
    fn a_refusal_is_final_at_once_where_a_full_backlog_says_so_itself() {
        let (now, second) = (Duration::ZERO, Duration::from_secs(1));
        let said = |kind, waited| verdict(kind, waited, second, Duration::ZERO);
        assert_eq!(said(ConnectionRefused, now), Verdict::Refused);
        assert_eq!(said(WouldBlock, now), Verdict::Again);
        assert_eq!(said(WouldBlock, second), Verdict::TimedOut);
        assert_eq!(said(NotFound, now), Verdict::Absent);
    }

    #[test]
    fn a_refusal_that_may_be_a_full_backlog_is_believed_when_it_has_lasted() {
        let (now, second) = (Duration::ZERO, Duration::from_secs(1));
        let moment = Duration::from_millis(100);
        let said = |waited, patience| verdict(ConnectionRefused, waited, patience, moment);
        assert_eq!(said(now, second), Verdict::Again);
        assert_eq!(said(moment, second), Verdict::Refused);
        assert_eq!(said(now, Duration::ZERO), Verdict::Refused, "nobody waits");
    }
}
