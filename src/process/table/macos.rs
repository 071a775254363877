//! `libproc` and `sysctl`, for processes of this user.

#![allow(unsafe_code)]

use std::mem::size_of;

use nix::libc::{self, c_int, c_void};

use super::Stat;

/// Room for processes that are born while the table is read.
const NEWBORN: usize = 64;

pub(super) fn pids() -> Vec<u32> {
    // SAFETY: without a buffer it only says how many there are.
    let count = unsafe { libc::proc_listallpids(std::ptr::null_mut(), 0) };
    let Ok(count) = usize::try_from(count) else {
        return Vec::new();
    };
    let mut pids: Vec<libc::pid_t> = vec![0; count + NEWBORN];
    let bytes = pids.len() * size_of::<libc::pid_t>();
    let Ok(bytes) = c_int::try_from(bytes) else {
        return Vec::new();
    };
    // SAFETY: it writes at most so many bytes into a buffer of that size.
    let count = unsafe { libc::proc_listallpids(pids.as_mut_ptr().cast::<c_void>(), bytes) };
    pids.truncate(usize::try_from(count).unwrap_or(0));
    let pids = pids.into_iter().filter_map(|pid| u32::try_from(pid).ok());
    pids.filter(|pid| *pid != 0).collect()
}

/// Nothing for a zombie, which the kernel does not tell of here.
pub(super) fn stat(pid: u32) -> Option<Stat> {
    let size = c_int::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    // SAFETY: all-zero is a valid proc_bsdinfo, and the call writes at most
    // its size.
    let (info, written) = unsafe {
        let mut info: libc::proc_bsdinfo = std::mem::zeroed();
        let place = (&raw mut info).cast::<c_void>();
        let pid = pid.cast_signed();
        let written = libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, place, size);
        (info, written)
    };
    if written != size {
        return None;
    }
    let state = match info.pbi_status {
        libc::SZOMB => 'Z',
        libc::SSTOP => 'T',
        _ => 'R',
    };
    Some(Stat {
        state,
        parent: info.pbi_ppid,
        group: info.pbi_pgid.cast_signed(),
        start: info.pbi_start_tvsec * 1_000_000 + info.pbi_start_tvusec,
        cpu_ticks: 0,
    })
}

/// Not told for less than a look at all processes.
pub(in super::super) fn is_childless(_pid: u32) -> bool {
    false
}

/// A text that is another one after every boot.
pub(in super::super) fn boot_id() -> String {
    let mut text = [0_u8; 64];
    let mut len = text.len();
    // SAFETY: it writes at most `len` bytes and says how many.
    let done = unsafe {
        libc::sysctlbyname(
            c"kern.bootsessionuuid".as_ptr(),
            text.as_mut_ptr().cast::<c_void>(),
            &raw mut len,
            std::ptr::null_mut(),
            0,
        )
    };
    if done != 0 {
        return String::new();
    }
    let text = String::from_utf8_lossy(&text[..len.min(text.len())]);
    text.trim_end_matches('\0').to_owned()
}
