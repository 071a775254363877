//! macOS: a kqueue tells of an end; there is no death signal and no adoption.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::libc;
use nix::sys::event::{EvFlags, EventFilter, FilterFlag, KEvent, Kqueue};
use nix::sys::resource::{Resource, getrlimit};

use super::{FILES_MAX, FIRST_FD};

/// Nothing here: the lifeline alone tells a child of ours that its parent is
/// gone, and a guard a program of others.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(super) fn die_with(_parent: u32) -> io::Result<()> {
    Ok(())
}

/// As it is.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(in super::super) fn outlive_parent() -> io::Result<()> {
    Ok(())
}

/// Marks every descriptor beyond the standard streams close-on-exec.
///
/// Pipes and sockets are born without the mark here, so that a fork of another
/// thread may come in between.
pub(super) fn close_on_exec() {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(FILES_MAX, |(soft, _)| soft);
    let last = libc::c_int::try_from(limit.min(FILES_MAX)).unwrap_or(libc::c_int::MAX);
    for fd in FIRST_FD.cast_signed()..last {
        // SAFETY: on a closed number this fails and changes nothing.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// A descriptor that becomes readable when `pid` ends, and stays so.
///
/// A kqueue, and no thread in `waitid`: that one returns here for a child that
/// was only stopped, too.
pub(in super::super) fn end_of(pid: u32) -> io::Result<OwnedFd> {
    let queue = Kqueue::new()?;
    let ident = usize::try_from(pid).map_err(io::Error::other)?;
    let exit = KEvent::new(
        ident,
        EventFilter::EVFILT_PROC,
        EvFlags::EV_ADD,
        FilterFlag::NOTE_EXIT,
        0,
        0,
    );
    match queue.kevent(&[exit], &mut [], None) {
        Ok(_) => Ok(queue.into()),
        // So the kernel says of a zombie as well.
        Err(Errno::ESRCH) => already_readable(),
        Err(errno) => Err(errno.into()),
    }
}

fn already_readable() -> io::Result<OwnedFd> {
    let (read, _closed) = io::pipe()?;
    Ok(read.into())
}

/// Nobody can be adopted here.
#[expect(clippy::unnecessary_wraps, reason = "elsewhere it can fail")]
pub(in super::super) fn become_subreaper() -> io::Result<()> {
    Ok(())
}

/// Nobody is adopted here.
pub(in super::super) fn has_child() -> bool {
    false
}

/// Nobody is adopted here, so all children are reaped by whoever spawned them.
pub(in super::super) fn has_ended_child() -> bool {
    false
}
