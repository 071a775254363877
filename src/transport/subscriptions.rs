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
mod tests {
    use super::*;
    use crate::protocol::ably::action::Action;
    use crate::protocol::ably::data::Data;
    use std::time::Duration;
    use tokio::sync::mpsc;

    const ALICE: SessionId = SessionId(1);
    const BOB: SessionId = SessionId(2);

    struct Client {
        sink: Sink,
        deliveries: mailbox::Mailbox,
        answers: mpsc::Receiver<super::super::reply::Answer>,
        answer: mpsc::Sender<super::super::reply::Answer>,
    }

    fn client(room: usize) -> Client {
        let (sink, deliveries) = mailbox::with_room(room);
        let (answer, answers) = mpsc::channel(8);
        Client {
            sink,
            deliveries,
            answers,
            answer,
        }
    }

    impl Client {
        fn subscribe(
            &self,
            to: &mut Subscriptions,
            session: SessionId,
            id: &str,
            event: &str,
        ) -> Option<Box<str>> {
            let reply = Reply::new(self.answer.clone(), "subscribe.ack.v1", id.into(), 0);
            let wish = Subscribe {
                subscription_id: id.into(),
                channel: "c".into(),
                event: (!event.is_empty()).then(|| event.into()),
            };
            to.add(session, wish, self.sink.clone(), (reply, Instant::now()))
        }

        fn received(&mut self) -> Vec<(String, bool)> {
            let mut found = Vec::new();
            while let Some(delivery) = self.deliveries.try_take() {
                found.push((delivery.message.event.clone(), delivery.continuity_lost));
            }
            found
        }
    }

    fn messages(names: &[&str]) -> ProtocolMessage {
        let message = |name: &&str| Message {
            name: Some((*name).to_owned()),
            data: Data::String("{}".to_owned()),
            ..Message::default()
        };
        ProtocolMessage {
            id: Some("conn:7".to_owned()),
            channel: Some("c".to_owned()),
            messages: names.iter().map(message).collect(),
            ..ProtocolMessage::new(Action::Message)
        }
    }

    #[test]
    fn a_subscriber_gets_the_events_it_asked_for_with_derived_ids() {
        let mut subscriptions = Subscriptions::default();
        let (mut alice, mut bob) = (client(8), client(8));
        alice.subscribe(&mut subscriptions, ALICE, "a", "");
        bob.subscribe(&mut subscriptions, BOB, "b", "two");
        subscriptions.deliver(messages(&["one", "two"]), 5);
        assert_eq!(alice.received().len(), 2);
        let delivery = bob.deliveries.try_take().expect("delivered");
        assert_eq!(delivery.message.message_id, "conn:7:1");
        assert_eq!(&delivery.message.payload[..], b"{}");
        assert!(bob.received().is_empty());
    }

    #[test]
    fn a_slow_subscriber_loses_messages_and_is_told_with_the_next_one() {
        let mut subscriptions = Subscriptions::default();
        let mut slow = client(1);
        slow.subscribe(&mut subscriptions, ALICE, "a", "");
        subscriptions.deliver(messages(&["1", "2", "3"]), 0);
        assert_eq!(slow.received(), [("1".to_owned(), false)]);
        subscriptions.deliver(messages(&["4"]), 0);
        subscriptions.continuity_lost("c");
        assert_eq!(slow.received(), [("4".to_owned(), true)]);
        subscriptions.deliver(messages(&["5"]), 0);
        assert_eq!(slow.received(), [("5".to_owned(), true)]);
        subscriptions.deliver(messages(&["6"]), 0);
        assert_eq!(slow.received(), [("6".to_owned(), false)]);
    }

    #[test]
    fn a_channel_is_let_go_when_its_last_subscriber_goes() {
        let mut subscriptions = Subscriptions::default();
        let (alice, bob) = (client(8), client(8));
        alice.subscribe(&mut subscriptions, ALICE, "a", "");
        bob.subscribe(&mut subscriptions, BOB, "b", "");
        assert_eq!(subscriptions.remove(ALICE, "b"), None);
        assert_eq!(subscriptions.remove(ALICE, "a"), None);
        assert_eq!(subscriptions.leave(BOB), ["c".into()]);
        assert_eq!(subscriptions.count.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn subscribing_again_with_the_same_id_replaces_and_keeps_the_channel() {
        let mut subscriptions = Subscriptions::default();
        let mut alice = client(8);
        assert_eq!(alice.subscribe(&mut subscriptions, ALICE, "a", ""), None);
        assert_eq!(alice.subscribe(&mut subscriptions, ALICE, "a", "x"), None);
        subscriptions.deliver(messages(&["x", "y"]), 0);
        assert_eq!(alice.received(), [("x".to_owned(), false)]);
    }

    #[test]
    fn whoever_waits_for_an_attachment_is_answered_once_and_forgotten_on_failure() {
        let mut subscriptions = Subscriptions::default();
        let mut alice = client(8);
        alice.subscribe(&mut subscriptions, ALICE, "a", "");
        subscriptions.attached("c");
        subscriptions.attached("c");
        assert!(alice.answers.try_recv().expect("answered").result.is_ok());

        alice.subscribe(&mut subscriptions, ALICE, "late", "");
        let failure = Failure::stopping();
        assert!(
            !subscriptions.unattached("c", &failure),
            "the first one stays"
        );
        assert!(alice.answers.try_recv().expect("answered").result.is_err());
        assert!(alice.answers.try_recv().is_err());

        alice.subscribe(&mut subscriptions, ALICE, "late", "");
        let later = Instant::now() + Duration::from_secs(1);
        assert!(subscriptions.poll_timeout().is_some_and(|at| at <= later));
        assert!(subscriptions.expire(later, &failure).is_empty());
        assert!(alice.answers.try_recv().expect("answered").result.is_err());
        assert_eq!(subscriptions.poll_timeout(), None);
    }
}
