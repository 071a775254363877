//! Lets the hub do what time makes due, and sleeps while nothing is.

use std::sync::Arc;
use std::time::Duration;

use crate::memory;
use crate::shutdown::Shutdown;

use super::{Emulator, now_ms};

/// How wake-ups are spaced while there is something to clean.
const PAUSE: Duration = Duration::from_secs(1);

/// Less than this is not worth giving back.
const WORTHWHILE_BYTES: usize = 4 * 1024 * 1024;

/// Cleans up until shutdown.
pub(super) async fn clean_up(emulator: Arc<Emulator>, shutdown: Shutdown) {
    let bell = emulator.hub().janitor_bell();
    let mut peak = 0;
    loop {
        let due_ms = clean(&emulator, &mut peak);
        tokio::select! {
            () = shutdown.begun() => return,
            () = bell.notified() => {}
            () = sleep_until(due_ms) => {}
        }
    }
}

/// Does what is due; returns when something is due again.
fn clean(emulator: &Emulator, peak: &mut usize) -> Option<i64> {
    let mut hub = emulator.hub();
    *peak = hub.memory().max(*peak);
    hub.handle_timeout(now_ms());
    let left = hub.memory();
    let due_ms = hub.next_due_ms();
    drop(hub);
    if left < *peak / 2 && WORTHWHILE_BYTES < *peak {
        memory::give_back();
        *peak = left;
    }
    due_ms
}

async fn sleep_until(due_ms: Option<i64>) {
    let Some(at_ms) = due_ms else {
        return std::future::pending().await;
    };
    let left_ms = at_ms.saturating_sub(now_ms()).max(0).unsigned_abs();
    tokio::time::sleep(Duration::from_millis(left_ms).max(PAUSE)).await;
}
