//! What thousands of lanes cost that idle.

use std::time::Duration;

use super::load;
use super::processes::{Chain, proc_number};

const LANES: usize = 10_000;

/// Memory of every process after ten thousand lanes have had something to send,
/// over what it was before.
pub fn idle(runtime: &tokio::runtime::Runtime) {
    let chain = Chain::start(None);
    let socket = chain.socket();
    let flood = |sessions| {
        let ran = load::flood(&socket, 8, sessions, LANES);
        runtime.block_on(ran).expect("acked");
        std::thread::sleep(Duration::from_secs(3));
    };
    let memory = || -> Vec<(String, u64)> {
        let processes = chain.processes().into_iter();
        let resident = |pid| proc_number(pid, "smaps_rollup", "Pss");
        processes.map(|(pid, name)| (name, resident(pid))).collect()
    };
    flood(8);
    let before = memory();
    flood(LANES);
    for ((name, before), (_, after)) in before.iter().zip(memory()) {
        let name: String = name.chars().take(40).collect();
        let (before, after) = (*before as f64 / 1024.0, after as f64 / 1024.0);
        println!(
            "  {name:40} {before:6.1} MB with 8 lanes, {after:6.1} MB with {LANES}, {:+.1} MB",
            after - before
        );
    }
}
