//! Giving freed memory back to the system.

/// Returns what the allocator keeps of freed memory to the system.
///
/// glibc keeps it for later, which for a process that was busy once and then
/// idles for days is never. Takes milliseconds: for idle moments. Elsewhere
/// the allocator does so by itself, and this does nothing.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    trim();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn trim() {
    // SAFETY: takes no pointers and may be called at any time, on any thread.
    unsafe { nix::libc::malloc_trim(0) };
}
