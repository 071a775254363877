//! What the server says, and what its silence or absence means.

use std::time::{Duration, Instant};

use super::super::outbox::Outcome;
use super::attempt::Step;
use super::{Connection, ErrorInfo, Event, Generation, Limits, Lineage, State, Wire};
use crate::protocol::ably::message::{ConnectionDetails, ProtocolMessage};

impl<T> Connection<T> {
    /// Something was heard on the websocket of `generation`, if only a ping.
    pub(crate) fn handle_activity(&mut self, generation: Generation, now: Instant) {
        if generation == self.generation {
            self.heard_at = now;
        }
    }

    /// A protocol message came on the websocket of `generation`.
    pub(crate) fn handle_message(
        &mut self,
        generation: Generation,
        message: ProtocolMessage,
        now: Instant,
    ) {
        if generation != self.generation {
            return;
        }
        self.heard_at = now;
        match message.action {
            Wire::Ack => self.acknowledge(&message, &Outcome::Accepted),
            Wire::Nack => self.handle_nack(message, now),
            Wire::Connected => self.handle_connected(message, now),
            Wire::Disconnected => self.handle_disconnected(message.error, now),
            Wire::Closed => self.handle_closed(now),
            Wire::Error if message.channel.is_none() => self.handle_error(message.error, now),
            Wire::Auth => {
                if matches!(self.state, State::Connected) {
                    self.fetch_token();
                }
            }
            Wire::Attached
            | Wire::Detached
            | Wire::Error
            | Wire::Message
            | Wire::Presence
            | Wire::Annotation
            | Wire::Object => {
                if matches!(self.state, State::Connected) {
                    self.channels.handle_message(message, now, &mut self.out);
                }
            }
            // HEARTBEAT was heard above; unknown actions are ignored (RTF1).
            _ => {}
        }
    }

    fn acknowledge(&mut self, message: &ProtocolMessage, outcome: &Outcome) {
        if let Some(serial) = message.msg_serial {
            let count = u64::from(message.count.unwrap_or(1));
            self.outbox.acknowledge(serial, count, outcome);
        }
    }

    fn handle_nack(&mut self, mut message: ProtocolMessage, now: Instant) {
        let error = message
            .error
            .take()
            .unwrap_or_else(|| ErrorInfo::new(50_001, "refused without a reason"));
        // 42911 and its kin: the rate was exceeded.
        if (42_910..42_930).contains(&error.code) {
            self.outbox.slow_down(now);
        }
        self.acknowledge(&message, &Outcome::Refused(error));
    }

    fn handle_connected(&mut self, message: ProtocolMessage, now: Instant) {
        let ProtocolMessage {
            connection_id,
            connection_details,
            connection_key,
            error,
            ..
        } = message;
        let details = connection_details.unwrap_or_default();
        self.auth.accepted();
        self.limits = limits(&details);
        self.outbox.set_rate(rate(&details), now);
        let connection_id = connection_id.unwrap_or_default();
        let resumed = self
            .lineage
            .as_ref()
            .is_some_and(|lineage| lineage.connection_id == connection_id);
        self.lineage = details
            .connection_key
            .or(connection_key)
            .map(|connection_key| Lineage {
                connection_id,
                connection_key,
            });
        // While connected it only updates (RTN24); otherwise it is news.
        if matches!(&self.state, State::Connecting(attempt) if matches!(attempt.step, Step::Opening))
        {
            self.enter_connected(resumed, error, now);
        }
    }

    /// Resends come first, then what waited; channels are attached again
    /// meanwhile (RTL3d, RTN19).
    fn enter_connected(&mut self, resumed: bool, reason: Option<ErrorInfo>, now: Instant) {
        self.state = State::Connected;
        self.retries = 0;
        (self.suspend_at, self.long_gone) = (None, false);
        self.last_error.clone_from(&reason);
        self.outbox.reopen(resumed);
        let state = self.state();
        self.out.report(Event::State {
            state,
            reason,
            retry_in: None,
            resumed,
        });
        self.channels.connected(now, &mut self.out);
    }

    fn handle_disconnected(&mut self, error: Option<ErrorInfo>, now: Instant) {
        let error =
            error.unwrap_or_else(|| ErrorInfo::with_status(80_003, 400, "disconnected by server"));
        match self.state {
            State::Connected if error.is_token_error() => {
                // A new token first, then the resume with it (RTN15h2).
                self.auth.refuse();
                self.reconnect(error, now);
            }
            State::Connected => self.reconnect(error, now),
            State::Connecting(_) => self.refused_before_connected(error, now),
            State::Closing { .. } => self.finish_closing(),
            _ => {}
        }
    }

    /// ERROR without a channel concerns the connection.
    fn handle_error(&mut self, error: Option<ErrorInfo>, now: Instant) {
        let error = error.unwrap_or_else(|| ErrorInfo::new(80_000, "failed without a reason"));
        match self.state {
            State::Connecting(_) if error.is_token_error() => self.token_refused(error, now),
            State::Connected if error.is_token_error() => {
                self.auth.refuse();
                self.reconnect(error, now);
            }
            State::Connecting(_) | State::Connected => self.fail(error, now),
            State::Closing { .. } => self.finish_closing(),
            _ => {}
        }
    }

    fn handle_closed(&mut self, now: Instant) {
        match self.state {
            State::Closing { .. } => self.finish_closing(),
            State::Connected => {
                // Closed by the server: there is nothing left to resume.
                self.lineage = None;
                self.reconnect(ErrorInfo::new(80_017, "closed by server"), now);
            }
            _ => {}
        }
    }

    /// The websocket of `generation` has ended, because of `why`.
    pub(crate) fn handle_lost(&mut self, generation: Generation, why: &str, now: Instant) {
        if generation != self.generation {
            return;
        }
        let text = format!("connection to {} was lost: {why}", self.host);
        let error = ErrorInfo::with_status(80_003, 400, text);
        match self.state {
            State::Connected => self.reconnect(error, now),
            State::Connecting(_) => {
                let error = ErrorInfo {
                    status_code: 503,
                    ..error
                };
                self.refused_before_connected(error, now);
            }
            State::Closing { .. } => self.finish_closing(),
            _ => {}
        }
    }

    /// CLOSED, or as good as.
    pub(super) fn finish_closing(&mut self) {
        self.drop_transport();
        self.state = State::Closed;
        self.lineage = None;
        self.outbox
            .fail_all(&ErrorInfo::new(80_017, "connection is closed"));
        self.channels.clear();
        self.report_state(None, None);
    }
}

fn limits(details: &ConnectionDetails) -> Limits {
    let default = Limits::default();
    let millis = |value: Option<u64>, default| value.map_or(default, Duration::from_millis);
    Limits {
        message_size: details.max_message_size.unwrap_or(default.message_size),
        state_ttl: millis(details.connection_state_ttl, default.state_ttl),
        idle: millis(details.max_idle_interval, default.idle),
    }
}

fn rate(details: &ConnectionDetails) -> u32 {
    let rate = details.max_inbound_rate.unwrap_or(1000);
    u32::try_from(rate).unwrap_or(u32::MAX)
}
