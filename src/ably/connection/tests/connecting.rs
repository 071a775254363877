//! From nothing to connected: tokens, hosts, retries.

use super::*;

#[test]
fn it_fetches_a_token_then_opens_the_primary_host_then_waits_for_connected() {
    let mut rig = Rig::new("main");
    assert_eq!(rig.state(), ConnectionState::Initialized);
    rig.connection.connect(rig.now);
    assert!(!rig.give_token());
    let request = rig.open();
    assert_eq!(request.host.name, "main.realtime.ably.net");
    assert_eq!(request.token.secret.reveal(), "token-1");
    assert_eq!(request.resume, None);
    rig.receive(connected("c1"));
    assert_eq!(
        rig.states(),
        [ConnectionState::Connecting, ConnectionState::Connected]
    );
    assert_eq!(rig.connection.connection_id(), Some("c1"));
}

#[test]
fn a_host_that_never_says_connected_is_given_up_after_ten_seconds() {
    let mut rig = Rig::opening("localhost");
    rig.open();
    assert_eq!(rig.wake(), Duration::from_secs(10));
    assert_eq!(rig.state(), ConnectionState::Disconnected);
}

#[test]
fn retries_follow_rtb1_and_use_the_same_fresh_token() {
    let mut rig = Rig::opening("localhost");
    for full in [15.0, 20.0, 25.0, 30.0] {
        rig.refuse_open(unreachable());
        assert_eq!(rig.state(), ConnectionState::Disconnected);
        let wait = rig.wake().as_secs_f64();
        assert!((full * 0.8..=full).contains(&wait), "{full}: {wait}");
    }
    assert_eq!(rig.open().token.secret.reveal(), "token-1");
}

#[test]
fn fallback_hosts_are_tried_after_the_internet_proves_to_be_there() {
    let mut rig = Rig::opening("main");
    assert_eq!(rig.refuse_open(unreachable()), "main.realtime.ably.net");
    rig.connectivity(true);
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(rig.refuse_open(unreachable()));
    }
    assert!(
        hosts
            .iter()
            .all(|host| host.ends_with(".fallback.ably-realtime.com"))
    );
    assert_eq!(rig.state(), ConnectionState::Disconnected);
    rig.wake();
    assert_eq!(
        rig.open().host.name,
        "main.realtime.ably.net",
        "primary first"
    );
}

#[test]
fn a_fallback_host_is_as_good_as_any() {
    let mut rig = Rig::opening("main");
    rig.refuse_open(OpenFailure::Status {
        status: 503,
        error: None,
    });
    rig.connectivity(true);
    rig.open();
    rig.receive(connected("c1"));
    assert_eq!(rig.state(), ConnectionState::Connected);
    assert!(rig.connection.host().name.contains("fallback"));
}

#[test]
fn without_an_internet_no_fallback_is_tried() {
    let mut rig = Rig::opening("main");
    rig.refuse_open(unreachable());
    rig.connectivity(false);
    assert!(rig.asks_nothing());
    assert_eq!(rig.state(), ConnectionState::Disconnected);
}

#[test]
fn a_server_that_says_503_sends_us_to_a_fallback_and_one_that_says_400_does_not() {
    let mut rig = Rig::opening("main");
    rig.open();
    rig.receive(failed_with(Wire::Disconnected, 80_003, 503));
    rig.connectivity(true);
    assert!(rig.open().host.name.contains("fallback"));

    let mut rig = Rig::opening("main");
    rig.open();
    rig.receive(failed_with(Wire::Disconnected, 80_003, 400));
    assert!(rig.asks_nothing());
    assert_eq!(rig.state(), ConnectionState::Disconnected);
}

#[test]
fn a_token_that_cannot_be_had_leaves_it_disconnected_and_trying() {
    let mut rig = Rig::new("localhost");
    rig.connection.connect(rig.now);
    rig.fail_token(TokenFailure::Unavailable("no broker".to_owned()));
    assert_eq!(rig.state(), ConnectionState::Disconnected);
    let error = rig.connection.last_error().expect("a reason");
    assert_eq!((error.code, error.status_code), (80_019, 401));
    rig.wake();
    rig.give_token();
    rig.open();
}

