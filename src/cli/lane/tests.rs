use super::*;

#[test]
fn a_lane_that_stands_still_for_long_is_told_with_its_reason_and_what_to_do() {
    let paths = Paths::new("/srv/the base");
    let told = |for_ms, kept| {
        let lane = StuckLane {
            lane: "s\u{7}".to_owned(),
            route: Some("eu".to_owned()),
            effect_id: "e".to_owned(),
            attempts: 14,
            error: "ambiguous: no answer".to_owned(),
            since_ms: clock::now_ms() - for_ms,
            waiting: 3,
            kept,
        };
        let ingest = IngestStatus {
            stuck: Some(lane),
            ..IngestStatus::default()
        };
        stuck(&ingest, &paths)
    };
    assert_eq!(told(20_000, true), None);
    let (how, next) = told(132_000, true).unwrap();
    assert!(!how.contains('\u{7}'), "{how}");
    let words = "(route eu) has stood still for 2m12s: e was tried 14 times, 3 behind it: ambiguous: no answer";
    assert!(how.ends_with(words), "{how}");
    assert!(next.contains("falco outbox show e --base-dir '/srv/the base' says what it is"));
    assert!(next.contains("falco outbox drop e --base-dir '/srv/the base' lets the lane"));
    let (_, next) = told(132_000, false).unwrap();
    assert!(!next.contains("outbox"), "{next}");
}

#[test]
fn a_status_says_nothing_of_lanes_unless_some_are_parked() {
    assert_eq!(summary(&IngestStatus::default()), "");
    let parked = ParkedLane {
        lane: "s\u{7}".to_owned(),
        effect_id: "e".to_owned(),
        error: "rejected: no".to_owned(),
        since_ms: clock::now_ms(),
        waiting: 3,
        kept: true,
        ..ParkedLane::default()
    };
    let ingest = IngestStatus {
        parked: 1,
        parked_lanes: vec![parked],
        ..IngestStatus::default()
    };
    let text = summary(&ingest);
    assert!(text.starts_with("! lanes   1 lane is parked"), "{text}");
    assert!(text.contains("waits for e, 3 kept behind it: rejected: no"));
    assert!(
        !text.contains('\u{7}'),
        "what moves the cursor is spelt out"
    );
    let ingest = IngestStatus {
        unparked: 2,
        ..IngestStatus::default()
    };
    let text = summary(&ingest);
    assert!(text.starts_with("! lanes   2 times one went on"), "{text}");
}
