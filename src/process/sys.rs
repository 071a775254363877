//! The system calls that std and nix lack, and all `unsafe` of this room.

#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod macos;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use nix::libc;
use nix::sys::resource::{self, Resource};
use nix::sys::signal::SigSet;
use nix::sys::stat::{self, Mode};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use macos as system;

pub(super) use system::{become_subreaper, end_of, has_child, has_ended_child, outlive_parent};
#[cfg(target_os = "linux")]
pub(super) use system::{has_close_range, kill_by};

/// The first descriptor that is no standard stream.
const FIRST_FD: libc::c_uint = 3;

/// More open files than this we never need; some systems refuse more than
/// 10 240 although they say that there is no limit.
const FILES_MAX: libc::rlim_t = if cfg!(target_os = "macos") {
    10_240
} else {
    1_048_576
};

/// What whoever started us gave us, and we changed.
#[derive(Clone, Copy)]
struct Given {
    umask: libc::mode_t,
    files: Option<(libc::rlim_t, libc::rlim_t)>,
    /// What a file that gets too large does to a process.
    too_large: libc::sighandler_t,
}

static GIVEN: OnceLock<Given> = OnceLock::new();

/// Makes this process private and roomy: what it makes is its user's only, and
/// it may open as many files as the system lets it. A limit on the size of files
/// is an error where it is reached, and no death. Children get back what we were
/// given, but for signals that are blocked: those would neither end us nor them, and
/// whoever started us has blocked them for itself.
///
/// Called once, first thing in `main`, while there is one thread.
pub(crate) fn settle() {
    let umask = stat::umask(Mode::from_bits_truncate(0o077)).bits();
    let files = resource::getrlimit(Resource::RLIMIT_NOFILE).ok();
    if let Some((soft, hard)) = files {
        // Where the limit cannot be raised, we do with less.
        _ = resource::setrlimit(Resource::RLIMIT_NOFILE, roomy(soft, hard), hard);
    }
    // SAFETY: no handler of ours runs.
    let too_large = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    // All threads and children begin with what this one has (pthread_sigmask(3)).
    _ = SigSet::empty().thread_set_mask();
    _ = GIVEN.set(Given {
        umask,
        files,
        too_large,
    });
}

/// The limit to ask for: never less than what we have.
fn roomy(soft: libc::rlim_t, hard: libc::rlim_t) -> libc::rlim_t {
    soft.max(hard.min(FILES_MAX))
}

/// Between fork and exec: gives a child what we were given.
fn give_back(given: Given) {
    // SAFETY: plain system calls, on a structure of our own.
    unsafe {
        libc::umask(given.umask);
        libc::signal(libc::SIGXFSZ, given.too_large);
        if let Some((rlim_cur, rlim_max)) = given.files {
            let limit = libc::rlimit { rlim_cur, rlim_max };
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Makes the child lead a session of its own and inherit only `keep` beyond
/// the standard streams; with `die_with_parent` the kernel kills it when the
/// calling thread ends.
pub(super) fn isolate(command: &mut Command, keep: Vec<RawFd>, die_with_parent: bool) {
    let parent = std::process::id();
    let given = GIVEN.get().copied();
    // SAFETY: between fork and exec the closure makes system calls only; it
    // allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || {
            if libc::setsid() == -1 {
                return Err(io::Error::last_os_error());
            }
            if die_with_parent {
                system::die_with(parent)?;
            }
            // Before the limit is lowered again: by it the highest is known.
            system::close_on_exec();
            if let Some(given) = given {
                give_back(given);
            }
            for &fd in &keep {
                if libc::fcntl(fd, libc::F_SETFD, 0) == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// How far local time is ahead of UTC, in seconds, at `seconds` after the epoch.
pub(crate) fn local_offset(seconds: i64) -> Option<i32> {
    let time = libc::time_t::from(seconds);
    // SAFETY: an all-zero tm is valid, and localtime_r only fills it; nobody
    // changes the environment, where it finds the zone.
    let local = unsafe {
        let mut local: libc::tm = std::mem::zeroed();
        let filled = libc::localtime_r(&raw const time, &raw mut local);
        (!filled.is_null()).then_some(local)
    };
    i32::try_from(local?.tm_gmtoff).ok()
}

/// Waits for `fd` to become readable, on the runtime this is called in.
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an OwnedFd is open, and the same, until it is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Runs `work` in a process that nobody waits for: a session of its own, and
/// nobody's child. It has every descriptor of ours, and ends with `work`.
///
/// To be called while there is one thread: a fork has no other.
pub(super) fn orphan(work: impl FnOnce()) -> io::Result<()> {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork, setsid};
    // SAFETY: there is one thread, so nothing is locked or half done.
    let parent = match unsafe { fork() }? {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // SAFETY: as above. The one in between ends at once, so that the
            // other loses its parent.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    _ = setsid();
                    work();
                    end_now(0)
                }
                Ok(ForkResult::Parent { .. }) => end_now(0),
                Err(_) => end_now(1),
            }
        }
    };
    match waitpid(parent, None)? {
        WaitStatus::Exited(_, 0) => Ok(()),
        _ => Err(io::ErrorKind::OutOfMemory.into()),
    }
}

/// Ends this process and runs nothing of what a program does at its end.
fn end_now(code: libc::c_int) -> ! {
    // SAFETY: does not return.
    unsafe { libc::_exit(code) }
}

/// Lets go of everything this process was given but the descriptors in `keep`:
/// streams, descriptors, directory.
///
/// Called by a process that owns nothing else, and is never to use what it let
/// go of.
pub(super) fn let_go(keep: &[RawFd]) {
    _ = nix::unistd::chdir("/");
    if let Ok(null) = std::fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
    {
        _ = nix::unistd::dup2_stdin(&null);
        _ = nix::unistd::dup2_stdout(&null);
        _ = nix::unistd::dup2_stderr(&null);
    }
    let names = std::fs::read_dir("/dev/fd").into_iter().flatten();
    let open = names.filter_map(|name| name.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    // The list is a descriptor itself, and closed by then.
    let open: Vec<RawFd> = open.filter(|fd| 2 < *fd && !keep.contains(fd)).collect();
    for fd in open {
        // SAFETY: nobody uses it again, see above.
        unsafe { libc::close(fd) };
    }
}

/// Marks everything this process inherited beyond the standard streams
/// close-on-exec, so that no child of ours gets what only leaked into us.
pub(crate) fn seal_descriptors() {
    system::close_on_exec();
}

/// Whether `fd` is readable now.
pub(super) fn is_readable(fd: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| 0 < ready)
}

/// Asks this process to end, as its user would (SIGTERM).
pub(crate) fn end_self() {
    // Raising a signal that exists cannot fail.
    _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGTERM);
}

/// Reaps `pid`, a child of ours that has ended.
pub(super) fn reap(pid: u32) {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_raised_and_never_lowered() {
        assert_eq!(roomy(256, libc::RLIM_INFINITY), FILES_MAX);
        assert_eq!(roomy(256, 4096), 4096);
        assert_eq!(roomy(2 * FILES_MAX, libc::RLIM_INFINITY), 2 * FILES_MAX);
    }
}
