use super::*;
use crate::protocol::outbox::HeldFile;

#[test]
fn what_went_wrong_is_trouble_while_it_lasts_then_news_then_nothing() {
    let outbox = |state: &str| OutboxStatus {
        state: state.to_owned(),
        last_error: Some("no disk".to_owned()),
        last_error_ms: 1_000,
        ..OutboxStatus::default()
    };
    assert_eq!(
        last_error(&outbox("bypass"), 13_000),
        "\n! outbox  12 s ago: no disk"
    );
    assert_eq!(
        last_error(&outbox("ok"), 13_000),
        "\nlast      outbox, 12 s ago, and well again: no disk"
    );
    assert_eq!(last_error(&outbox("ok"), 7_200_000), "");
    let known = OutboxStatus {
        why: Some("no disk".to_owned()),
        ..outbox("bypass")
    };
    assert_eq!(last_error(&known, 13_000), "", "it is said already");
}

#[test]
fn an_inbox_says_what_waits_for_whom_and_nothing_if_nothing_ever_came() {
    assert_eq!(received(&InboxStatus::default(), 0), "");
    let held = HeldFile {
        file: "a.jsonl".to_owned(),
        why: "its last line has no newline".to_owned(),
        since_ms: 1_000,
    };
    let inbox = InboxStatus {
        taken: 7,
        waiting: 1,
        held: vec![held],
        ..InboxStatus::default()
    };
    assert_eq!(
        received(&inbox, 13_000),
        "\ninbox     7 lines taken, 0 rejected · 1 file waits\n! inbox   a.jsonl: its last line has no newline, for 12 s"
    );
}
