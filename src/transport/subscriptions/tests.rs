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
