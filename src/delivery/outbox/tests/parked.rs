//! Lanes that wait for a dead letter.

use super::*;

/// Effects 0 to 3 of lane 1, of which 0 is a dead letter that parks.
fn parked() -> Outbox<Body> {
    let mut outbox = Outbox::<Body>::new();
    (0..4).for_each(|n| record(&mut outbox, 1, n, 1));
    assert_eq!(loads(&mut outbox, true).len(), 4);
    outbox.handle_dead(id(0));
    assert!(outbox.handle_parked(id(0)));
    (1..4).for_each(|n| outbox.handle_returned(id(n), None));
    outbox
}

fn lane() -> LaneKey {
    LaneKey::new("1")
}

fn grant(outbox: &mut Outbox<Body>, wish: Wish) {
    assert_eq!(outbox.handle_wish(id(0), wish), Ok(()));
    assert_eq!(loads(outbox, true), [], "not before it is on disk");
    outbox.handle_granted(id(0));
}

#[test]
fn nothing_of_a_parked_lane_is_loaded_and_other_lanes_are() {
    let mut outbox = parked();
    record(&mut outbox, 1, 4, 1);
    record(&mut outbox, 2, 20, 1);
    assert_eq!(loads(&mut outbox, true), [id(20)]);
    assert_eq!(outbox.parked_by(0, &lane()), [id(0)]);
    assert_eq!(outbox.parked_by(0, &LaneKey::new("2")), []);
    assert_eq!(outbox.parked_by(1, &lane()), []);
    let told: Vec<_> = outbox.parked().map(|p| (p.by, p.waiting)).collect();
    assert_eq!(told, [(id(0), 4)]);
    assert_eq!(outbox.backlog().parked, 1);
    assert_eq!(outbox.lines.body_bytes(), 1, "only of what came since");
}

#[test]
fn requeued_the_letter_goes_first() {
    let mut outbox = parked();
    grant(&mut outbox, Wish::Requeue);
    assert_eq!(loads(&mut outbox, true), [0, 1, 2, 3].map(id));
    assert_eq!(outbox.backlog().parked, 0);
}

#[test]
fn dropped_or_left_aside_the_others_go_on() {
    for (wish, dead) in [(Wish::Drop, 0), (Wish::Resume, 1)] {
        let mut outbox = parked();
        grant(&mut outbox, wish);
        assert_eq!(loads(&mut outbox, true), [1, 2, 3].map(id));
        assert_eq!((outbox.backlog().dead, outbox.backlog().parked), (dead, 0));
        assert!(outbox.parked_by(0, &lane()).is_empty());
    }
}

#[test]
fn a_wish_that_is_denied_leaves_a_lane_parked() {
    let mut outbox = parked();
    for wish in [Wish::Requeue, Wish::Drop, Wish::Resume] {
        assert_eq!(outbox.handle_wish(id(0), wish), Ok(()));
        outbox.handle_denied(id(0));
        assert_eq!(loads(&mut outbox, true), []);
    }
    assert_eq!(outbox.backlog().parked, 1);
}

#[test]
fn only_a_letter_that_parks_can_be_resumed() {
    let mut outbox = parked();
    let resume = |outbox: &mut Outbox<Body>, n| outbox.handle_wish(id(n), Wish::Resume);
    assert_eq!(resume(&mut outbox, 1), Err(Unable::NotParking));
    assert_eq!(resume(&mut outbox, 9), Err(Unable::Unknown));
    grant(&mut outbox, Wish::Resume);
    assert_eq!(resume(&mut outbox, 0), Err(Unable::NotParking));
}

#[test]
fn a_lane_with_several_letters_waits_for_all_of_them() {
    let mut outbox = Outbox::<Body>::new();
    for n in 0..2 {
        outbox.handle_restored(id(n), home(1, n), true);
        assert_eq!(outbox.handle_parked(id(n)), n == 0);
    }
    outbox.handle_restored(id(2), home(1, 2), false);
    assert!(!outbox.handle_parked(id(2)), "it is no dead letter");
    assert_eq!(outbox.parked().count(), 1, "it is one lane");
    grant(&mut outbox, Wish::Drop);
    assert_eq!(loads(&mut outbox, true), []);
    assert_eq!(outbox.parked().map(|p| p.by).collect::<Vec<_>>(), [id(1)]);
    assert_eq!(outbox.handle_wish(id(1), Wish::Drop), Ok(()));
    outbox.handle_granted(id(1));
    assert_eq!(loads(&mut outbox, true), [id(2)]);
}
