use super::super::IngestStatus;
use super::*;
use crate::protocol::outbox::HeldFile;

fn with_outbox(outbox: OutboxStatus) -> Status {
    Status {
        ingest: Some(IngestStatus {
            outbox: Some(outbox),
            ..IngestStatus::default()
        }),
        ..Status::default()
    }
}

fn outbox(state: &str, why: Option<&str>) -> OutboxStatus {
    OutboxStatus {
        state: state.to_owned(),
        why: why.map(str::to_owned),
        ..OutboxStatus::default()
    }
}

#[test]
fn an_outbox_that_refuses_effects_is_a_failure_and_one_that_takes_them_is_told() {
    let told = |state, why| {
        let all = with_outbox(outbox(state, why)).troubles();
        let all = all.into_iter().map(|t| (t.about, t.text, t.is_failure));
        all.collect::<Vec<_>>()
    };
    for calm in ["ok", "draining", "drained", "recovering"] {
        assert_eq!(told(calm, None), []);
    }
    let limit = ("outbox", "degraded: ulimit -f".to_owned(), false);
    assert_eq!(told("degraded", Some("ulimit -f")), [limit]);
    let low = ("outbox", "low: no room".to_owned(), true);
    assert_eq!(told("low", Some("no room")), [low]);
    assert_eq!(told("later", None), [("outbox", "later".to_owned(), true)]);
}

#[test]
fn what_is_not_set_aside_is_not_looked_for_where_it_would_be() {
    let told = |quarantined, untold| {
        let outbox = OutboxStatus {
            quarantined,
            untold,
            ..outbox("ok", None)
        };
        let all = with_outbox(outbox).troubles().into_iter();
        all.map(|t| (t.about, t.text)).collect::<Vec<_>>()
    };
    let set_aside = "1 damaged range told of in outbox/quarantine".to_owned();
    let not_yet = "2 damaged ranges not set aside yet".to_owned();
    assert_eq!(told(2, 2), [("outbox", not_yet.clone())]);
    let both = [("quarantine", set_aside), ("outbox", not_yet)];
    assert_eq!(told(3, 2), both);
}

#[test]
fn a_file_of_the_inbox_that_cannot_be_read_is_named() {
    let held = HeldFile {
        file: "a.jsonl".to_owned(),
        why: "it cannot be read".to_owned(),
        since_ms: 0,
    };
    let inbox = Some(InboxStatus {
        held: vec![held],
        ..InboxStatus::default()
    });
    let outbox = OutboxStatus {
        inbox,
        ..outbox("ok", None)
    };
    let told = with_outbox(outbox).troubles();
    assert_eq!(told[0].text, "a.jsonl: it cannot be read");
}

#[test]
fn a_chain_is_well_without_a_route_for_as_long_as_its_transport_may_restart() {
    let route = |down_ms| RouteStatus {
        down_ms,
        ..RouteStatus::default()
    };
    let is_well = |down_ms: [u64; 2]| {
        let status = Status {
            ingest: Some(IngestStatus {
                routes: down_ms.map(route).into(),
                ..IngestStatus::default()
            }),
            ..Status::default()
        };
        status.troubles().is_empty()
    };
    assert!(is_well([0, 119_999]));
    assert!(!is_well([0, 120_000]));
    assert!(is_well([120_000, 0]), "its own is a part");
}
