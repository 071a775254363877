//! A process that does nothing more, on a machine that may be busy.

use std::fs;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Far longer than it takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Stops `pid`, and returns once it stands still: one of its threads has to run to
/// stop the others, and on a busy machine these go on for a while.
pub fn suspend(pid: u32) {
    signal(pid, "STOP");
    let deadline = Instant::now() + PATIENCE;
    while !stands_still(pid) {
        assert!(Instant::now() < deadline, "{pid} never stands still");
        sleep(Duration::from_millis(1));
    }
}

/// It goes on.
pub fn resume(pid: u32) {
    signal(pid, "CONT");
}

fn signal(pid: u32, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &pid.to_string()])
        .status();
    assert!(sent.expect("kill runs").success());
}

/// Whether no thread of a process runs, where that can be told.
fn stands_still(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    threads.flatten().all(|thread| {
        let stat = fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        // Behind its name; see proc_pid_stat(5).
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.starts_with(" T") || state.starts_with(" Z")
    })
}
