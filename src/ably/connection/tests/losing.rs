//! Losing a connection, resuming it, closing it.

use super::*;

#[test]
fn a_lost_connection_is_resumed_at_once() {
    let mut rig = Rig::connected();
    rig.lose();
    assert_eq!(rig.states(), [ConnectionState::Connecting]);
    assert_eq!(rig.open().resume.as_deref(), Some("c1!key"));
    rig.receive(connected("c1"));
    let resumed = matches!(rig.events.last(), Some(Event::State { resumed: true, .. }));
    assert!(resumed, "{:?}", rig.events);
}

#[test]
fn another_connection_id_means_that_nothing_was_resumed() {
    let mut rig = Rig::connected();
    rig.lose();
    rig.open();
    rig.receive(ProtocolMessage {
        error: Some(ErrorInfo::new(80_018, "malformed key")),
        ..connected("c2")
    });
    assert!(matches!(
        rig.events.last(),
        Some(Event::State { resumed: false, reason: Some(why), .. }) if why.code == 80_018
    ));
    rig.advance(5);
    rig.lose();
    assert_eq!(rig.open().resume.as_deref(), Some("c2!key"));
}

#[test]
fn a_flapping_server_is_tried_no_more_than_once_a_second() {
    let mut rig = Rig::connected();
    rig.lose();
    for _ in 0..5 {
        rig.open();
        rig.receive(connected("c1"));
        rig.lose();
        assert!(rig.asks_nothing());
        assert_eq!(rig.state(), ConnectionState::Disconnected);
        assert_eq!(rig.wake(), Duration::from_secs(1));
    }
}

#[test]
fn silence_beyond_the_idle_interval_is_a_lost_connection_and_a_ping_is_no_silence() {
    let mut rig = Rig::connected();
    assert!(rig.wake() <= Duration::from_secs(25));
    assert_eq!(rig.state(), ConnectionState::Connecting);

    let mut rig = Rig::connected();
    for _ in 0..10 {
        rig.advance(14);
        let generation = rig.connection.generation;
        rig.connection.handle_activity(generation, rig.now);
    }
    assert_eq!(rig.state(), ConnectionState::Connected);
    rig.receive(ProtocolMessage::new(Wire::Heartbeat));
    assert_eq!(rig.wake(), Duration::from_secs(25));
    assert_eq!(rig.state(), ConnectionState::Connecting);
}

#[test]
fn an_idle_interval_of_zero_means_that_silence_is_fine() {
    let mut rig = Rig::connected();
    let mut update = connected("c1");
    if let Some(details) = &mut update.connection_details {
        details.max_idle_interval = Some(0);
    }
    rig.receive(update);
    rig.advance(3000);
    assert_eq!(rig.state(), ConnectionState::Connected);
}

#[test]
fn a_disconnected_with_503_sends_us_to_the_fallbacks_and_any_other_to_the_primary() {
    let mut rig = Rig::connected_to("main");
    rig.receive(failed_with(Wire::Disconnected, 80_003, 503));
    rig.connectivity(true);
    assert!(rig.open().host.name.contains("fallback"));

    let mut rig = Rig::connected_to("main");
    rig.receive(failed_with(Wire::Disconnected, 80_003, 400));
    assert_eq!(rig.open().host.name, "main.realtime.ably.net");
}

#[test]
fn away_for_longer_than_the_server_keeps_our_state_it_still_tries_to_resume() {
    let mut rig = Rig::connected();
    let mut update = connected("c1");
    if let Some(details) = &mut update.connection_details {
        details.connection_state_ttl = Some(60_000);
    }
    rig.receive(update);
    rig.lose();
    while rig.state() != ConnectionState::Suspended {
        if !rig.asks_nothing() {
            rig.refuse_open(unreachable());
        }
        rig.wake();
    }
    rig.asks.clear();
    rig.wake();
    assert_eq!(rig.open().resume.as_deref(), Some("c1!key"));
    rig.receive(connected("c1"));
    assert_eq!(rig.state(), ConnectionState::Connected);
}

#[test]
fn channels_stay_as_they_are_while_the_connection_is_lost_and_attach_again() {
    let mut rig = Rig::connected();
    rig.connection.attach("news", rig.now);
    rig.settle();
    rig.receive(ProtocolMessage {
        channel: Some("news".to_owned()),
        channel_serial: Some("s1".to_owned()),
        ..ProtocolMessage::new(Wire::Attached)
    });
    rig.sent.clear();
    rig.events.clear();
    rig.lose();
    rig.open();
    rig.receive(connected("c1"));
    let attach = &rig.sent[0];
    assert_eq!(attach.action, Wire::Attach);
    assert_eq!(attach.channel_serial.as_deref(), Some("s1"));
    assert!(
        !rig.events
            .iter()
            .any(|event| matches!(event, Event::Unattached { .. }))
    );
}

#[test]
fn what_was_to_be_sent_on_a_lost_websocket_is_not_sent_on_the_next() {
    let mut rig = Rig::connected();
    rig.connection.attach("news", rig.now);
    let generation = rig.connection.generation;
    rig.connection.handle_lost(generation, "reset", rig.now);
    rig.settle();
    assert!(rig.sent.is_empty());
    rig.open();
    rig.receive(connected("c1"));
    assert_eq!(rig.sent.len(), 1, "attached once, on the new one");
}

#[test]
fn closing_says_close_and_waits_for_closed() {
    let mut rig = Rig::connected();
    rig.publish(1);
    rig.connection
        .close(rig.now, rig.now + Duration::from_secs(2));
    rig.settle();
    assert_eq!(
        rig.sent.last().map(|message| message.action),
        Some(Wire::Close)
    );
    assert_eq!(rig.state(), ConnectionState::Closing);
    rig.receive(ack(0, 1));
    rig.receive(ProtocolMessage::new(Wire::Closed));
    assert_eq!(
        rig.states(),
        [ConnectionState::Closing, ConnectionState::Closed]
    );
    assert_eq!(rig.settled(), [(1, Outcome::Accepted)]);
    assert_eq!(rig.connection.poll_timeout(), None);
}

#[test]
fn closing_waits_no_longer_than_told_and_not_at_all_without_a_connection() {
    let mut rig = Rig::connected();
    rig.publish(1);
    rig.connection
        .close(rig.now, rig.now + Duration::from_secs(2));
    assert_eq!(rig.wake(), Duration::from_secs(2));
    assert_eq!(rig.state(), ConnectionState::Closed);
    assert!(matches!(rig.settled()[..], [(1, Outcome::Unknown(_))]));

    let mut rig = Rig::opening("localhost");
    rig.connection
        .close(rig.now, rig.now + Duration::from_secs(2));
    assert_eq!(rig.state(), ConnectionState::Closed);
}

#[test]
fn a_connection_closed_by_the_server_starts_anew() {
    let mut rig = Rig::connected();
    rig.receive(ProtocolMessage::new(Wire::Closed));
    assert_eq!(rig.open().resume, None);
}

#[test]
fn messages_of_a_later_protocol_are_ignored() {
    let mut rig = Rig::connected();
    rig.receive(ProtocolMessage::new(Wire::Unknown(99)));
    rig.receive(ProtocolMessage::new(Wire::Sync));
    assert_eq!(rig.state(), ConnectionState::Connected);
}
