//! Shortages: what the system did not give, and may give again later.
//!
//! The one place that tells an error that passes by itself from one that stays.
//! A shortage is one of this process or of its machine: it says nothing of
//! whoever was to be reached or started.

use std::error::Error;
use std::fmt;
use std::io;

use nix::libc;

/// What there was none of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shortage {
    /// Descriptors of this process.
    OpenFiles,
    /// Descriptors of the whole machine.
    OpenFilesOfAll,
    /// Memory, or buffers in the kernel.
    Memory,
    /// Processes or threads.
    Processes,
}

impl Shortage {
    /// The shortage behind `error`, if it or one of its causes is one.
    ///
    /// Of no use where EAGAIN means that somebody else is busy: who connects or
    /// locks has to have told that apart before.
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let said = error.downcast_ref().and_then(Self::of);
        said.or_else(|| Self::behind(error.source()?))
    }

    /// The shortage that the system speaks of.
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.raw_os_error()? {
            libc::EMFILE => Some(Self::OpenFiles),
            libc::ENFILE => Some(Self::OpenFilesOfAll),
            libc::ENOMEM | libc::ENOBUFS => Some(Self::Memory),
            libc::EAGAIN => Some(Self::Processes),
            _ => None,
        }
    }
}

/// What a person can do.
impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenFiles => {
                "raise the limit of open files (ulimit -n, LimitNOFILE= with systemd, NumberOfFiles in SoftResourceLimits and HardResourceLimits with launchd), or find who leaks connections"
            }
            Self::OpenFilesOfAll => {
                "this machine has as many files open as it may: find who leaks them, or raise fs.file-max"
            }
            Self::Memory => "this machine has no memory left: end what uses it",
            Self::Processes => {
                "raise the limit of processes (ulimit -u, or TasksMax= of a service), or end some"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to start")]
    struct Outer(#[source] io::Error);

    fn said(errno: i32) -> Outer {
        Outer(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn what_the_system_has_none_of_for_now_is_a_shortage_and_what_it_refuses_is_not() {
        for errno in [
            libc::EMFILE,
            libc::ENFILE,
            libc::ENOMEM,
            libc::ENOBUFS,
            libc::EAGAIN,
        ] {
            assert!(Shortage::behind(&said(errno)).is_some(), "{errno}");
        }
        for errno in [
            libc::ENOENT,
            libc::EACCES,
            libc::ENOEXEC,
            libc::ECONNREFUSED,
            // Also of an address that this machine never has.
            libc::EADDRNOTAVAIL,
            libc::ECONNRESET,
            libc::ETIMEDOUT,
        ] {
            assert_eq!(Shortage::behind(&said(errno)), None, "{errno}");
        }
        assert_eq!(Shortage::of(&io::Error::other("broken")), None);
    }
}
