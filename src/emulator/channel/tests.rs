use std::sync::Arc;

use super::*;
use crate::protocol::ably::message::{Action, Message};

const ALL: u64 = flags::SUBSCRIBE | flags::PRESENCE_SUBSCRIBE | flags::OBJECT_SUBSCRIBE;

fn channel() -> Channel {
    Channel::new(Extent::default())
}

fn publish(channel: &mut Channel, count: usize, at_ms: i64, by: Option<&str>) -> Position {
    let position = channel.advance(at_ms);
    let message = ProtocolMessage {
        timestamp: Some(at_ms),
        messages: vec![Message::default(); count],
        ..ProtocolMessage::new(Action::Message)
    };
    let by = by.map(Arc::from);
    channel.append(Entry::new(position, Kind::Message, by, &message));
    position
}

fn attach(channel: &mut Channel, from: From) -> Attached {
    channel.attach(
        1,
        Attach {
            modes: ALL,
            muted: None,
            from,
        },
        0,
    )
}

fn pull(channel: &mut Channel) -> (Vec<usize>, Pulled) {
    let (mut out, mut budget) = (Vec::new(), usize::MAX);
    let pulled = channel.pull(1, Format::Msgpack, &mut budget, &mut out);
    let counts = out.iter().map(|frame| {
        let message = crate::protocol::ably::codec::decode(Format::Msgpack, frame);
        message.expect("decodes").messages.len()
    });
    (counts.collect(), pulled)
}

#[test]
fn an_attachment_begins_with_what_comes_next() {
    let mut channel = channel();
    publish(&mut channel, 1, 1, None);
    let attached = attach(&mut channel, From::Now);
    assert!(!attached.is_resumed && !attached.has_backlog);
    publish(&mut channel, 2, 2, None);
    assert_eq!(pull(&mut channel), (vec![2], Pulled::Everything));
    assert_eq!(pull(&mut channel), (vec![], Pulled::Everything));
}

#[test]
fn a_session_is_woken_once_until_it_has_pulled() {
    let mut channel = channel();
    attach(&mut channel, From::Now);
    pull(&mut channel);
    publish(&mut channel, 1, 1, None);
    assert_eq!(channel.wake().collect::<Vec<_>>(), [1]);
    assert_eq!(channel.wake().count(), 0);
    pull(&mut channel);
    assert_eq!(channel.wake().count(), 1);
}

#[test]
fn a_resumed_attachment_gets_exactly_what_it_missed() {
    let mut channel = channel();
    let seen = publish(&mut channel, 1, 1, None);
    publish(&mut channel, 2, 2, None);
    publish(&mut channel, 3, 2, None);
    let attached = attach(&mut channel, From::Serial(Some(seen)));
    assert_eq!(
        attached,
        Attached {
            position: seen,
            is_resumed: true,
            has_backlog: true
        }
    );
    assert_eq!(pull(&mut channel).0, [2, 3]);
}

#[test]
fn continuity_is_lost_when_what_was_missed_has_been_dropped() {
    let mut channel = channel();
    let seen = publish(&mut channel, 1, 1, None);
    publish(&mut channel, 1, 2, None);
    assert!(0 < channel.shorten_to(1));
    assert!(attach(&mut channel, From::Serial(Some(seen))).is_resumed);
    channel.shorten_to(0);
    assert!(!attach(&mut channel, From::Serial(Some(seen))).is_resumed);
    assert!(!attach(&mut channel, From::Serial(None)).is_resumed);
}

#[test]
fn who_lost_continuity_still_gets_what_is_left() {
    let mut channel = channel();
    let seen = publish(&mut channel, 1, 1, None);
    publish(&mut channel, 2, 2, None);
    publish(&mut channel, 3, 3, None);
    channel.shorten_to(1);
    for from in [From::Serial(Some(seen)), From::Serial(None)] {
        let attached = attach(&mut channel, from);
        assert!(!attached.is_resumed && attached.has_backlog);
        assert_eq!(pull(&mut channel).0, [3]);
    }
}

