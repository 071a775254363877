mod model;

use bytes::Bytes;

use super::*;
use crate::protocol::envelope::Operation;
use crate::protocol::id::{IdempotencyKey, LaneKey};

const MINUTE: Duration = Duration::from_secs(60);

fn id(n: u32) -> EffectId {
    EffectId::from(Uuid::from_u128(u128::from(n) << 64 | 7))
}

fn given(n: u32, key: &str, payload: &'static str) -> SideEffect {
    SideEffect {
        key: IdempotencyKey::Given(key.into()),
        ..effect(n, payload)
    }
}

fn effect(n: u32, payload: &'static str) -> SideEffect {
    SideEffect {
        id: id(n),
        lane: LaneKey::new("s"),
        route: None,
        key: IdempotencyKey::Uuid(id(n).as_uuid()),
        operation: Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::from_static(payload.as_bytes()).into(),
        },
        bytes: 1,
        is_ordered: false,
    }
}

const BY: Producer = Producer(7);

fn begin(dedupe: &mut Dedupe<u32>, effect: &SideEffect) -> Ticket {
    let known = dedupe.look_up(effect, BootTime::default());
    assert!(matches!(known, Known::Not { .. }), "{known:?}");
    dedupe.begin(effect, None, 0)
}

#[test]
fn an_effect_is_open_then_done_and_at_last_unknown() {
    let mut dedupe = Dedupe::new();
    let now = BootTime::default();
    let ticket = begin(&mut dedupe, &effect(1, "a"));
    assert_eq!(dedupe.look_up(&effect(1, "a"), now), Known::Open(ticket));
    _ = dedupe.done(ticket, now);
    assert_eq!(dedupe.sweep_at(), Some(now.after(KEPT)));
    let last = now.after(KEPT).before(Duration::from_millis(1));
    assert_eq!(dedupe.look_up(&effect(1, "a"), last), Known::Done);
    let unknown = Known::Not { failed_at: None };
    assert_eq!(dedupe.look_up(&effect(1, "a"), now.after(KEPT)), unknown);
    assert_eq!(dedupe.sweep_at(), None);
    assert_eq!(dedupe.records.all.capacity(), 0, "memory is given back");
}

#[test]
fn everybody_who_joined_is_named_with_the_id_they_gave() {
    let mut dedupe = Dedupe::new();
    let ticket = begin(&mut dedupe, &given(1, "k", "a"));
    dedupe.join(ticket, id(1), 7);
    dedupe.join(ticket, id(2), 8);
    assert_eq!(dedupe.joined, 2);
    let waiters: Vec<_> = dedupe
        .done(ticket, BootTime::default())
        .into_iter()
        .collect();
    assert_eq!(waiters, [(id(1), 0), (id(1), 7), (id(2), 8)]);
    assert_eq!(dedupe.joined, 0);
}

#[test]
fn other_bytes_under_the_same_id_are_a_conflict_whatever_became_of_the_first() {
    let mut dedupe = Dedupe::new();
    let now = BootTime::default();
    let other = effect(1, "other");
    let ticket = begin(&mut dedupe, &effect(1, "a"));
    assert_eq!(dedupe.look_up(&other, now), Known::Conflict);
    _ = dedupe.failed(ticket, (1, BY), now);
    assert_eq!(dedupe.look_up(&other, now), Known::Conflict);
    let ticket = begin(&mut dedupe, &effect(1, "a"));
    _ = dedupe.done(ticket, now);
    assert_eq!(dedupe.look_up(&other, now), Known::Conflict);
}

#[test]
fn a_message_is_known_by_its_key_under_any_id_and_with_any_bytes() {
    let mut dedupe = Dedupe::new();
    let now = BootTime::default();
    let ticket = begin(&mut dedupe, &given(1, "k", "a"));
    assert_eq!(
        dedupe.look_up(&given(2, "k", "b"), now),
        Known::Open(ticket)
    );
    _ = dedupe.done(ticket, now);
    assert_eq!(dedupe.look_up(&given(3, "k", "c"), now), Known::Done);
    let mut elsewhere = given(4, "k", "a");
    let Operation::Publish { channel, .. } = &mut elsewhere.operation else {
        unreachable!()
    };
    *channel = "d".into();
    let unknown = Known::Not { failed_at: None };
    assert_eq!(dedupe.look_up(&elsewhere, now), unknown);
    elsewhere = given(4, "k", "a");
    elsewhere.route = Some("other".into());
    assert_eq!(dedupe.look_up(&elsewhere, now), unknown);
}

#[test]
fn object_sets_with_one_key_are_all_carried_out() {
    let mut dedupe = Dedupe::new();
    let set = |n| SideEffect {
        operation: Operation::ObjectSet {
            channel: "c".into(),
            key: "state".into(),
            value: Bytes::from_static(b"1").into(),
        },
        ..given(n, "k", "")
    };
    let ticket = begin(&mut dedupe, &set(1));
    _ = dedupe.done(ticket, BootTime::default());
    let unknown = Known::Not { failed_at: None };
    assert_eq!(dedupe.look_up(&set(2), BootTime::default()), unknown);
}

