//! Heartbeats as Ably messages: one task, publishing on `daemon_falco`.
//!
//! Only while connected: nobody wants to hear later that a device was here.
//! Stops when told to, and then says that the device is gone.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, info, warn};

use super::StopBy;
use super::heartbeat::{EVENT, Heartbeat};
use super::publisher::Publisher;
use super::reply::Failure;
use crate::clock;
use crate::protocol::ipc::UpstreamStatus;
use crate::shutdown::Shutdown;

/// How long one heartbeat may take: the next one says the same.
const PATIENCE: Duration = Duration::from_secs(4);

/// Publishes heartbeats until `shutdown` begins, then the farewell, by
/// `stop_by`.
pub(super) async fn run(
    mut heartbeat: Heartbeat,
    publisher: Publisher,
    mut status: watch::Receiver<UpstreamStatus>,
    stop_by: StopBy,
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
            // One that is not acknowledged yet must not delay the farewell,
            // which follows it on the same connection.
            let published = tokio::select! {
                () = shutdown.begun() => break,
                published = publisher.publish(&channel, EVENT, &payload, PATIENCE) => published,
            };
            note(published, &mut failing);
        }
    }
    if is_connected(&status.borrow()) {
        let payload = heartbeat.offline(clock::wire_ms());
        let left = stop_by.left();
        let published = publisher.publish(&channel, EVENT, &payload, left).await;
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

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::super::heartbeat::Form;
    use super::super::upstream::Upstream;
    use super::*;
    use crate::protocol::ably::codec::Format;

    #[tokio::test(start_paused = true)]
    async fn the_farewell_waits_for_no_acknowledgement_and_for_no_backlog() {
        let (commands, _backlog) = mpsc::channel(1);
        let (urgent, mut published) = mpsc::channel(1);
        let (_report, status) = watch::channel(UpstreamStatus {
            state: "connected".to_owned(),
            ..UpstreamStatus::default()
        });
        let upstream = Upstream {
            commands,
            urgent,
            status: status.clone(),
        };
        let publisher = Publisher::new(upstream, Format::Json);
        let second = Duration::from_secs(1);
        let now = Instant::now();
        let heartbeat = Heartbeat::new("u", "d", Form::Message, second, 12 * second, now);
        let shutdown = Shutdown::new();
        let beating = run(
            heartbeat,
            publisher,
            status,
            StopBy::default(),
            shutdown.clone(),
        );
        shutdown.spawn(beating);

        let _unanswered = published.recv().await.expect("online");
        shutdown.begin();
        let _farewell = published.recv().await.expect("offline");
        assert_eq!(now.elapsed(), Duration::ZERO);
    }
}
