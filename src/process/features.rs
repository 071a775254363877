//! What this kernel can do of what this room uses.

/// By name, whether the kernel has it.
#[must_use]
#[cfg(target_os = "linux")]
pub fn kernel() -> Vec<(&'static str, bool)> {
    let own = std::process::id();
    vec![
        ("pidfd", super::sys::end_of(own).is_ok()),
        ("close_range", super::sys::has_close_range()),
        ("subreaper", nix::sys::prctl::get_child_subreaper().is_ok()),
    ]
}

/// By name, whether the kernel has it: here there is nothing to choose from.
#[must_use]
#[cfg(not(target_os = "linux"))]
pub fn kernel() -> Vec<(&'static str, bool)> {
    Vec::new()
}

/// How many files this process may have open.
#[must_use]
pub fn open_files() -> Option<u64> {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE)
        .ok()
        .map(|(soft, _)| soft)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_that_runs_the_tests_has_them_all() {
        assert!(kernel().iter().all(|(_, has)| *has), "{:?}", kernel());
        assert!(open_files().is_some_and(|files| files > 0));
    }
}
