//! Compares what was handed over with what a subscriber sees, as it comes.
//!
//! A lane's effects are numbered from 0: whatever is seen must be the next one,
//! else something is lost, has overtaken, or is seen twice.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// Lanes of all clients together.
pub const LANES: usize = 64;

/// See the module.
#[derive(Default)]
pub struct Tally {
    sent: AtomicU64,
    seen: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What each lane has to see next.
    next: HashMap<usize, u64>,
    wrong: Vec<String>,
}

impl Tally {
    pub fn handle_sent(&self) {
        self.sent.fetch_add(1, Ordering::Relaxed);
    }

    pub fn handle_seen(&self, lane: usize, n: u64) {
        let mut state = self.state.lock().expect("whole");
        let next = *state.next.entry(lane).or_default();
        if n != next {
            let wrong = format!("lane {lane}: {n} came, and {next} was next");
            state.wrong.push(wrong);
        }
        if n < next {
            return;
        }
        state.next.insert(lane, n + 1);
        self.seen.fetch_add(1, Ordering::Relaxed);
    }

    /// Something else went wrong.
    pub fn handle_wrong(&self, what: String) {
        self.state.lock().expect("whole").wrong.push(what);
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How many were handed over and not yet seen.
    pub fn lag(&self) -> u64 {
        self.sent()
            .saturating_sub(self.seen.load(Ordering::Relaxed))
    }

    /// That nothing but the next one was seen until now.
    pub fn check(&self) {
        let state = self.state.lock().expect("whole");
        assert!(state.wrong.is_empty(), "{:?}", state.wrong);
    }
}
