//! What the machine asks for and reports.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use super::hosts::Host;
use crate::protocol::ably::auth::AccessToken;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::ProtocolMessage;

/// Names one websocket, so that what is said of an older one is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Generation(pub(super) u64);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A token to connect with.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) secret: AccessToken,
    /// How long it is still valid; `None` if it does not say.
    pub(crate) valid_for: Option<Duration>,
}

/// Why no token could be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TokenFailure {
    /// Whoever issues tokens says that we may not have one (403, RSA4d).
    Forbidden(String),
    /// It could not be asked, or could not answer (RSA4c).
    Unavailable(String),
}

/// How to open a websocket.
#[derive(Debug, Clone)]
pub(crate) struct OpenRequest {
    pub(crate) generation: Generation,
    pub(crate) host: Host,
    pub(crate) token: Token,
    /// The connection key to resume with (RTN15b1).
    pub(crate) resume: Option<String>,
}

/// Why a websocket could not be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenFailure {
    /// No such host, refused, unreachable, no TLS, or too slow.
    Unreachable(String),
    /// The server answered with this HTTP status instead.
    Status {
        /// The HTTP status.
        status: u16,
        /// Ably's error, if the answer had one.
        error: Option<ErrorInfo>,
    },
}

/// What the driver is to do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Get a token and answer with `handle_token`; `refused` when Ably would
    /// not take the last one, so that a cached one is of no use.
    FetchToken {
        /// Whether the last token was refused.
        refused: bool,
    },
    /// Open a websocket and answer with `handle_opened` or
    /// `handle_open_failed`. An older one is to be dropped first.
    Open(Box<OpenRequest>),
    /// Ask whether the internet is reachable (RTN17j) and answer with
    /// `handle_connectivity`.
    CheckConnectivity,
    /// Write this to the websocket.
    Send(Box<ProtocolMessage>),
    /// Drop the websocket, whether open or being opened.
    Drop,
}

/// The states of a connection (RTN27), without what else is true in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ConnectionState {
    Initialized,
    Connecting,
    Connected,
    Disconnected,
    Suspended,
    Closing,
    Closed,
    Failed,
}

impl ConnectionState {
    /// Its name in lower case, as SDKs spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Initialized => "initialized",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Suspended => "suspended",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Failed => "failed",
        }
    }
}

/// What has happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The connection is in another state.
    State {
        /// The new state.
        state: ConnectionState,
        /// Why, when something went wrong.
        reason: Option<ErrorInfo>,
        /// When it will try again by itself.
        retry_in: Option<Duration>,
        /// On `Connected`: whether the server resumed the connection.
        resumed: bool,
    },
    /// A channel is attached: messages will come.
    Attached {
        /// Its name.
        channel: Box<str>,
    },
    /// A channel is not attached; the machine will try again, unless it is
    /// released.
    Unattached {
        /// Its name.
        channel: Box<str>,
        /// Why.
        reason: ErrorInfo,
        /// Whether the server refused this channel, rather than was not there
        /// or would not have us at all.
        refused: bool,
    },
    /// Messages of a channel may be missing before what comes next (RTL12).
    ContinuityLost {
        /// Its name.
        channel: Box<str>,
        /// What the server says of it.
        reason: Option<ErrorInfo>,
    },
    /// Messages of an attached channel.
    Messages(Box<ProtocolMessage>),
}

/// Actions and events that wait to be polled.
#[derive(Debug, Default)]
pub(super) struct Out {
    pub(super) actions: VecDeque<Action>,
    pub(super) events: VecDeque<Event>,
}

impl Out {
    pub(super) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(super) fn send(&mut self, message: ProtocolMessage) {
        self.act(Action::Send(Box::new(message)));
    }

    pub(super) fn report(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Forgets what was to be written to a websocket that is gone.
    pub(super) fn forget_sends(&mut self) {
        self.actions
            .retain(|action| !matches!(action, Action::Send(_)));
    }
}
