//! All channels and connections of the emulator, and the memory they may use.
//!
//! Owns what sessions and REST requests share: the channels by name, the ids
//! published a moment ago, the connections that can be resumed, and a mailbox
//! per session that says which of its channels have something to pull.
//!
//! Pure, like the [`Channel`]s in it: whoever calls passes the time in, and
//! waking a session is the only thing that reaches outside.
//!
//! Memory is bounded: entries go oldest first when they are over the bytes or
//! the age of [`HistoryLimits`](super::limits::HistoryLimits), those of one
//! channel also when they are too many. A channel nobody needs is forgotten but
//! for its positions. Channels have a limit of their own, so that many quiet
//! ones take no history from the busy ones.

mod connections;
mod forgotten;
mod objects;
mod presence;
mod publish;
mod retention;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use crate::protocol::ably::auth::ApiKey;
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::error::ErrorInfo;

use super::channel::{Attach, Attached, Channel, Pulled, SessionId};
use super::limits::{CHANNEL_NAME_BYTES_MAX, CHANNELS_MAX, Limits};
use super::recent::Recent;
use super::serial::{Position, Series};

pub(super) use connections::{Connected, PRESENCE_GRACE_MS, Resume};
pub(super) use publish::{Published, Publisher};

use connections::Connections;
use forgotten::Forgotten;
use retention::Kept;

#[derive(Debug)]
pub(super) struct Hub {
    pub(super) key: ApiKey,
    pub(super) limits: Limits,
    pub(super) series: Series,
    channels: HashMap<Arc<str>, Channel>,
    /// What channels that went had seen.
    forgotten: Forgotten,
    oldest_first: VecDeque<Kept>,
    bytes: usize,
    /// Memory of all root maps.
    object_bytes: usize,
    /// Memory of all members.
    presence_bytes: usize,
    pub(super) recent: Recent,
    /// Of token requests, which publishes must not push out.
    pub(super) nonces: Recent,
    mailboxes: HashMap<SessionId, Mailbox>,
    next_session: SessionId,
    connections: Connections,
    /// Rung when something will be due and nothing was before.
    janitor: Arc<Notify>,
}

/// What a session must hear of.
#[derive(Debug)]
struct Mailbox {
    wake: Arc<Notify>,
    /// Channels with something to pull, each once.
    ready: VecDeque<Arc<str>>,
    /// Another session has resumed the connection.
    is_replaced: bool,
}

/// What [`Hub::pull`] found on one channel.
pub(super) enum Delivery {
    /// Nothing more, on any channel.
    Nothing,
    /// Frames were appended; there may be more.
    Frames,
    /// The session was too slow for this channel and has lost messages.
    Lost {
        channel: Arc<str>,
        position: Position,
    },
}

impl Hub {
    pub(super) fn new(key: ApiKey, limits: Limits) -> Self {
        Self {
            key,
            limits,
            series: Series::random(),
            channels: HashMap::new(),
            forgotten: Forgotten::default(),
            oldest_first: VecDeque::new(),
            bytes: 0,
            object_bytes: 0,
            presence_bytes: 0,
            recent: Recent::default(),
            nonces: Recent::default(),
            mailboxes: HashMap::new(),
            next_session: 0,
            connections: Connections::default(),
            janitor: Arc::new(Notify::new()),
        }
    }

    /// Rings when [`Self::next_due_ms`] may have come nearer.
    pub(super) fn janitor_bell(&self) -> Arc<Notify> {
        self.janitor.clone()
    }

    /// Begins a session, which `wake` wakes when there is something to pull.
    pub(super) fn open_session(&mut self, wake: Arc<Notify>) -> SessionId {
        self.next_session += 1;
        let mailbox = Mailbox {
            wake,
            ready: VecDeque::new(),
            is_replaced: false,
        };
        self.mailboxes.insert(self.next_session, mailbox);
        self.next_session
    }

