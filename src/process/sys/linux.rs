//! Linux: pidfds, the death signal, adoption.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::libc;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::FIRST_FD;

/// Asks to be killed with the thread that forked us, and checks that it has
/// not ended before we asked.
pub(super) fn die_with(parent: u32) -> io::Result<()> {
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

/// Takes back what [`die_with`] asked for.
pub(in super::super) fn outlive_parent() -> io::Result<()> {
    Ok(nix::sys::prctl::set_pdeathsig(None)?)
}

/// Whether this kernel has `close_range`; closes nothing.
pub(in super::super) fn has_close_range() -> bool {
    const LAST: libc::c_uint = libc::c_uint::MAX;
    // SAFETY: marks the last number there is, which is no descriptor.
    unsafe { libc::syscall(libc::SYS_close_range, LAST, LAST, 1 << 2) == 0 }
}

/// Marks every descriptor beyond the standard streams close-on-exec.
pub(super) fn close_on_exec() {
    /// `CLOSE_RANGE_CLOEXEC`: mark instead of close.
    const MARK: libc::c_uint = 1 << 2;
    // SAFETY: changes flags of this process's descriptors only. A kernel
    // without the call leaves them as they are: ours have the flag from birth.
    unsafe { libc::syscall(libc::SYS_close_range, FIRST_FD, libc::c_uint::MAX, MARK) };
}

/// A descriptor that becomes readable when `pid` ends, and means this very
/// process from now on.
pub(in super::super) fn end_of(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: returns a new descriptor, close-on-exec, or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    match RawFd::try_from(fd) {
        // SAFETY: it was made for us just now.
        Ok(fd) if 0 <= fd => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Kills the process that `pidfd` means, whatever its pid means by now.
pub(in super::super) fn kill_by(pidfd: &OwnedFd) -> io::Result<()> {
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

/// From now on, who loses its parent below us becomes a child of ours.
pub(in super::super) fn become_subreaper() -> io::Result<()> {
    Ok(nix::sys::prctl::set_child_subreaper(true)?)
}

/// Looks at our children and reaps none.
const LOOK: WaitPidFlag = WaitPidFlag::WEXITED
    .union(WaitPidFlag::WNOHANG)
    .union(WaitPidFlag::WNOWAIT);

/// Whether any child of ours has ended and is not reaped yet.
pub(in super::super) fn has_ended_child() -> bool {
    waitid(Id::All, LOOK).is_ok_and(|status| status != WaitStatus::StillAlive)
}

/// Whether we have a child at all, ended or not.
pub(in super::super) fn has_child() -> bool {
    waitid(Id::All, LOOK) != Err(Errno::ECHILD)
}
