//! What ends a role that runs in the foreground.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::exit::{Exit, Failure};
use crate::process::inherited::Lifeline;

/// SIGTERM and SIGINT, from now on caught.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|e| Failure::to(Exit::Internal, "watch signals", &e));
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    /// Waits until a signal comes, or the supervisor at the other end of
    /// `lifeline` is gone; says which.
    pub(super) async fn stop(mut self, lifeline: Option<Lifeline>) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = lost(lifeline) => "the supervisor is gone",
        }
    }
}

async fn lost(lifeline: Option<Lifeline>) {
    match lifeline {
        Some(lifeline) => lifeline.lost().await,
        None => std::future::pending().await,
    }
}
