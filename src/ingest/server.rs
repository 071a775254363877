//! Accepts daemons on `falco.sock` and gives each a session.

use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::Semaphore;
use tracing::{debug, error, info};

use super::session::{self, SessionId, Shared};
use crate::net::unix::Listener;
use crate::shutdown::Shutdown;

/// Connections served at once; more wait in the listener's backlog.
///
/// Each may hold a few MiB in the worst case, and each is a descriptor.
const CONNECTIONS_MAX: usize = 4096;

/// Accepts until the shutdown begins.
pub(super) async fn run(listener: Listener, shared: Shared) {
    info!(socket = %listener.path().display(), "Falco listens.");
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut next = 0;
    while let Some((stream, slot)) = accept(&listener, &slots, &shared.shutdown).await {
        next += 1;
        let session = session::run(SessionId(next), stream, shared.clone());
        shared.shutdown.spawn(async move {
            let _slot = slot;
            debug!(session = next, "Daemon connected.");
            session.await;
            debug!(session = next, "Daemon disconnected.");
        });
    }
}

type Slot = tokio::sync::OwnedSemaphorePermit;

/// The next connection and its slot; `None` when there will be no more.
async fn accept(
    listener: &Listener,
    slots: &Arc<Semaphore>,
    shutdown: &Shutdown,
) -> Option<(UnixStream, Slot)> {
    let next = async {
        let slot = Arc::clone(slots).acquire_owned().await.ok()?;
        Some((listener.accept().await, slot))
    };
    let (accepted, slot) = tokio::select! {
        () = shutdown.begun() => None,
        next = next => next,
    }?;
    match accepted {
        Ok(stream) => Some((stream, slot)),
        Err(error) => {
            error!(socket = %listener.path().display(), %error, "Falco cannot accept daemons any more.");
            None
        }
    }
}
