//! `libproc` and `sysctl`.
//!
//! Of processes of other users the kernel tells less: that they are there, and
//! in which group. Of zombies it tells nothing.

#![allow(unsafe_code)]

use std::io;
use std::mem::{size_of, zeroed};
use std::time::Duration;

use nix::libc::{self, c_int, c_void};

use super::Stat;
use crate::process::usage::Usage;

/// Room for processes that are born while the table is read.
const NEWBORN: usize = 64;

pub(super) fn pids() -> Vec<u32> {
    // SAFETY: without a buffer it only says how many there are.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let Ok(count) = usize::try_from(count) else {
        return Vec::new();
    };
    let mut pids: Vec<libc::pid_t> = vec![0; count + NEWBORN];
    let Ok(bytes) = c_int::try_from(size_of_val(pids.as_slice())) else {
        return Vec::new();
    };
    // SAFETY: it writes at most so many bytes into a buffer of that size.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast::<c_void>(), bytes) };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    let pids = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok());
    pids.filter(|pid| *pid != 0).collect()
}

/// A structure the kernel fills with what it knows of a process.
///
/// # Safety
///
/// It is plain old data: valid when it is all zero, and whatever is written.
unsafe trait Info {
    const FLAVOR: c_int;
}

// SAFETY: numbers and arrays of them.
unsafe impl Info for libc::proc_bsdinfo {
    const FLAVOR: c_int = libc::PROC_PIDTBSDINFO;
}

// SAFETY: as above.
unsafe impl Info for libc::proc_bsdshortinfo {
    const FLAVOR: c_int = libc::PROC_PIDT_SHORTBSDINFO;
}

// SAFETY: as above.
unsafe impl Info for libc::proc_taskinfo {
    const FLAVOR: c_int = libc::PROC_PIDTASKINFO;
}

fn ask<T: Info>(pid: u32) -> io::Result<T> {
    let size = c_int::try_from(size_of::<T>()).map_err(io::Error::other)?;
    // SAFETY: all-zero is valid, and the call writes at most its size.
    let (info, written) = unsafe {
        let mut info: T = zeroed();
        let place = (&raw mut info).cast::<c_void>();
        let written = libc::proc_pidinfo(pid.cast_signed(), T::FLAVOR, 0, place, size);
        (info, written)
    };
    if written == size {
        Ok(info)
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Nothing for a zombie.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    match ask::<libc::proc_bsdinfo>(pid) {
        Ok(info) => Some(Stat {
            state: state(info.pbi_status),
            parent: info.pbi_ppid,
            group: info.pbi_pgid.cast_signed(),
            is_ending: info.pbi_flags & PROC_FLAG_INEXIT != 0,
            start: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec,
            cpu_ticks: 0,
        }),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => of_another(pid),
        Err(_) => None,
    }
}

/// The flag of a process that has begun to exit, of <sys/proc_info.h>.
const PROC_FLAG_INEXIT: u32 = 0x4;

/// A process of another user, which we could not signal either: its start is
/// not told.
fn of_another(pid: u32) -> Option<Stat> {
    let info = ask::<libc::proc_bsdshortinfo>(pid).ok()?;
    Some(Stat {
        state: state(info.pbsi_status),
        parent: info.pbsi_ppid,
        group: info.pbsi_pgid.cast_signed(),
        is_ending: info.pbsi_flags & PROC_FLAG_INEXIT != 0,
        start: 0,
        cpu_ticks: 0,
    })
}

fn state(status: u32) -> char {
    match status {
        libc::SZOMB => 'Z',
        libc::SSTOP => 'T',
        _ => 'R',
    }
}

/// What `pid` uses.
pub(in super::super) fn usage(pid: u32) -> Option<Usage> {
    let info = ask::<libc::proc_taskinfo>(pid).ok()?;
    let ticks = info.pti_total_user.saturating_add(info.pti_total_system);
    Some(Usage {
        rss_bytes: info.pti_resident_size,
        cpu: of_ticks(ticks)?,
    })
}

/// The kernel counts CPU time in ticks of its own clock: of 1 ns on Intel, of
/// 125/3 ns on Apple silicon.
#[expect(deprecated, reason = "the call itself is not; libc only moved it away")]
fn of_ticks(ticks: u64) -> Option<Duration> {
    // SAFETY: all-zero is valid, and the call only fills it.
    let base = unsafe {
        let mut base: libc::mach_timebase_info = zeroed();
        (libc::mach_timebase_info(&raw mut base) == 0).then_some(base)?
    };
    let ns = u128::from(ticks) * u128::from(base.numer) / u128::from(base.denom.max(1));
    Some(Duration::from_nanos(u64::try_from(ns).ok()?))
}

/// Not told for less than a look at all processes.
pub(in super::super) fn is_childless(_pid: u32) -> bool {
    false
}
