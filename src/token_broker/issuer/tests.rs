use super::super::source::tests::{NOW_MS, order};
use super::*;
use crate::protocol::ably::auth::AccessToken;

fn issuer() -> Issuer {
    let config = Config {
        identity: order().identity,
        source: Source::None,
        reach: Reach::Contract,
    };
    Issuer::new(config).0
}

fn token(text: &str, expires: i64) -> TokenDetails {
    TokenDetails {
        token: AccessToken::new(text),
        expires,
        ..TokenDetails::default()
    }
}

type Answer = oneshot::Receiver<Result<TokenDetails, Refusal>>;

fn ask(issuer: &mut Issuer, now_ms: i64) -> Answer {
    let (reply, answer) = oneshot::channel();
    issuer.issue(Audience::DaemonFalco, false, reply, now_ms);
    answer
}

fn ask_anew(issuer: &mut Issuer, now_ms: i64) -> Answer {
    let (reply, answer) = oneshot::channel();
    issuer.issue(Audience::DaemonFalco, true, reply, now_ms);
    answer
}

fn told(mut answer: Answer) -> Option<Result<TokenDetails, Refusal>> {
    answer.try_recv().ok()
}

#[test]
fn whoever_asks_meanwhile_waits_for_the_same_answer() {
    let mut issuer = issuer();
    let first = ask(&mut issuer, NOW_MS);
    let second = ask(&mut issuer, NOW_MS);
    assert_eq!(issuer.fetches.len(), 1);

    issuer.settle(Audience::DaemonFalco, Ok(token("t", NOW_MS)), NOW_MS);

    assert_eq!(told(first), Some(Ok(token("t", NOW_MS))));
    assert_eq!(told(second), Some(Ok(token("t", NOW_MS))));
}

#[test]
fn a_token_is_kept_until_two_minutes_before_it_expires() {
    let mut issuer = issuer();
    drop(ask(&mut issuer, NOW_MS));
    let expires = NOW_MS + 3_600_000;
    issuer.settle(Audience::DaemonFalco, Ok(token("t", expires)), NOW_MS);

    let served = ask(&mut issuer, expires - KEEP_MARGIN_MS - 1);
    assert_eq!(told(served), Some(Ok(token("t", expires))));
    let refetched = ask(&mut issuer, expires - KEEP_MARGIN_MS);
    assert_eq!(told(refetched), None);
}

#[test]
fn a_token_that_lives_shortly_or_does_not_say_how_long_is_kept_as_well() {
    for (expires, kept_ms) in [(NOW_MS + 60_000, 30_000), (0, KEEP_ENDLESS_MS), (NOW_MS, 0)] {
        let mut issuer = issuer();
        drop(ask(&mut issuer, NOW_MS));
        issuer.settle(Audience::DaemonFalco, Ok(token("t", expires)), NOW_MS);
        let last = ask(&mut issuer, NOW_MS + kept_ms - 1);
        assert_eq!(told(last).is_some(), 0 < kept_ms, "{expires}");
        assert_eq!(told(ask(&mut issuer, NOW_MS + kept_ms)), None);
    }
}

#[test]
fn a_refused_token_is_replaced_once_for_all_who_ask_and_no_more_than_once_a_second() {
    let mut issuer = issuer();
    drop(ask(&mut issuer, NOW_MS));
    let expires = NOW_MS + 3_600_000;
    issuer.settle(Audience::DaemonFalco, Ok(token("old", expires)), NOW_MS);
    issuer.fetches.clear();

    let later = NOW_MS + 60_000;
    let waiting = [ask_anew(&mut issuer, later), ask_anew(&mut issuer, later)];
    assert_eq!(issuer.fetches.len(), 1);
    issuer.settle(Audience::DaemonFalco, Ok(token("new", expires)), later);
    for answer in waiting {
        assert_eq!(told(answer), Some(Ok(token("new", expires))));
    }
    let again = ask_anew(&mut issuer, later + REPLACE_SPACING_MS - 1);
    assert_eq!(told(again), Some(Ok(token("new", expires))));
    assert_eq!(
        told(ask_anew(&mut issuer, later + REPLACE_SPACING_MS)),
        None
    );
}

#[test]
fn a_failure_is_told_to_all_and_not_kept() {
    let mut issuer = issuer();
    let waiting = ask(&mut issuer, NOW_MS);
    issuer.settle(Audience::DaemonFalco, Err(SourceError::None), NOW_MS);
    assert_eq!(told(waiting), Some(Err(Refusal::NotAuthenticated)));
    ask(&mut issuer, NOW_MS);
    assert_eq!(issuer.fetches.len(), 2);
}

#[test]
fn clearing_forgets_tokens_and_drops_open_questions() {
    let mut issuer = issuer();
    drop(ask(&mut issuer, NOW_MS));
    issuer.settle(Audience::DaemonFalco, Ok(token("t", i64::MAX)), NOW_MS);
    let (reply, other) = oneshot::channel();
    issuer.issue(Audience::DaemonNagato, false, reply, NOW_MS);

    let (done, mut cleared) = oneshot::channel();
    issuer.clear(done);

    assert!(cleared.try_recv().is_ok());
    assert!(issuer.fetches.is_empty() && issuer.slots.is_empty());
    assert!(
        told(other)
            .expect("answered")
            .expect_err("no token")
            .is_retryable()
    );
}
