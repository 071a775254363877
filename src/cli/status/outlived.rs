//! What outlived a supervisor that was killed, told while nothing runs.

use std::time::{Duration, Instant};

use crate::cli::progress::list;
use crate::cli::typed;
use crate::paths::Paths;
use crate::process::lease::{self, Outlived};
use crate::supervisor::instance::{Asked, Lock};

/// How long those who die with their supervisor may take, and how often they are
/// looked at.
const DYING_PATIENCE: Duration = Duration::from_millis(200);
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Who is left of a chain that runs no more.
pub(super) fn find(paths: &Paths) -> Vec<Outlived> {
    // While the lock is ours nobody starts, and all leases are of the past.
    let Ok(Asked::Ours(_lock)) = Lock::ask_existing(&paths.lock_file()) else {
        return Vec::new();
    };
    let deadline = Instant::now() + DYING_PATIENCE;
    loop {
        let left = lease::outlived(&paths.run());
        if left.is_empty() || deadline <= Instant::now() {
            return left;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

/// A line for each, and what becomes of it.
pub(super) fn text(left: &[Outlived], paths: &Paths) -> String {
    let (up, stop) = (typed::falco(paths, "up"), typed::falco(paths, "stop"));
    let line = |Outlived { name, pids }: &Outlived| {
        let who = match list(pids).as_str() {
            "" => "by a process that cannot be found".to_owned(),
            pids => format!("pid {pids}"),
        };
        format!("\n! {name} outlived its supervisor: {who}; the next {up} or {stop} ends it")
    };
    left.iter().map(line).collect()
}

/// The same for programs.
pub(super) fn json(left: &[Outlived]) -> serde_json::Value {
    let one = |Outlived { name, pids }: &Outlived| serde_json::json!({"part": name, "pids": pids});
    left.iter().map(one).collect()
}
