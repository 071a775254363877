use super::*;

fn sight(outlook: Outlook, text: &str) -> Sight {
    Sight {
        outlook,
        text: text.to_owned(),
        deadline: None,
        reloading: false,
        monotonic: Duration::from_secs(3),
    }
}

fn lines(message: Option<String>) -> Vec<String> {
    let message = message.unwrap_or_default();
    message.lines().map(Into::into).collect()
}

#[test]
fn ready_and_stopping_are_told_once_each() {
    let now = Instant::now();
    let mut notices = Notices::new(None);
    let ready = sight(Outlook::Ready, "ready");
    assert_eq!(
        lines(notices.handle_turn(&ready, now)),
        ["READY=1", "STATUS=ready"]
    );
    assert_eq!(notices.handle_turn(&ready, now), None);
    let stopping = sight(Outlook::Stopping, "stopping");
    assert_eq!(
        lines(notices.handle_turn(&stopping, now)),
        ["STOPPING=1", "STATUS=stopping"]
    );
    let stopped = sight(Outlook::Stopped, "stopping");
    assert_eq!(notices.handle_turn(&stopped, now), None);
}

#[test]
fn a_reload_begins_with_its_moment_and_ends_with_ready() {
    let now = Instant::now();
    let mut notices = Notices::new(None);
    let reloading = |outlook, text| Sight {
        reloading: true,
        ..sight(outlook, text)
    };
    let early = notices.handle_turn(&reloading(Outlook::Starting, "up"), now);
    assert_eq!(lines(early), ["STATUS=up"], "it was not ready yet");
    notices.handle_turn(&sight(Outlook::Ready, "up"), now);
    let began = lines(notices.handle_turn(&reloading(Outlook::Ready, "up"), now));
    assert_eq!(began, ["RELOADING=1", "MONOTONIC_USEC=3000000"]);
    assert_eq!(
        notices.handle_turn(&reloading(Outlook::Ready, "up"), now),
        None
    );
    let ended = notices.handle_turn(&sight(Outlook::Degraded, "up"), now);
    assert_eq!(ended.as_deref(), Some("READY=1"), "whatever it led to");
    notices.handle_turn(&reloading(Outlook::Ready, "up"), now);
    let stopping = notices.handle_turn(&reloading(Outlook::Stopping, "up"), now);
    assert_eq!(stopping.as_deref(), Some("STOPPING=1"));
    assert_eq!(
        notices.handle_turn(&sight(Outlook::Stopped, "up"), now),
        None
    );
}

#[test]
fn a_text_that_comes_too_soon_is_told_later_and_the_last_one_wins() {
    let now = Instant::now();
    let mut notices = Notices::new(None);
    notices.handle_turn(&sight(Outlook::Degraded, "a"), now);
    for text in ["b", "c"] {
        let turn = notices.handle_turn(&sight(Outlook::Degraded, text), now);
        assert_eq!(turn, None);
    }
    let later = notices.poll_timeout().unwrap();
    assert_eq!(later, now + STATUS_PAUSE);
    let told = notices.handle_turn(&sight(Outlook::Degraded, "c"), later);
    assert_eq!(told.as_deref(), Some("STATUS=c"));
    assert_eq!(notices.poll_timeout(), None);
}

#[test]
fn a_text_that_changed_back_is_not_told() {
    let now = Instant::now();
    let mut notices = Notices::new(None);
    for text in ["a", "b", "a"] {
        notices.handle_turn(&sight(Outlook::Degraded, text), now);
    }
    assert_eq!(notices.poll_timeout(), None);
}

#[test]
fn the_watchdog_hears_us_twice_an_interval_and_only_after_a_turn() {
    let interval = Duration::from_secs(30);
    let now = Instant::now();
    let mut notices = Notices::new(Some(interval));
    let ready = sight(Outlook::Ready, "ready");
    assert!(lines(notices.handle_turn(&ready, now)).contains(&"WATCHDOG=1".to_owned()));
    let next = notices.poll_timeout().unwrap();
    assert_eq!(next, now + interval / 2);
    assert_eq!(notices.handle_turn(&ready, now + interval / 3), None);
    assert_eq!(
        notices.handle_turn(&ready, next).as_deref(),
        Some("WATCHDOG=1")
    );
}

#[test]
fn without_a_watchdog_there_is_no_timer() {
    let mut notices = Notices::new(None);
    notices.handle_turn(&sight(Outlook::Ready, "ready"), Instant::now());
    assert_eq!(notices.poll_timeout(), None);
}

#[test]
fn the_manager_waits_as_long_as_the_chain_does() {
    let now = Instant::now();
    let mut notices = Notices::new(None);
    let slow = |outlook, seconds| Sight {
        deadline: Some(now + Duration::from_secs(seconds)),
        ..sight(outlook, "slow")
    };
    let told = lines(notices.handle_turn(&slow(Outlook::Starting, 20), now));
    assert_eq!(told[0], "EXTEND_TIMEOUT_USEC=30000000");
    let same = notices.handle_turn(&slow(Outlook::Starting, 20), now);
    assert_eq!(same, None);
    let told = lines(notices.handle_turn(&slow(Outlook::Degraded, 40), now));
    assert_eq!(told, ["READY=1"], "it is up: nothing runs out");
    let told = lines(notices.handle_turn(&slow(Outlook::Stopping, 50), now));
    assert!(told.contains(&"EXTEND_TIMEOUT_USEC=60000000".to_owned()));
}
