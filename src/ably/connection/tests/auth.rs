//! Tokens while connected.

use super::*;

fn auths(rig: &Rig) -> Vec<&str> {
    let auths = rig
        .sent
        .iter()
        .filter(|message| message.action == Wire::Auth);
    auths
        .filter_map(|message| Some(&*message.auth.as_ref()?.access_token))
        .collect()
}

#[test]
fn a_token_is_renewed_in_place_before_it_expires() {
    let mut rig = Rig::connected();
    for number in 2..5 {
        let asked = rig.now;
        while rig.asks_nothing() {
            rig.receive(ProtocolMessage::new(Wire::Heartbeat));
            rig.advance(10);
        }
        let after = (rig.now - asked).as_secs();
        assert!((3190..=3250).contains(&after), "{after}");
        assert!(!rig.give_token());
        assert_eq!(auths(&rig).last(), Some(&&*format!("token-{number}")));
        rig.receive(connected("c1"));
    }
    assert!(rig.states().is_empty(), "it never left connected");
}

#[test]
fn the_server_may_ask_for_a_new_token_and_gets_it_in_place() {
    let mut rig = Rig::connected();
    rig.receive(ProtocolMessage::new(Wire::Auth));
    rig.receive(ProtocolMessage::new(Wire::Auth));
    rig.give_token();
    assert_eq!(auths(&rig), ["token-2"]);
    assert!(rig.asks_nothing());
}

#[test]
fn a_renewal_that_fails_leaves_it_connected_and_is_tried_again() {
    let mut rig = Rig::connected();
    rig.receive(ProtocolMessage::new(Wire::Auth));
    rig.fail_token(TokenFailure::Unavailable("no broker".to_owned()));
    assert_eq!(rig.state(), ConnectionState::Connected);
    assert_eq!(rig.wake(), Duration::from_secs(15));
    rig.give_token();
    assert_eq!(auths(&rig), ["token-2"]);
}

#[test]
fn a_forbidden_renewal_fails_the_connection() {
    let mut rig = Rig::connected();
    rig.receive(ProtocolMessage::new(Wire::Auth));
    rig.fail_token(TokenFailure::Forbidden("revoked".to_owned()));
    assert_eq!(rig.state(), ConnectionState::Failed);
}

#[test]
fn an_expired_token_is_replaced_before_the_resume() {
    let mut rig = Rig::connected();
    rig.receive(failed_with(Wire::Disconnected, 40_142, 401));
    assert!(rig.give_token(), "a cached one is of no use");
    let request = rig.open();
    assert_eq!(request.token.secret.reveal(), "token-2");
    assert_eq!(request.resume.as_deref(), Some("c1!key"));
    // A second token error on the same attempt waits for the timer.
    rig.receive(failed_with(Wire::Error, 40_142, 401));
    assert!(rig.asks_nothing());
    assert_eq!(rig.state(), ConnectionState::Disconnected);
}

#[test]
fn a_reauthentication_the_server_refuses_fails_the_connection() {
    let mut rig = Rig::connected();
    rig.receive(failed_with(Wire::Error, 40_102, 401));
    assert_eq!(rig.state(), ConnectionState::Failed);
}

#[test]
fn a_token_fetched_while_the_connection_broke_is_used_for_the_next() {
    let mut rig = Rig::connected();
    rig.receive(ProtocolMessage::new(Wire::Auth));
    let Ask::Token { .. } = rig.ask() else {
        panic!("no token was asked for");
    };
    rig.receive(failed_with(Wire::Disconnected, 40_142, 401));
    assert!(rig.asks_nothing(), "one fetch is enough");
    rig.token(Ok(token(2, 3600)));
    assert_eq!(rig.open().token.secret.reveal(), "token-2");
}

#[test]
fn a_token_that_lives_for_seconds_causes_no_storm() {
    let mut rig = Rig::new("localhost");
    rig.connection.connect(rig.now);
    rig.ask();
    rig.token(Ok(token(1, 2)));
    rig.open();
    rig.receive(connected("c1"));
    for number in 2..32 {
        rig.receive(connected("c1"));
        rig.advance(1);
        if !rig.asks_nothing() {
            rig.ask();
            rig.token(Ok(token(number, 2)));
        }
    }
    assert!(auths(&rig).len() <= 30, "at most one a second");
    assert_eq!(rig.state(), ConnectionState::Connected);
}

#[test]
fn a_refused_token_that_its_source_gives_again_is_tried_again_after_a_pause() {
    let mut rig = Rig::connected();
    rig.receive(failed_with(Wire::Disconnected, 40_142, 401));
    for _ in 0..3 {
        rig.ask();
        rig.token(Ok(token(1, 3600)));
        rig.open();
        rig.receive(failed_with(Wire::Error, 40_142, 401));
        assert_eq!(rig.state(), ConnectionState::Disconnected);
        rig.wake();
    }
    rig.ask();
    rig.token(Ok(token(1, 3600)));
    rig.open();
    rig.receive(connected("c1"));
    assert_eq!(rig.state(), ConnectionState::Connected);
}

#[test]
fn a_fatal_error_says_nothing_against_the_token() {
    let mut rig = Rig::connected();
    rig.receive(failed_with(Wire::Error, 40_300, 403));
    assert_eq!(rig.state(), ConnectionState::Failed);
    rig.wake();
    let Ask::Token { refused } = rig.ask() else {
        panic!("no token was asked for");
    };
    assert!(!refused);
    rig.token(Ok(token(1, 3600)));
    rig.open();
    rig.receive(connected("c2"));
    assert_eq!(rig.state(), ConnectionState::Connected);
}

#[test]
fn a_token_that_has_expired_by_our_clock_is_tried_once_and_asked_for_no_more_than_that() {
    let mut rig = Rig::new("localhost");
    rig.connection.connect(rig.now);
    rig.ask();
    rig.token(Ok(token(1, 0)));
    rig.open();
    rig.receive(connected("c1"));
    assert_eq!(rig.state(), ConnectionState::Connected);
    let mut fetches = 0;
    for _ in 0..60 {
        rig.receive(ProtocolMessage::new(Wire::Heartbeat));
        rig.advance(1);
        if !rig.asks_nothing() {
            rig.ask();
            rig.token(Ok(token(1, 0)));
            fetches += 1;
        }
    }
    assert_eq!(fetches, 4, "it is renewed in peace");
    rig.lose();
    rig.ask();
    rig.token(Ok(token(1, 0)));
    rig.open();
}