#[test]
fn what_failed_keeps_its_place_also_under_another_id() {
    let mut dedupe = Dedupe::new();
    let now = BootTime::default();
    let ticket = begin(&mut dedupe, &given(1, "k", "a"));
    _ = dedupe.failed(ticket, (41, BY), now);
    let again = Known::Not {
        failed_at: Some((41, BY)),
    };
    assert_eq!(dedupe.look_up(&given(1, "k", "a"), now), again);
    assert_eq!(dedupe.look_up(&given(2, "k", "b"), now), again);
    let ticket = dedupe.begin(&given(2, "k", "b"), None, 0);
    let open = Known::Open(ticket);
    assert_eq!(dedupe.look_up(&given(1, "k", "a"), now), open);
    _ = dedupe.done(ticket, now);
    assert_eq!(dedupe.look_up(&given(1, "k", "a"), now), Known::Done);
}

#[test]
fn what_was_turned_away_is_forgotten_at_once() {
    let mut dedupe = Dedupe::new();
    let ticket = begin(&mut dedupe, &given(1, "k", "a"));
    _ = dedupe.turned_away(ticket, BootTime::default());
    let unknown = Known::Not { failed_at: None };
    for n in [1, 2] {
        let known = dedupe.look_up(&given(n, "k", "a"), BootTime::default());
        assert_eq!(known, unknown);
    }
    assert!(
        dedupe.records.all.is_empty()
            && dedupe.records.by_id.is_empty()
            && dedupe.records.by_key.is_empty()
    );
}

#[test]
fn the_oldest_are_forgotten_first_and_open_ones_never() {
    let mut dedupe = Dedupe::with_settled_max(100);
    let now = BootTime::default();
    let open = begin(&mut dedupe, &effect(0, "a"));
    for n in 1..=1000 {
        let ticket = begin(&mut dedupe, &given(n, &n.to_string(), "a"));
        _ = dedupe.done(ticket, now);
    }
    assert_eq!(dedupe.look_up(&effect(0, "a"), now), Known::Open(open));
    let unknown = Known::Not { failed_at: None };
    assert_eq!(dedupe.look_up(&given(900, "900", "a"), now), unknown);
    assert_eq!(dedupe.look_up(&given(901, "901", "a"), now), Known::Done);
    assert_eq!(
        (dedupe.records.all.len(), dedupe.records.by_id.len()),
        (101, 101)
    );
    assert_eq!(dedupe.records.by_key.len(), 100);
}

#[test]
fn what_a_journal_says_is_done_is_done() {
    let mut dedupe = Dedupe::<u32>::new();
    let now = BootTime::default().after(MINUTE);
    for (n, minutes) in [(1, 20), (2, 10)] {
        let effect = given(n, "k", "a");
        let done = Done {
            id: effect.id,
            known_by: known_by(&effect),
            fingerprint: 0,
        };
        dedupe.restore(&done, now.before(minutes * MINUTE));
    }
    let unknown = Known::Not { failed_at: None };
    assert_eq!(dedupe.look_up(&effect(1, "any"), now), unknown);
    assert_eq!(dedupe.look_up(&effect(2, "any"), now), Known::Done);
    assert_eq!(dedupe.look_up(&given(3, "k", "any"), now), Known::Done);
}

#[test]
fn what_was_done_elsewhere_is_compared_by_its_bytes_if_they_are_known() {
    let mut dedupe = Dedupe::<u32>::new();
    let now = BootTime::default();
    let done = effect(1, "a");
    let done = Done {
        id: done.id,
        known_by: known_by(&done),
        fingerprint: fingerprint(&done),
    };
    dedupe.restore(&done, now);
    assert_eq!(dedupe.look_up(&effect(1, "a"), now), Known::Done);
    assert_eq!(dedupe.look_up(&effect(1, "b"), now), Known::Conflict);
}

#[test]
fn what_is_known_by_its_id_alone_gives_way_to_whoever_keeps_it() {
    let mut dedupe = Dedupe::<u32>::new();
    let now = BootTime::default();
    let by_id = |n| Done {
        id: id(n),
        known_by: id(n).as_uuid(),
        fingerprint: 0,
    };
    let known = effect(2, "a");
    let by_bytes = Done {
        fingerprint: fingerprint(&known),
        ..by_id(2)
    };
    for done in [by_id(1), by_bytes, by_id(3)] {
        dedupe.restore(&done, now);
    }
    let open = begin(&mut dedupe, &effect(4, "a"));
    (1..=2).chain(4..=5).for_each(|n| dedupe.give_way(id(n)));
    let unknown = Known::Not { failed_at: None };
    assert_eq!(dedupe.look_up(&effect(1, "any"), now), unknown);
    assert_eq!(dedupe.look_up(&known, now), Known::Done);
    assert_eq!(dedupe.look_up(&effect(2, "b"), now), Known::Conflict);
    assert_eq!(dedupe.look_up(&effect(3, "any"), now), Known::Done);
    assert_eq!(dedupe.look_up(&effect(4, "a"), now), Known::Open(open));
    let again = begin(&mut dedupe, &effect(1, "a"));
    _ = dedupe.done(again, now);
    assert_eq!(dedupe.look_up(&effect(1, "b"), now), Known::Conflict);
    assert_eq!(dedupe.look_up(&effect(1, "a"), now), Known::Done);
    dedupe.sweep(now.after(KEPT));
    assert_eq!(dedupe.records.all.len(), 1, "but for what is open");
}

#[test]
fn a_remembered_effect_takes_no_more_room_than_is_said() {
    assert!(size_of::<Record>() <= 64);
}
