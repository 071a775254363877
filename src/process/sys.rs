//! The system calls that std and nix lack, and all `unsafe` of this room.

#![allow(unsafe_code)]

use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::FromRawFd;
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::OnceLock;

use nix::libc;
use nix::sys::resource::{self, Resource};
use nix::sys::stat::{self, Mode};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

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
/// given.
///
/// Called once, first thing in `main`, while there is one thread.
pub(crate) fn settle() {
    let umask = stat::umask(Mode::from_bits_truncate(0o077)).bits();
    let files = resource::getrlimit(Resource::RLIMIT_NOFILE).ok();
    if let Some((_, hard)) = files {
        // Where the limit cannot be raised, we do with less.
        _ = resource::setrlimit(Resource::RLIMIT_NOFILE, hard.min(FILES_MAX), hard);
    }
    // SAFETY: no handler of ours runs.
    let too_large = unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    _ = GIVEN.set(Given {
        umask,
        files,
        too_large,
    });
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
                die_with(parent)?;
            }
            if let Some(given) = given {
                give_back(given);
            }
            close_on_exec();
            for &fd in &keep {
                if libc::fcntl(fd, libc::F_SETFD, 0) == -1 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        });
    }
}

/// Asks to be killed with the thread that forked us, and checks that it has
/// not ended before we asked.
#[cfg(target_os = "linux")]
fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: plain system calls.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == -1 {
            return Err(io::Error::last_os_error());
        }
        if libc::getppid().cast_unsigned() != parent {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    Ok(())
}

/// Elsewhere the lifeline alone tells a child that its parent is gone.
#[cfg(not(target_os = "linux"))]
fn die_with(_parent: u32) -> io::Result<()> {
    Ok(())
}

/// Whether this kernel has `close_range`; closes nothing.
#[cfg(target_os = "linux")]
pub(super) fn has_close_range() -> bool {
    const LAST: libc::c_uint = libc::c_uint::MAX;
    // SAFETY: marks the last number there is, which is no descriptor.
    unsafe { libc::syscall(libc::SYS_close_range, LAST, LAST, 1 << 2) == 0 }
}

/// Marks every descriptor beyond the standard streams close-on-exec.
#[cfg(target_os = "linux")]
fn close_on_exec() {
    /// `CLOSE_RANGE_CLOEXEC`: mark instead of close.
    const MARK: libc::c_uint = 1 << 2;
    // SAFETY: changes flags of this process's descriptors only. A kernel
    // without the call leaves them as they are: ours have the flag from birth.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST_FD, libc::c_uint::MAX, MARK) };
}

/// Marks every descriptor beyond the standard streams close-on-exec.
#[cfg(not(target_os = "linux"))]
fn close_on_exec() {
    /// More descriptors than this nobody hands to a supervisor.
    const LAST_FD: libc::c_int = 1024;
    for fd in FIRST_FD.cast_signed()..LAST_FD {
        // SAFETY: on a closed number this fails and changes nothing.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// A descriptor that becomes readable when `pid`, an unreaped child of ours,
/// ends.
#[cfg(target_os = "linux")]
pub(super) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: returns a new descriptor, close-on-exec, or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match RawFd::try_from(fd) {
        // SAFETY: it was made for us just now.
        Ok(fd) if 0 <= fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A descriptor that reads end of file when `pid`, an unreaped child of ours,
/// ends: a thread waits for it without reaping.
#[cfg(not(target_os = "linux"))]
pub(super) fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    let (read, write) = nix::unistd::pipe()?;
    let wait = move || {
        let _until_it_ends = write;
        // SAFETY: an all-zero siginfo_t is valid, and waitid only fills it.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            libc::waitid(
                libc::P_PID,
                pid,
                &raw mut info,
                libc::WEXITED | libc::WNOWAIT,
            );
        }
    };
    std::thread::Builder::new()
        .name("waiter".into())
        .spawn(wait)?;
    Ok(read)
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

/// Marks everything this process inherited beyond the standard streams
/// close-on-exec, so that no child of ours gets what only leaked into us.
pub(crate) fn seal_descriptors() {
    close_on_exec();
}

/// Kills the process that `pidfd` means, whatever its pid means by now.
#[cfg(target_os = "linux")]
pub(super) fn kill_by(pidfd: &OwnedFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let no_info = std::ptr::null::<libc::siginfo_t>();
    let (fd, flags) = (pidfd.as_raw_fd(), 0);
    // SAFETY: a plain system call on an open descriptor; a null siginfo means
    // what kill(2) would send.
    match unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            fd,
            libc::SIGKILL,
            no_info,
            flags,
        )
    } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
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

/// From now on, who loses its parent below us becomes a child of ours.
#[cfg(target_os = "linux")]
pub(super) fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Nobody can be adopted here.
#[cfg(not(target_os = "linux"))]
pub(super) fn become_subreaper() -> io::Result<()> {
    Ok(())
}

/// Whether any child of ours has ended and is not reaped yet.
#[cfg(target_os = "linux")]
pub(super) fn has_ended_child() -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags).is_ok_and(|status| status != WaitStatus::StillAlive)
}

/// Whether we have a child at all, ended or not.
#[cfg(target_os = "linux")]
pub(super) fn has_child() -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags) != Err(nix::errno::Errno::ECHILD)
}

/// Nobody is adopted here.
#[cfg(not(target_os = "linux"))]
pub(super) fn has_child() -> bool {
    false
}

/// Nobody is adopted here, so all children are reaped by whoever spawned them.
#[cfg(not(target_os = "linux"))]
pub(super) fn has_ended_child() -> bool {
    false
}

/// Reaps `pid`, a child of ours that has ended.
pub(super) fn reap(pid: u32) {
    use nix::sys::wait::{WaitPidFlag, waitpid};
    let pid = nix::unistd::Pid::from_raw(pid.cast_signed());
    _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
}
