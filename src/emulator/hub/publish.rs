//! Publishing: what is checked, what is stamped, what counts as said before.

use std::sync::Arc;

use crate::emulator::access::Grant;
use crate::emulator::channel::{Channel, number_messages};
use crate::emulator::limits::MESSAGES_PER_PUBLISH_MAX;
use crate::emulator::log::{Entry, Kind};
use crate::emulator::serial::Position;
use crate::protocol::ably::auth::Operation;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::{Action, Message, ProtocolMessage};

use super::Hub;

/// Who publishes.
#[derive(Debug, Clone, Copy)]
pub(in crate::emulator) struct Publisher<'a> {
    pub(in crate::emulator) grant: &'a Grant,
    /// `None` over REST.
    pub(in crate::emulator) connection_id: Option<&'a Arc<str>>,
}

/// Where a publish stands in its channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::emulator) struct Published {
    pub(in crate::emulator) position: Position,
    pub(in crate::emulator) count: usize,
}

impl Hub {
    /// Publishes `messages` as one protocol message, whole or not at all.
    ///
    /// `id` names the publish where its messages have no ids of their own. A
    /// publish that was accepted a moment ago under the same id is answered as
    /// it was then, and published no second time.
    pub(in crate::emulator) fn publish(
        &mut self,
        by: Publisher<'_>,
        channel: &str,
        id: String,
        mut messages: Vec<Message>,
        now_ms: i64,
    ) -> Result<Published, ErrorInfo> {
        self.check_channel(channel)?;
        by.grant.require(Operation::Publish, channel)?;
        self.check_size(&messages)?;
        stamp(by.grant, &mut messages)?;
        let own = own_id(&messages)?;
        let count = messages.len();
        if count == 0 {
            let position = self.channel(channel).map(Channel::last).unwrap_or_default();
            return Ok(Published { position, count });
        }
        // An id that a REST request was just given will not be seen again.
        let derived = by.connection_id.map(|_| Repeated::Derived(&id));
        let key = own.or(derived).map(Repeated::key);
        if let Some(key) = &key
            && let Some(position) = self.recent.find(channel, key, now_ms)
        {
            return Ok(Published { position, count });
        }
        let (name, state) = self.channel_mut(channel);
        let position = state.advance(now_ms);
        if let Some(key) = &key {
            self.recent.insert(channel, key, position, now_ms);
        }
        let mut message = ProtocolMessage {
            id: Some(id),
            channel: Some(channel.to_owned()),
            connection_id: by.connection_id.map(ToString::to_string),
            timestamp: Some(now_ms),
            messages,
            ..ProtocolMessage::new(Action::Message)
        };
        number_messages(&mut message, &self.series, position);
        let entry = Entry::new(position, Kind::Message, by.connection_id.cloned(), &message);
        self.append(&name, entry, now_ms);
        Ok(Published { position, count })
    }

    fn check_size(&self, messages: &[Message]) -> Result<(), ErrorInfo> {
        if MESSAGES_PER_PUBLISH_MAX < messages.len() {
            let text = format!(
                "a publish of {} messages is over the limit of {MESSAGES_PER_PUBLISH_MAX}",
                messages.len()
            );
            return Err(ErrorInfo::new(40034, text));
        }
        let size: usize = messages.iter().map(Message::size).sum();
        self.check_bytes(size)
    }

    /// Refuses what is over the size of a publish (40009).
    pub(super) fn check_bytes(&self, size: usize) -> Result<(), ErrorInfo> {
        let limit = self.limits.message_bytes;
        if size <= limit {
            return Ok(());
        }
        Err(ErrorInfo::new(
            40009,
            format!("a publish of {size} bytes is over the limit of {limit}"),
        ))
    }
}

/// Checks who the messages claim to be from, and writes in who they are from.
fn stamp(grant: &Grant, messages: &mut [Message]) -> Result<(), ErrorInfo> {
    for message in messages {
        if let Some(name) = grant.identity.stamp(message.client_id.as_deref())? {
            message.client_id = Some(name.to_owned());
        }
        message.connection_key = None;
        message.connection_id = None;
        message.timestamp = None;
    }
    Ok(())
}

/// By what a publish is known when it is sent again; an id of one kind never
/// stands for one of another.
#[derive(Debug, Clone, Copy)]
enum Repeated<'a> {
    /// The connection and its serial.
    Derived(&'a str),
    /// The id of the only message.
    Single(&'a str),
    /// What the ids of several messages have in common.
    Batch(&'a str),
}

impl<'a> Repeated<'a> {
    fn key(self) -> [&'a str; 2] {
        match self {
            Self::Derived(id) => ["derived", id],
            Self::Single(id) => ["single", id],
            Self::Batch(base) => ["batch", base],
        }
    }
}

/// The id under which the client would send these messages again, if it gave
/// one: a single message may have any, several must be `<base>:0`, `<base>:1`…
fn own_id(messages: &[Message]) -> Result<Option<Repeated<'_>>, ErrorInfo> {
    if let [message] = messages {
        let id = message.id.as_deref().filter(|id| !id.is_empty());
        return Ok(id.map(Repeated::Single));
    }
    if messages.iter().all(|message| message.id.is_none()) {
        return Ok(None);
    }
    let base = messages
        .first()
        .and_then(|m| m.id.as_deref()?.strip_suffix(":0"));
    let wrong = || {
        ErrorInfo::new(
            40031,
            "the ids of several messages must be `<base>:<index>` with one base",
        )
    };
    let base = base.filter(|base| !base.is_empty()).ok_or_else(wrong)?;
    for (index, message) in messages.iter().enumerate() {
        let id = message.id.as_deref().unwrap_or_default();
        let suffix = id
            .strip_prefix(base)
            .and_then(|rest| rest.strip_prefix(':'));
        if suffix.and_then(|digits| digits.parse().ok()) != Some(index) {
            return Err(wrong());
        }
    }
    Ok(Some(Repeated::Batch(base)))
}

#[cfg(test)]
mod tests;