    /// Ends a session that was attached to `channels`.
    pub(super) fn close_session<'a>(
        &mut self,
        session: SessionId,
        channels: impl Iterator<Item = &'a Arc<str>>,
    ) {
        self.mailboxes.remove(&session);
        for channel in channels {
            self.detach(session, channel);
        }
    }

    /// Whether another session has taken over the connection of this one.
    pub(super) fn is_replaced(&self, session: SessionId) -> bool {
        self.mailboxes
            .get(&session)
            .is_none_or(|mailbox| mailbox.is_replaced)
    }

    /// The channel, if anything is known of it.
    pub(super) fn channel(&self, name: &str) -> Option<&Channel> {
        self.channels.get(name)
    }

    /// Refuses a name that no channel can have, and a new channel over
    /// [`CHANNELS_MAX`]: whatever may make a channel asks first.
    pub(super) fn check_channel(&self, name: &str) -> Result<(), ErrorInfo> {
        check_channel_name(name)?;
        if self.channels.len() < CHANNELS_MAX || self.channels.contains_key(name) {
            return Ok(());
        }
        let text = format!("the emulator has no room for more than {CHANNELS_MAX} channels");
        Err(ErrorInfo::with_status(40114, 403, text))
    }

    /// The channel, which is made if it is new.
    fn channel_mut(&mut self, name: &str) -> (Arc<str>, &mut Channel) {
        if !self.channels.contains_key(name) {
            let known = self.forgotten.take(name);
            self.channels.insert(name.into(), Channel::new(known));
        }
        let shared = self
            .channels
            .get_key_value(name)
            .map(|(name, _)| name.clone());
        let channel = self.channels.get_mut(name);
        shared
            .zip(channel)
            .expect("it was there or has been inserted")
    }

    /// Attaches `session` to `channel`; its frames follow by [`Self::pull`].
    pub(super) fn attach(
        &mut self,
        session: SessionId,
        channel: &str,
        attach: Attach,
        now_ms: i64,
    ) -> Attached {
        let (name, channel) = self.channel_mut(channel);
        let attached = channel.attach(session, attach, now_ms);
        if let Some(mailbox) = self.mailboxes.get_mut(&session) {
            mailbox.ready.push_back(name);
        }
        attached
    }

    /// Changes the modes of an attachment; `false` when there is none.
    pub(super) fn set_modes(&mut self, session: SessionId, channel: &str, modes: u64) -> bool {
        let channel = self.channels.get_mut(channel);
        channel.is_some_and(|channel| channel.set_modes(session, modes))
    }

    /// Ends an attachment.
    pub(super) fn detach(&mut self, session: SessionId, channel: &str) {
        if let Some(channel) = self.channels.get_mut(channel) {
            channel.detach(session);
        }
        self.forget_if_idle(channel);
    }

    /// Appends frames of one channel that `session` has not had to `out`.
    pub(super) fn pull(
        &mut self,
        session: SessionId,
        format: Format,
        budget: &mut usize,
        out: &mut Vec<Bytes>,
    ) -> Delivery {
        let Some(mailbox) = self.mailboxes.get_mut(&session) else {
            return Delivery::Nothing;
        };
        let Some(name) = mailbox.ready.pop_front() else {
            return Delivery::Nothing;
        };
        let Some(channel) = self.channels.get_mut(&name) else {
            return Delivery::Frames;
        };
        let pulled = channel.pull(session, format, budget, out);
        self.bytes += channel.take_growth();
        match pulled {
            Pulled::Everything => Delivery::Frames,
            Pulled::More => {
                mailbox.ready.push_back(name);
                Delivery::Frames
            }
            Pulled::Lost(position) => Delivery::Lost {
                channel: name,
                position,
            },
        }
    }

    /// Does what is due: old entries and ids go, lost members leave.
    pub(super) fn handle_timeout(&mut self, now_ms: i64) {
        self.enforce_history(now_ms);
        self.recent.forget(now_ms - super::recent::WINDOW_MS);
        self.nonces.forget(now_ms - super::recent::WINDOW_MS);
        self.handle_lost_connections(now_ms);
    }

    /// The memory that goes with time, about.
    pub(super) fn memory(&self) -> usize {
        self.bytes + self.recent.bytes()
    }

    /// When [`Self::handle_timeout`] is due next.
    pub(super) fn next_due_ms(&self) -> Option<i64> {
        let age = i64::try_from(self.age_ms()).unwrap_or(i64::MAX);
        let oldest = self
            .oldest_first
            .front()
            .map(|kept| kept.timestamp.saturating_add(age));
        let times = [
            oldest,
            self.recent.next_expiry_ms(),
            self.nonces.next_expiry_ms(),
            self.connections.next_due_ms(),
        ];
        times.into_iter().flatten().min()
    }
}

/// Refuses names that no channel can have (40010).
pub(super) fn check_channel_name(name: &str) -> Result<(), ErrorInfo> {
    let problem = match name {
        "" => "it is empty",
        _ if CHANNEL_NAME_BYTES_MAX < name.len() => "it is too long",
        _ if name.starts_with('[') => "the emulator has no channel qualifiers",
        _ if name.starts_with(':') => "it starts with a colon",
        _ if name.contains(['\n', '\r', '\0']) => "it has control characters",
        _ => return Ok(()),
    };
    Err(ErrorInfo::new(
        40010,
        format!("invalid channel name: {problem}"),
    ))
}
