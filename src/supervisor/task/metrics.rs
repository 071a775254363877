//! Where metrics are served: never a reason for the chain not to run.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::control::metrics::{Endpoint, EndpointError};
use crate::control::server::Command;
use crate::protocol::control::MetricsPlace;
use crate::report::Report;
use crate::shutdown::Shutdown;

/// How long whoever has the address has to leave it, before it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Whether metrics are served.
pub(super) enum Serving {
    /// Nobody wants them.
    Off,
    /// They are.
    On {
        /// What was asked for; its port may be 0.
        wanted: SocketAddr,
        endpoint: Endpoint,
    },
    /// They should be.
    Failed {
        wanted: SocketAddr,
        error: EndpointError,
        again_at: Instant,
    },
}

impl Serving {
    /// Serves on `wanted` and nowhere else; what is served there goes on.
    pub(super) fn change(
        &mut self,
        wanted: Option<SocketAddr>,
        commands: &mpsc::Sender<Command>,
        shutdown: &Shutdown,
    ) {
        let Some(wanted) = wanted else {
            *self = Self::Off;
            return;
        };
        if matches!(self, Self::On { wanted: now, .. } if *now == wanted) {
            return;
        }
        *self = match Endpoint::start(wanted, commands.clone(), shutdown) {
            Ok(endpoint) => {
                let address = endpoint.address();
                tracing::info!(%address, "Metrics are served.");
                Self::On { wanted, endpoint }
            }
            Err(error) => {
                if !matches!(self, Self::Failed { wanted: told, .. } if *told == wanted) {
                    tracing::warn!(error = %Report(&error), "Metrics cannot be served.");
                }
                Self::Failed {
                    wanted,
                    error,
                    again_at: Instant::now() + AGAIN_AFTER,
                }
            }
        };
    }

    /// When to try again, if they should be served and are not.
    pub(super) fn due(&self) -> Option<Instant> {
        match self {
            Self::Failed { again_at, .. } => Some(*again_at),
            Self::Off | Self::On { .. } => None,
        }
    }

    /// Tries again, if it is time.
    pub(super) fn try_again(
        &mut self,
        commands: &mpsc::Sender<Command>,
        shutdown: &Shutdown,
        now: Instant,
    ) {
        if let Self::Failed {
            wanted, again_at, ..
        } = *self
            && again_at <= now
        {
            self.change(Some(wanted), commands, shutdown);
        }
    }

    pub(super) fn place(&self) -> Option<MetricsPlace> {
        let (address, trouble) = match self {
            Self::Off => return None,
            Self::On { endpoint, .. } => (endpoint.address(), None),
            Self::Failed { wanted, error, .. } => (*wanted, Some(Report(error).to_string())),
        };
        Some(MetricsPlace {
            address: address.to_string(),
            trouble,
        })
    }
}
