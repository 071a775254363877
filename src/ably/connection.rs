//! One connection to Ably, as decisions.
//!
//! ```text
//!                   ┌────────────────────── retry ──────────────────────┐
//!                   ▼                                                   │
//! initialized ─▶ connecting ──CONNECTED──▶ connected          disconnected, suspended, failed
//!                   │  ▲                      │                         ▲
//!                   │  └── lost, DISCONNECTED ┘                         │
//!                   └── no host answers, no token, fatal ERROR ─────────┘
//! any ──close──▶ closing ──CLOSED, deadline──▶ closed
//! ```
//!
//! Within `connecting` an [`Attempt`] goes through: a token, the primary host,
//! the connectivity check, the fallback hosts. It renews a refused token once.
//!
//! Deviates from the specification where an SDK would leave the matter to its
//! application: `failed` is not for good, it is retried like `suspended`, with
//! a new token and a new connection.

mod attempt;
mod inbound;
mod timing;

use std::time::{Duration, Instant};

use super::auth::Auth;
use super::chance::Chance;
use super::channel::{ChannelTimers, Channels};
use super::event::{Action, ConnectionState, Event, Generation, Out, TokenFailure};
use super::hosts::{Host, Hosts};
use super::outbox::{Outbox, Outcome, Outgoing, Publish};
use super::retry::REQUEST_TIMEOUT;
use crate::protocol::ably::action::Action as Wire;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::ProtocolMessage;
use attempt::Attempt;

/// What a connection is to do.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where to connect to.
    pub(crate) hosts: Hosts,
    /// Base of the retries while disconnected (TO3l1).
    pub(crate) disconnected_retry: Duration,
    /// Between retries while suspended or failed (TO3l2).
    pub(crate) suspended_retry: Duration,
    /// Of jitter and shuffling.
    pub(crate) seed: u64,
}

impl Config {
    /// Ably's default timers. A server on this machine is asked more often:
    /// it costs nobody anything, and is back as soon as it is restarted.
    pub(crate) fn new(hosts: Hosts, seed: u64) -> Self {
        let (disconnected, suspended) = if hosts.primary().is_loopback() {
            (Duration::from_millis(500), Duration::from_secs(2))
        } else {
            (Duration::from_secs(15), Duration::from_secs(30))
        };
        Self {
            hosts,
            disconnected_retry: disconnected,
            suspended_retry: suspended,
            seed,
        }
    }
}

#[derive(Debug)]
enum State {
    Initialized,
    Connecting(Attempt),
    Connected,
    Disconnected { retry_at: Instant },
    Suspended { retry_at: Instant },
    Closing { deadline: Instant },
    Closed,
    Failed { retry_at: Instant },
}

/// What the server said of the connection we have or want back.
#[derive(Debug)]
struct Lineage {
    connection_id: String,
    connection_key: String,
}

/// What CONNECTED limits (RTN21).
#[derive(Debug, Clone, Copy)]
struct Limits {
    message_size: u64,
    /// How long the server keeps the state of a lost connection.
    state_ttl: Duration,
    /// How long it may stay silent; zero is for ever.
    idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message_size: 65_536,
            state_ttl: Duration::from_secs(120),
            idle: Duration::from_secs(15),
        }
    }
}

/// See the module. `T` tells publishes apart for whoever made them.
#[derive(Debug)]
pub(crate) struct Connection<T> {
    config: Config,
    state: State,
    generation: Generation,
    lineage: Option<Lineage>,
    limits: Limits,
    auth: Auth,
    channels: Channels,
    outbox: Outbox<T>,
    out: Out,
    chance: Chance,
    /// Failed attempts since last connected.
    retries: u32,
    attempt_started: Option<Instant>,
    heard_at: Instant,
    /// When being away turns into being suspended.
    suspend_at: Option<Instant>,
    /// Away for longer than the server keeps our state.
    long_gone: bool,
    last_error: Option<ErrorInfo>,
    host: Host,
}

impl<T> Connection<T> {
    pub(crate) fn new(config: Config, now: Instant) -> Self {
        let timers = ChannelTimers {
            retry: config.disconnected_retry,
            refused_retry: config.suspended_retry,
        };
        Self {
            state: State::Initialized,
            generation: Generation::default(),
            lineage: None,
            limits: Limits::default(),
            auth: Auth::default(),
            channels: Channels::new(timers, config.seed),
            outbox: Outbox::new(),
            out: Out::default(),
            chance: Chance::new(config.seed),
            retries: 0,
            attempt_started: None,
            heard_at: now,
            suspend_at: None,
            long_gone: false,
            last_error: None,
            host: config.hosts.primary().clone(),
            config,
        }
    }

    /// Starts connecting.
    pub(crate) fn connect(&mut self, now: Instant) {
        if matches!(self.state, State::Initialized) {
            self.suspend_at = Some(now + self.limits.state_ttl);
            self.begin_attempt(now, None);
        }
    }

    /// Ends the connection: CLOSE is sent and CLOSED awaited until `deadline`.
    pub(crate) fn close(&mut self, now: Instant, deadline: Instant) {
        match self.state {
            State::Connected => {
                self.out.send(ProtocolMessage::new(Wire::Close));
                let deadline = deadline.min(now + REQUEST_TIMEOUT);
                self.state = State::Closing { deadline };
                self.report_state(None, None);
            }
            State::Closing { .. } | State::Closed => {}
            _ => self.finish_closing(),
        }
    }

    /// Queues a publish; its outcome comes from [`Connection::poll_settled`].
    pub(crate) fn publish(&mut self, publish: Publish<T>) {
        if let Some(outcome) = self.refusal(&publish) {
            self.outbox.turn_away(publish.tag, outcome);
        } else {
            self.outbox.push(publish);
        }
    }

