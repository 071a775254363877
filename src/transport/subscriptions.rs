//! Who wants messages of which channel, and handing them out.
//!
//! Plain state of the realtime task. A subscriber that does not keep up loses
//! messages and is told so with the next it gets; it delays nobody.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;

use super::mailbox::{self, Sink};
use super::reply::{Failure, Reply};
use super::request::Subscribe;
use crate::protocol::ably::data;
use crate::protocol::ably::message::{Message, ProtocolMessage};

/// Names one client connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(pub(super) u64);

/// A message as every subscriber of its channel gets it.
#[derive(Debug)]
pub(super) struct Inbound {
    pub(super) channel: Box<str>,
    pub(super) event: String,
    pub(super) message_id: String,
    pub(super) payload: Bytes,
    /// What of the encoding could not be undone.
    pub(super) encoding: Option<String>,
    pub(super) received_at_ms: i64,
}

/// One message for one subscription.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) subscription_id: Arc<str>,
    pub(super) message: Arc<Inbound>,
    /// Some may be missing before this one.
    pub(super) continuity_lost: bool,
}

#[derive(Debug)]
struct Subscriber {
    session: SessionId,
    subscription_id: Arc<str>,
    event: Option<Box<str>>,
    sink: Sink,
    continuity_lost: bool,
    /// Answered once the channel is attached.
    waiting: Option<(Reply, Instant)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    by_channel: HashMap<Box<str>, Vec<Subscriber>>,
    /// For the status: how many there are.
    count: Arc<AtomicU64>,
}

impl Subscriptions {
    pub(super) fn new(count: Arc<AtomicU64>) -> Self {
        Self {
            by_channel: HashMap::new(),
            count,
        }
    }

    /// Adds a subscription, in place of one of the same session and id; returns
    /// the channel that nobody wants any more because of that.
    pub(super) fn add(
        &mut self,
        session: SessionId,
        wish: Subscribe,
        sink: Sink,
        waiting: (Reply, Instant),
    ) -> Option<Box<str>> {
        let left = self.remove(session, &wish.subscription_id);
        let wanted_again = left.as_ref() == Some(&wish.channel);
        self.by_channel
            .entry(wish.channel)
            .or_default()
            .push(Subscriber {
                session,
                subscription_id: Arc::from(wish.subscription_id),
                event: wish.event,
                sink,
                continuity_lost: false,
                waiting: Some(waiting),
            });
        self.recount();
        left.filter(|_| !wanted_again)
    }

    /// Ends one subscription; returns its channel if nobody else wants it.
    pub(super) fn remove(&mut self, session: SessionId, subscription_id: &str) -> Option<Box<str>> {
        let is_meant = |subscriber: &Subscriber| {
            subscriber.session == session && &*subscriber.subscription_id == subscription_id
        };
        self.drop_where(is_meant).pop()
    }

    /// Ends all subscriptions of a session; returns the channels that nobody
    /// else wants.
    pub(super) fn leave(&mut self, session: SessionId) -> Vec<Box<str>> {
        self.drop_where(|subscriber| subscriber.session == session)
    }

    /// The channel is attached: whoever waited for it is told.
    pub(super) fn attached(&mut self, channel: &str) {
        for subscriber in self.of(channel) {
            if let Some((reply, _)) = subscriber.waiting.take() {
                reply.send(Ok(()));
            }
        }
    }

    /// The channel cannot be attached now: whoever waited for it is told and
    /// forgotten. Returns whether nobody is left.
    pub(super) fn unattached(&mut self, channel: &str, failure: &Failure) -> bool {
        for subscriber in self.of(channel) {
            if let Some((reply, _)) = subscriber.waiting.take() {
                reply.send(Err(failure.clone()));
                subscriber.sink = closed_sink();
            }
        }
        !self
            .drop_where(|subscriber| subscriber.sink.is_closed())
            .is_empty()
    }

    /// Tells and forgets those whose patience is over; returns the channels
    /// nobody wants any more.
    pub(super) fn expire(&mut self, now: Instant, failure: &Failure) -> Vec<Box<str>> {
        for subscriber in self.by_channel.values_mut().flatten() {
            let over = subscriber.waiting.take_if(|(_, deadline)| *deadline <= now);
            if let Some((reply, _)) = over {
                reply.send(Err(failure.clone()));
                subscriber.sink = closed_sink();
            }
        }
        self.drop_where(|subscriber| subscriber.sink.is_closed())
    }

    /// When [`Subscriptions::expire`] has something to do.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let subscribers = self.by_channel.values().flatten();
        subscribers
            .filter_map(|subscriber| subscriber.waiting.as_ref().map(|(_, at)| *at))
            .min()
    }

    /// Messages of `channel` may be missing from here on.
    pub(super) fn continuity_lost(&mut self, channel: &str) {
        for subscriber in self.of(channel) {
            subscriber.continuity_lost = true;
        }
    }

    /// Hands every message out to everyone who wants it.
    pub(super) fn deliver(&mut self, envelope: ProtocolMessage, received_at_ms: i64) {
        let channel: Box<str> = envelope.channel.unwrap_or_default().into();
        let Some(subscribers) = self.by_channel.get_mut(&channel) else {
            return;
        };
        for (index, message) in envelope.messages.into_iter().enumerate() {
            let fallback_id = || format!("{}:{index}", envelope.id.as_deref().unwrap_or_default());
            let inbound = inbound(channel.clone(), message, fallback_id, received_at_ms);
            let inbound = Arc::new(inbound);
            for subscriber in &mut *subscribers {
                subscriber.offer(&inbound);
            }
        }
    }

    fn of(&mut self, channel: &str) -> impl Iterator<Item = &mut Subscriber> {
        self.by_channel.get_mut(channel).into_iter().flatten()
    }

    /// Drops subscribers; returns the channels that had some and now have none.
    fn drop_where(&mut self, is_meant: impl Fn(&Subscriber) -> bool) -> Vec<Box<str>> {
        let mut left = Vec::new();
        self.by_channel.retain(|channel, subscribers| {
            subscribers.retain(|subscriber| !is_meant(subscriber));
            if subscribers.is_empty() {
                left.push(channel.clone());
            }
            !subscribers.is_empty()
        });
        self.recount();
        left
    }

    fn recount(&self) {
        let count: usize = self.by_channel.values().map(Vec::len).sum();
        self.count.store(count as u64, Ordering::Relaxed);
    }
}

impl Subscriber {
    fn offer(&mut self, message: &Arc<Inbound>) {
        let wanted = self
            .event
            .as_deref()
            .is_none_or(|event| event == message.event);
        if !wanted {
            return;
        }
        let delivery = Delivery {
            subscription_id: Arc::clone(&self.subscription_id),
            message: Arc::clone(message),
            continuity_lost: self.continuity_lost,
        };
        self.continuity_lost = !self.sink.offer(delivery);
    }
}

/// The sink of a subscriber that is about to be dropped.
fn closed_sink() -> Sink {
    mailbox::with_room(1).0
}

fn inbound(
    channel: Box<str>,
    message: Message,
    fallback_id: impl FnOnce() -> String,
    received_at_ms: i64,
) -> Inbound {
    let (payload, encoding) = data::undo(message.data, message.encoding.as_deref());
    Inbound {
        channel,
        event: message.name.unwrap_or_default(),
        message_id: message.id.unwrap_or_else(fallback_id),
        payload: payload.into_bytes(),
        encoding,
        received_at_ms,
    }
}

#[cfg(test)]
mod tests;
