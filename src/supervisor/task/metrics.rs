//! Where metrics are served: never a reason for the chain not to run.

use std::net::SocketAddr;

use tokio::sync::mpsc;

use crate::control::metrics::{Endpoint, EndpointError};
use crate::control::server::Command;
use crate::protocol::control::MetricsPlace;
use crate::report::Report;
use crate::shutdown::Shutdown;

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
                tracing::warn!(error = %Report(&error), "Metrics cannot be served.");
                Self::Failed { wanted, error }
            }
        };
    }

    pub(super) fn place(&self) -> Option<MetricsPlace> {
        let (address, trouble) = match self {
            Self::Off => return None,
            Self::On { endpoint, .. } => (endpoint.address(), None),
            Self::Failed { wanted, error } => (*wanted, Some(Report(error).to_string())),
        };
        Some(MetricsPlace {
            address: address.to_string(),
            trouble,
        })
    }
}
