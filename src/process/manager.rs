//! What the service manager that started this process gave it.
//!
//! | variable | meaning |
//! |---|---|
//! | `NOTIFY_SOCKET` | where it hears how we are |
//! | `WATCHDOG_USEC`, `WATCHDOG_PID` | how often it must hear from us, and who is meant |
//! | `LISTEN_FDS`, `LISTEN_PID` | sockets it has bound for us, from descriptor 3 on, and who is meant |
//!
//! They are out of the environment after [`take`], so that no child of ours
//! takes them for its own. What is meant for another process is ignored.

use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::socket::{getsockopt, sockopt};

/// The first descriptor that is handed over.
const FIRST_FD: RawFd = 3;

/// More sockets than this nobody hands to us.
const SOCKETS_MAX: RawFd = 64;

/// What a service manager gave us; empty when none started us.
#[derive(Debug, Default)]
pub struct Manager {
    /// Where it listens: a path, or an abstract name after `@`.
    pub notify_socket: Option<String>,
    /// It must hear from us at least this often.
    pub watchdog: Option<Duration>,
    /// Listening sockets that it has bound for us, close-on-exec.
    pub sockets: Vec<OwnedFd>,
}

/// Takes what the service manager gave us out of the environment.
///
/// Called once, first thing in `main`, while there is one thread.
pub(super) fn take() -> Manager {
    let own = std::process::id();
    let notify_socket = take_variable("NOTIFY_SOCKET").filter(|name| !name.is_empty());
    let watchdog = take_variable("WATCHDOG_USEC");
    let watched = take_variable("WATCHDOG_PID");
    let count = take_variable("LISTEN_FDS");
    let listener = take_variable("LISTEN_PID");
    take_variable("LISTEN_FDNAMES");
    Manager {
        watchdog: watchdog_of(watchdog.as_deref(), watched.as_deref(), own)
            .filter(|_| notify_socket.is_some()),
        sockets: sockets_of(count.as_deref(), listener.as_deref(), own),
        notify_socket,
    }
}

#[allow(unsafe_code)]
fn take_variable(name: &str) -> Option<String> {
    let value = std::env::var(name).ok();
    // SAFETY: `take` runs before any thread is started.
    unsafe { std::env::remove_var(name) };
    value
}

fn names(pid: Option<&str>, own: u32) -> bool {
    pid.and_then(|pid| pid.parse().ok()) == Some(own)
}

/// How often the manager must hear from us; without a pid everybody is meant.
fn watchdog_of(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some() && !names(pid, own) {
        return None;
    }
    let usec = usec?.parse().ok().filter(|usec| 0 < *usec)?;
    Some(Duration::from_micros(usec))
}

fn sockets_of(count: Option<&str>, pid: Option<&str>, own: u32) -> Vec<OwnedFd> {
    let count: RawFd = count.and_then(|count| count.parse().ok()).unwrap_or(0);
    if !names(pid, own) || !(1..=SOCKETS_MAX).contains(&count) {
        return Vec::new();
    }
    (FIRST_FD..FIRST_FD + count).filter_map(listening).collect()
}

/// The descriptor `number`, close-on-exec, if it is a listening socket.
#[allow(unsafe_code)]
fn listening(number: RawFd) -> Option<OwnedFd> {
    // SAFETY: borrowed only to ask the kernel what it is; a closed number
    // makes the calls fail.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).ok()?;
    if !getsockopt(&borrowed, sockopt::AcceptConn).ok()? {
        return None;
    }
    // SAFETY: an open descriptor that the manager declared to be ours; the
    // variables are gone, so it is taken once.
    Some(unsafe { OwnedFd::from_raw_fd(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 42;

    #[test]
    fn a_watchdog_counts_only_if_we_are_meant() {
        let half_a_minute = Some(Duration::from_secs(30));
        let usec = Some("30000000");
        assert_eq!(watchdog_of(usec, Some("42"), OWN), half_a_minute);
        assert_eq!(watchdog_of(usec, None, OWN), half_a_minute);
        assert_eq!(watchdog_of(usec, Some("43"), OWN), None);
        assert_eq!(watchdog_of(usec, Some("x"), OWN), None);
        for nonsense in ["0", "", "-1", "soon"] {
            assert_eq!(watchdog_of(Some(nonsense), None, OWN), None);
        }
    }

    #[test]
    fn sockets_of_another_process_are_not_taken() {
        assert!(sockets_of(Some("1"), Some("43"), OWN).is_empty());
        assert!(sockets_of(Some("1"), None, OWN).is_empty());
        assert!(sockets_of(Some("-1"), Some("42"), OWN).is_empty());
        assert!(sockets_of(Some("999999"), Some("42"), OWN).is_empty());
    }
}