#[test]
fn the_serial_of_an_attachment_resumes_without_what_came_before_it() {
    let mut channel = channel();
    publish(&mut channel, 1, 5, None);
    let attached = channel.attach(
        1,
        Attach {
            modes: ALL,
            muted: None,
            from: From::Now,
        },
        5,
    );
    publish(&mut channel, 2, 5, None);
    attach(&mut channel, From::Serial(Some(attached.position)));
    assert_eq!(pull(&mut channel).0, [2]);
}

#[test]
fn a_subscriber_that_is_too_slow_is_told_so_and_goes_on() {
    let mut channel = channel();
    attach(&mut channel, From::Now);
    for _ in 0..3 {
        publish(&mut channel, 1, 1, None);
    }
    channel.shorten_to(2);
    assert_eq!(pull(&mut channel), (vec![], Pulled::Lost(channel.last())));
    publish(&mut channel, 7, 1, None);
    assert_eq!(pull(&mut channel), (vec![7], Pulled::Everything));
}

#[test]
fn a_pull_stops_at_its_budget_and_goes_on_where_it_stopped() {
    let mut channel = channel();
    attach(&mut channel, From::Now);
    publish(&mut channel, 1, 1, None);
    publish(&mut channel, 2, 1, None);
    let (mut out, mut budget) = (Vec::new(), 1);
    let pulled = channel.pull(1, Format::Json, &mut budget, &mut out);
    assert_eq!((pulled, out.len(), budget), (Pulled::More, 1, 0));
    assert_eq!(pull(&mut channel).0, [2]);
}

#[test]
fn a_connection_without_echo_does_not_get_its_own_messages() {
    let mut channel = channel();
    let muted = Some(Arc::from("me"));
    channel.attach(
        1,
        Attach {
            modes: ALL,
            muted,
            from: From::Now,
        },
        0,
    );
    publish(&mut channel, 1, 1, Some("me"));
    publish(&mut channel, 2, 1, Some("you"));
    assert_eq!(pull(&mut channel).0, [2]);
}

#[test]
fn a_rewind_by_count_counts_messages_not_publishes() {
    let mut channel = channel();
    publish(&mut channel, 5, 1, None);
    publish(&mut channel, 4, 2, None);
    assert!(attach(&mut channel, From::LastMessages(6)).has_backlog);
    assert_eq!(pull(&mut channel).0, [2, 4]);
    attach(&mut channel, From::LastMessages(100));
    assert_eq!(pull(&mut channel).0, [5, 4]);
    assert!(!attach(&mut channel, From::LastMessages(0)).has_backlog);
}

#[test]
fn a_rewind_by_time_begins_at_that_time() {
    let mut channel = channel();
    publish(&mut channel, 1, 10, None);
    publish(&mut channel, 2, 20, None);
    attach(&mut channel, From::Since(20));
    assert_eq!(pull(&mut channel).0, [2]);
}

#[test]
fn a_rewind_into_a_muted_publish_takes_nothing_from_the_next_one() {
    let mut channel = channel();
    publish(&mut channel, 3, 1, Some("me"));
    let muted = Some(Arc::from("me"));
    channel.attach(
        1,
        Attach {
            modes: ALL,
            muted,
            from: From::LastMessages(1),
        },
        1,
    );
    publish(&mut channel, 3, 2, Some("you"));
    assert_eq!(pull(&mut channel).0, [3]);
}

#[test]
fn only_what_was_pulled_counts_as_delivered() {
    let mut channel = channel();
    let attached = attach(&mut channel, From::Now);
    assert_eq!(channel.delivered(1), Some(attached.position));
    let first = publish(&mut channel, 1, 1, None);
    publish(&mut channel, 2, 2, None);
    assert!(channel.delivered(1) < Some(first));
    let (mut out, mut budget) = (Vec::new(), 1);
    channel.pull(1, Format::Json, &mut budget, &mut out);
    assert_eq!(channel.delivered(1), Some(first));
    pull(&mut channel);
    assert_eq!(channel.delivered(1), Some(channel.last()));
    assert_eq!(channel.delivered(2), None);
}