    /// Queues a publish before all others, in the place of an earlier such one
    /// that was not sent yet; its deadline is left to whoever asks.
    pub(crate) fn publish_urgently(&mut self, publish: Publish<T>) {
        if let Some(outcome) = self.refusal(&publish) {
            self.outbox.turn_away(publish.tag, outcome);
        } else {
            self.outbox.push_urgent(publish);
        }
    }

    /// Why a publish is not even queued (TO3l8).
    ///
    /// Other than an SDK (RTL6c4), a suspended or failed connection queues:
    /// it tries again by itself, and every publish has its deadline.
    fn refusal(&self, publish: &Publish<T>) -> Option<Outcome> {
        let not_sent = |code, status, text| {
            let error = ErrorInfo::with_status(code, status, text);
            Some(Outcome::NotSent(error))
        };
        match self.state {
            State::Closing { .. } | State::Closed => not_sent(80_017, 400, "connection is closed"),
            State::Connected => self.refusal_by_content(publish),
            _ if !self.outbox.has_room() => {
                not_sent(80_003, 503, "not sent, too much waits for the connection")
            }
            // How large a message may be is known once it can be sent (RTN21).
            _ => self.refusal_by_channel(publish),
        }
    }

    fn refusal_by_content(&self, publish: &Publish<T>) -> Option<Outcome> {
        let oversize = self.oversize(publish.messages.size());
        oversize
            .map(Outcome::Refused)
            .or_else(|| self.refusal_by_channel(publish))
    }

    fn refusal_by_channel(&self, publish: &Publish<T>) -> Option<Outcome> {
        let refused = self.channels.refusal(&publish.channel);
        refused.map(Outcome::NotSent)
    }

    fn oversize(&self, size: usize) -> Option<ErrorInfo> {
        let limit = self.limits.message_size;
        (size as u64 > limit).then(|| {
            let text = format!("message of {size} bytes is over the limit of {limit} bytes");
            ErrorInfo::new(40_009, text)
        })
    }

    /// Wants messages of `channel`.
    pub(crate) fn attach(&mut self, channel: &str, now: Instant) {
        self.channels.attach(channel, now, &mut self.out);
    }

    /// Wants no more messages of `channel`.
    pub(crate) fn release(&mut self, channel: &str, now: Instant) {
        self.channels.release(channel, now, &mut self.out);
    }

    /// The next thing for the driver to do, before any publish.
    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        self.out.actions.pop_front()
    }

    /// The next thing that has happened.
    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// The next publish whose fate is known.
    pub(crate) fn poll_settled(&mut self) -> Option<(T, Outcome)> {
        self.outbox.poll_settled()
    }

    /// The next publish to write to the websocket.
    pub(crate) fn poll_publish(&mut self, now: Instant) -> Option<Outgoing<'_>> {
        if !matches!(self.state, State::Connected) {
            return None;
        }
        while let Some(reason) = self.refusal_of_next() {
            self.outbox.refuse_next(reason);
        }
        self.outbox.next(now)
    }

    /// Limits and channels may have changed while a publish waited.
    fn refusal_of_next(&self) -> Option<ErrorInfo> {
        let (channel, messages) = self.outbox.front()?;
        self.oversize(messages.size())
            .or_else(|| self.channels.refusal(channel))
    }

    /// Whether another publish should be handed in. Without a connection it
    /// should: what there is no room for is then answered at once.
    pub(crate) fn has_room(&self) -> bool {
        self.outbox.has_room() || !matches!(self.state, State::Connected)
    }

    /// Publishes waiting to be sent.
    pub(crate) fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    /// Publishes sent and not yet acknowledged.
    pub(crate) fn in_flight(&self) -> usize {
        self.outbox.in_flight()
    }

    /// The state, by its name.
    pub(crate) fn state(&self) -> ConnectionState {
        match self.state {
            State::Initialized => ConnectionState::Initialized,
            State::Connecting(_) => ConnectionState::Connecting,
            State::Connected => ConnectionState::Connected,
            State::Disconnected { .. } => ConnectionState::Disconnected,
            State::Suspended { .. } => ConnectionState::Suspended,
            State::Closing { .. } => ConnectionState::Closing,
            State::Closed => ConnectionState::Closed,
            State::Failed { .. } => ConnectionState::Failed,
        }
    }

    /// The server's name for the connection, while there is one.
    pub(crate) fn connection_id(&self) -> Option<&str> {
        let lineage = self.lineage.as_ref()?;
        matches!(self.state, State::Connected).then_some(&lineage.connection_id)
    }

    /// The server in use, or last tried.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The last reason for not being connected.
    pub(crate) fn last_error(&self) -> Option<&ErrorInfo> {
        self.last_error.as_ref()
    }

    /// Why no token could be had, as an error of the connection.
    fn token_error(failure: &TokenFailure) -> ErrorInfo {
        match failure {
            TokenFailure::Forbidden(text) => {
                ErrorInfo::with_status(80_019, 403, format!("no token may be had: {text}"))
            }
            TokenFailure::Unavailable(text) => {
                ErrorInfo::with_status(80_019, 401, format!("no token could be had: {text}"))
            }
        }
    }

    fn report_state(&mut self, reason: Option<ErrorInfo>, retry_in: Option<Duration>) {
        if reason.is_some() {
            self.last_error.clone_from(&reason);
        }
        let state = self.state();
        self.out.report(Event::State {
            state,
            reason,
            retry_in,
            resumed: false,
        });
    }
}

#[cfg(test)]
mod tests;
