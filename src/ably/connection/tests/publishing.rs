//! Publishes across the life of a connection.

use super::*;

#[test]
fn publishes_wait_for_the_connection_and_leave_in_order() {
    let mut rig = Rig::opening("localhost");
    rig.publish(1);
    rig.publish(2);
    assert!(rig.written.is_empty());
    rig.open();
    rig.receive(connected("c1"));
    assert_eq!(rig.written, [0, 1]);
    rig.receive(ack(0, 2));
    assert_eq!(
        rig.settled(),
        [(1, Outcome::Accepted), (2, Outcome::Accepted)]
    );
}

#[test]
fn after_a_resume_unanswered_publishes_go_first_with_their_serials() {
    let mut rig = Rig::connected();
    rig.publish(1);
    rig.publish(2);
    rig.receive(ack(0, 1));
    rig.lose();
    rig.publish(3);
    rig.open();
    rig.receive(connected("c1"));
    assert_eq!(rig.written, [1, 2]);
}

#[test]
fn after_a_failed_resume_they_get_new_serials_from_zero() {
    let mut rig = Rig::connected();
    rig.publish(1);
    rig.publish(2);
    rig.receive(ack(0, 1));
    rig.lose();
    rig.publish(3);
    rig.open();
    rig.receive(connected("c2"));
    assert_eq!(rig.written, [0, 1]);
    rig.receive(ack(0, 2));
    let tags: Vec<u32> = rig.settled().into_iter().map(|(tag, _)| tag).collect();
    assert_eq!(tags, [1, 2, 3]);
}

#[test]
fn a_second_connected_on_one_websocket_resends_nothing() {
    let mut rig = Rig::connected();
    rig.publish(1);
    rig.receive(connected("c1"));
    assert_eq!(rig.written, [0]);
    assert!(rig.states().is_empty(), "an update is no new state");
}

#[test]
fn a_nack_refuses_and_the_rate_limit_also_slows_down() {
    let mut rig = Rig::connected();
    rig.publish(1);
    let nack = ProtocolMessage {
        error: Some(ErrorInfo::with_status(42_911, 429, "too fast")),
        action: Wire::Nack,
        ..ack(0, 1)
    };
    rig.receive(nack);
    assert!(matches!(&rig.settled()[..], [(1, Outcome::Refused(why))] if why.code == 42_911));
    rig.publish(2);
    assert_eq!(rig.written, [0], "the next one waits");
    rig.wake();
    assert_eq!(rig.written, [0, 1]);
}

#[test]
fn a_nack_without_an_error_is_still_a_refusal() {
    let mut rig = Rig::connected();
    rig.publish(1);
    rig.receive(ProtocolMessage {
        action: Wire::Nack,
        ..ack(0, 1)
    });
    assert!(matches!(&rig.settled()[..], [(1, Outcome::Refused(why))] if why.code == 50_001));
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let mut rig = Rig::connected();
    rig.publish_with(1, &"A".repeat(90_000), 60);
    assert!(matches!(&rig.settled()[..], [(1, Outcome::Refused(why))] if why.code == 40_009));

    // The limit may turn out lower only once connected.
    rig.lose();
    rig.publish_with(2, &"A".repeat(4000), 60);
    rig.publish(3);
    let mut strict = connected("c1");
    if let Some(details) = &mut strict.connection_details {
        details.max_message_size = Some(100);
    }
    rig.open();
    rig.receive(strict);
    assert!(matches!(&rig.settled()[..], [(2, Outcome::Refused(why))] if why.code == 40_009));
    assert_eq!(rig.written.len(), 1, "the next one went out");
}

#[test]
fn the_limit_of_a_connection_that_is_lost_refuses_nothing() {
    let mut rig = Rig::connected();
    rig.lose();
    rig.publish_with(1, &"A".repeat(90_000), 60);
    let mut larger = connected("c1");
    if let Some(details) = &mut larger.connection_details {
        details.max_message_size = Some(100_000);
    }
    rig.open();
    rig.receive(larger);
    assert!(rig.settled().is_empty());
    assert_eq!(rig.written.len(), 1);
}

#[test]
fn a_requester_whose_time_is_over_hears_how_far_it_got() {
    let mut rig = Rig::connected();
    rig.publish_with(1, "aGk=", 5);
    rig.advance(5);
    assert!(matches!(&rig.settled()[..], [(1, Outcome::Unknown(why))] if why.code == 50_003));
    rig.lose();
    rig.publish_with(2, "aGk=", 5);
    rig.advance(5);
    assert!(matches!(&rig.settled()[..], [(2, Outcome::NotSent(why))] if why.code == 80_003));
}

#[test]
fn a_publish_answered_as_not_sent_is_never_sent() {
    let mut rig = Rig::opening("localhost");
    rig.publish_with(1, "aGk=", 1);
    rig.publish_with(2, "aGk=", 60);
    rig.advance(2);
    assert_eq!(rig.settled().len(), 1);
    rig.open();
    rig.receive(connected("c1"));
    assert_eq!(rig.written, [0]);
    rig.receive(ack(0, 1));
    assert_eq!(rig.settled(), [(2, Outcome::Accepted)]);
}

#[test]
fn a_publish_to_a_failed_channel_is_refused_and_other_channels_go_on() {
    let mut rig = Rig::connected();
    rig.connection.attach("c", rig.now);
    rig.settle();
    rig.receive(ProtocolMessage {
        channel: Some("c".to_owned()),
        ..failed_with(Wire::Error, 40_160, 401)
    });
    assert_eq!(rig.state(), ConnectionState::Connected);
    rig.publish(1);
    assert!(matches!(rig.settled()[..], [(1, Outcome::NotSent(_))]));
    rig.connection.release("c", rig.now);
    rig.publish(2);
    assert_eq!(rig.written, [0]);
}

#[test]
fn a_failed_connection_settles_what_it_has_and_queues_what_comes_until_its_time_is_over() {
    let mut rig = Rig::connected();
    rig.publish(1);
    rig.receive(failed_with(Wire::Error, 40_101, 401));
    assert!(matches!(&rig.settled()[..], [(1, Outcome::Unknown(why))] if why.code == 80_000));
    rig.publish_with(2, "aGk=", 5);
    assert!(rig.settled().is_empty());
    rig.advance(5);
    let settled = rig.settled();
    assert!(matches!(&settled[..], [(2, Outcome::NotSent(why))] if why.code == 80_003));

    rig.connection.close(rig.now, rig.now);
    rig.publish(3);
    assert!(matches!(&rig.settled()[..], [(3, Outcome::NotSent(why))] if why.code == 80_017));
}
