//! Takes clients on `ably.sock`, whether or not Ably can be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{debug, warn};

use super::objects::Objects;
use super::request::Reader;
use super::session::Session;
use super::subscriptions::SessionId;
use super::upstream::Upstreams;
use crate::net::unix::Listener;
use crate::protocol::ipc::TransportStatus;
use crate::shutdown::Shutdown;

/// What all sessions share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) upstreams: Upstreams,
    pub(super) objects: Objects,
    pub(super) reader: Reader,
    pub(super) line_max: usize,
    pub(super) clients: AtomicU64,
}

impl Shared {
    /// How the transport is.
    pub(super) fn status(&self) -> TransportStatus {
        TransportStatus {
            connections: self.upstreams.status(),
            clients: self.clients.load(Ordering::Relaxed),
            subscriptions: self.upstreams.subscriptions(),
        }
    }
}

/// Accepts clients until `sessions`, which their tasks live on, are to stop.
pub(super) async fn serve(listener: Listener, shared: Arc<Shared>, sessions: Shutdown) {
    for id in 1.. {
        let accepted = tokio::select! {
            () = sessions.begun() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(stream) => {
                debug!(session = id, "Client connected.");
                let (reader, writer) = stream.into_split();
                let shared = Arc::clone(&shared);
                let stop = sessions.clone();
                sessions.spawn(async move {
                    shared.clients.fetch_add(1, Ordering::Relaxed);
                    let session = Session::new(SessionId(id), Arc::clone(&shared), reader, writer);
                    session.run(stop).await;
                    shared.clients.fetch_sub(1, Ordering::Relaxed);
                });
            }
            Err(error) => {
                warn!(error = %error, "Could not accept clients any more.");
                return;
            }
        }
    }
}
