//! What a connection reports, in the log, in the status, and to subscribers.

use std::time::{Duration, Instant};

use tracing::{debug, info, warn};

use super::Realtime;
use crate::ably::event::{ConnectionState, Event};
use crate::clock;
use crate::protocol::ably::error::ErrorInfo;
use crate::transport::reply::Failure;

impl Realtime {
    pub(super) fn take_event(&mut self, event: Event, now: Instant) {
        match event {
            Event::State {
                state,
                reason,
                retry_in,
                resumed,
            } => self.log_state(state, reason.as_ref(), retry_in, resumed),
            Event::Attached { channel } => {
                debug!(audience = %self.audience, channel = %channel, "Channel is attached.");
                self.subscriptions.attached(&channel);
            }
            Event::Unattached {
                channel,
                reason,
                refused,
            } => {
                warn!(audience = %self.audience, channel = %channel, error = %reason,
                    "Channel is not attached.");
                let failure = Failure::from_ably(&reason, !refused);
                if self.subscriptions.unattached(&channel, &failure) {
                    self.connection.release(&channel, now);
                }
            }
            Event::ContinuityLost { channel, reason } => {
                let error = reason.map(|reason| reason.to_string()).unwrap_or_default();
                warn!(audience = %self.audience, channel = %channel, error,
                    "Messages of a channel may have been missed; its subscribers are told.");
                self.subscriptions.continuity_lost(&channel);
            }
            Event::Messages(message) => self.subscriptions.deliver(*message, clock::wire_ms()),
        }
    }

    fn log_state(
        &mut self,
        state: ConnectionState,
        reason: Option<&ErrorInfo>,
        retry_in: Option<Duration>,
        resumed: bool,
    ) {
        let (audience, state_name) = (self.audience, state.name());
        let host = self.connection.host();
        let error = reason.map(ToString::to_string);
        let delay_ms = retry_in.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        match state {
            ConnectionState::Connected => {
                self.troubled = None;
                info!(%audience, %host, resumed, error, "Connected to Ably.");
            }
            _ if self.troubled == Some(state) => {
                debug!(%audience, %host, error, delay_ms, "Still no connection to Ably.");
            }
            ConnectionState::Disconnected | ConnectionState::Suspended => {
                self.troubled = Some(state);
                warn!(%audience, state = state_name, error, delay_ms,
                    "No connection to Ably; will try again.");
            }
            ConnectionState::Failed => {
                self.troubled = Some(state);
                tracing::error!(%audience, error, delay_ms,
                    "Ably refuses the connection; check the credentials. Will try again.");
            }
            ConnectionState::Connecting if reason.is_some() && self.troubled.is_none() => {
                warn!(%audience, error, "Lost the connection to Ably; reconnecting.");
            }
            _ => debug!(%audience, state = state_name, %host, error, "Connection state changed."),
        }
    }

    /// Publishes the present state; cheap, once a turn.
    pub(super) fn report_status(&self) {
        let connection = &self.connection;
        let (in_flight, queued) = (connection.in_flight() as u64, connection.waiting() as u64);
        let state = connection.state().name();
        self.status.send_if_modified(|status| {
            let changed = status.state != state;
            (status.in_flight, status.queued) = (in_flight, queued);
            if changed {
                self.audience.as_str().clone_into(&mut status.audience);
                state.clone_into(&mut status.state);
                status.host = connection.host().to_string();
                status.connection_id = connection.connection_id().map(str::to_owned);
                status.last_error = connection.last_error().cloned();
            }
            changed
        });
    }
}