#[test]
fn a_forbidden_token_fails_it_and_even_that_is_tried_again() {
    let mut rig = Rig::new("localhost");
    rig.connection.connect(rig.now);
    rig.fail_token(TokenFailure::Forbidden("no account".to_owned()));
    assert_eq!(rig.state(), ConnectionState::Failed);
    let error = rig.connection.last_error().expect("a reason");
    assert_eq!((error.code, error.status_code), (80_019, 403));
    assert_eq!(rig.wake(), Duration::from_secs(30));
    rig.give_token();
    rig.open();
    rig.receive(connected("c1"));
    assert_eq!(rig.state(), ConnectionState::Connected);
}

#[test]
fn a_fetch_that_never_ends_does_not_end_the_trying() {
    let mut rig = Rig::new("localhost");
    rig.connection.connect(rig.now);
    assert!(matches!(rig.ask(), Ask::Token { .. }));
    assert_eq!(rig.wake(), Duration::from_secs(10));
    assert_eq!(rig.state(), ConnectionState::Disconnected);
    rig.wake();
    assert!(rig.asks_nothing(), "the first fetch is still under way");
    rig.token(Ok(token(1, 3600)));
    rig.open();
}

#[test]
fn a_token_refused_while_connecting_is_replaced_once_an_attempt() {
    let mut rig = Rig::opening("localhost");
    rig.open();
    rig.receive(failed_with(Wire::Error, 40_142, 401));
    assert!(rig.give_token(), "the last one was refused");
    assert_eq!(rig.open().token.secret.reveal(), "token-2");
    rig.receive(failed_with(Wire::Error, 40_142, 401));
    assert_eq!(rig.state(), ConnectionState::Disconnected);
    rig.wake();
    assert!(rig.give_token());
    rig.open();
    rig.receive(failed_with(Wire::Error, 40_142, 401));
    assert_eq!(rig.state(), ConnectionState::Disconnected);
}

#[test]
fn a_refused_token_given_again_is_not_tried_again() {
    let mut rig = Rig::opening("localhost");
    rig.open();
    rig.receive(failed_with(Wire::Error, 40_142, 401));
    assert!(matches!(rig.ask(), Ask::Token { refused: true }));
    rig.token(Ok(token(1, 3600)));
    assert!(rig.asks_nothing());
    assert_eq!(rig.state(), ConnectionState::Disconnected);
}

#[test]
fn any_other_error_of_the_connection_is_fatal_for_it_but_not_for_the_process() {
    let mut rig = Rig::opening("localhost");
    rig.open();
    rig.receive(failed_with(Wire::Error, 40_101, 401));
    assert_eq!(rig.state(), ConnectionState::Failed);
    assert_eq!(rig.wake(), Duration::from_secs(30));
    assert_eq!(rig.state(), ConnectionState::Connecting);
    rig.give_token();
    assert_eq!(rig.open().resume, None);
}

#[test]
fn an_expired_token_is_replaced_before_connecting() {
    let mut rig = Rig::new("localhost");
    rig.connection.connect(rig.now);
    rig.ask();
    rig.token(Ok(token(1, 5)));
    rig.refuse_open(unreachable());
    rig.wake();
    assert!(matches!(rig.ask(), Ask::Token { refused: false }));
}

#[test]
fn after_two_minutes_of_trying_it_is_suspended_and_tries_every_thirty_seconds() {
    let mut rig = Rig::opening("localhost");
    rig.publish_with(1, "aGk=", 600);
    let start = rig.now;
    while rig.state() != ConnectionState::Suspended {
        if !rig.asks_nothing() {
            rig.refuse_open(unreachable());
        }
        rig.wake();
    }
    assert_eq!(rig.now - start, Duration::from_secs(120));
    assert!(matches!(&rig.settled()[..], [(1, Outcome::NotSent(why))] if why.code == 80_002));
    rig.publish_with(2, "aGk=", 600);
    assert!(rig.settled().is_empty(), "it waits for the next try");
    rig.asks.clear();
    for _ in 0..3 {
        assert_eq!(rig.wake(), Duration::from_secs(30));
        rig.refuse_open(unreachable());
        assert_eq!(rig.state(), ConnectionState::Suspended);
    }
}

#[test]
fn what_is_said_of_an_older_websocket_is_ignored() {
    let mut rig = Rig::opening("localhost");
    let old = rig.open().generation;
    rig.wake();
    rig.wake();
    rig.open();
    rig.connection.handle_message(old, connected("c1"), rig.now);
    rig.connection.handle_lost(old, "late", rig.now);
    rig.connection
        .handle_open_failed(old, unreachable(), rig.now);
    assert_eq!(rig.state(), ConnectionState::Connecting);
    rig.receive(connected("c2"));
    assert_eq!(rig.connection.connection_id(), Some("c2"));
}
