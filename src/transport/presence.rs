//! Heartbeats as Ably messages: one task, publishing on `daemon_falco`.
//!
//! Only while connected: nobody wants to hear later that a device was here.
//! Stops when told to, and then says that the device is gone.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::heartbeat::{EVENT, Heartbeat};
use super::publisher::Publisher;
use super::reply::Failure;
use crate::clock;
use crate::protocol::ipc::UpstreamStatus;
use crate::shutdown::Shutdown;

/// How long one heartbeat may take: the next one says the same.
const PATIENCE: Duration = Duration::from_secs(4);

/// Publishes heartbeats until `shutdown` begins, then the farewell, within
/// `farewell`.
pub(super) async fn run(
    mut heartbeat: Heartbeat,
    publisher: Publisher,
    mut status: watch::Receiver<UpstreamStatus>,
    farewell: Duration,
    shutdown: Shutdown,
) {
    let channel = heartbeat.channel();
    let mut failing = false;
    loop {
        let stopped = tokio::select! {
            () = shutdown.begun() => true,
            () = due(&mut status, heartbeat.poll_timeout()) => false,
        };
        if stopped {
            break;
        }
        if let Some(payload) = heartbeat.poll_online(Instant::now(), clock::wire_ms()) {
            let published = publisher.publish(&channel, EVENT, &payload, PATIENCE).await;
            note(published, &mut failing);
        }
    }
    if is_connected(&status.borrow()) {
        let payload = heartbeat.offline(clock::wire_ms());
        let published = publisher.publish(&channel, EVENT, &payload, farewell).await;
        note(published, &mut failing);
    }
}

/// Resolves when a heartbeat is due and there is a connection.
async fn due(status: &mut watch::Receiver<UpstreamStatus>, at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
    if status.wait_for(is_connected).await.is_err() {
        // The connection has ended; shutdown follows.
        std::future::pending::<()>().await;
    }
}

fn is_connected(status: &UpstreamStatus) -> bool {
    status.state == "connected"
}

/// One line when heartbeats begin to fail and one when they work again.
fn note(published: Result<(), Failure>, failing: &mut bool) {
    match published {
        Ok(()) if std::mem::take(failing) => info!("Heartbeats are published again."),
        Ok(()) => {}
        Err(failure) if std::mem::replace(failing, true) => {
            debug!(error = %failure.text, "A heartbeat was not published either.");
        }
        Err(failure) => {
            warn!(error = %failure.text, code = failure.code,
                "A heartbeat was not published; this device may be shown as offline.");
        }
    }
}
