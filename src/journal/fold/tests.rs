use super::*;
use crate::protocol::id::IdempotencyKey;

const PLACE: Place = Place {
    segment: 0,
    offset: 0,
    length: 1,
};

fn id() -> EffectId {
    EffectId::from_bytes([1; 16])
}

/// Takes an `E` as it stands at `seq`; whether it opened its effect.
fn effect(fold: &mut Fold, n: u64, seq: u64) -> bool {
    let may_open = fold.may_open(id(), n, seq, PLACE);
    if may_open {
        let live = Live {
            id: id(),
            lane: LaneKey::new("lane"),
            route: None,
            n,
            seq,
            fingerprint: 1,
            arrived_ms: 0,
            bytes: 1,
            known_by: id().as_uuid(),
            key: IdempotencyKey::Uuid(id().as_uuid()),
            state: State::Open,
        };
        fold.open(live, PLACE);
    }
    may_open
}

#[test]
fn a_copy_of_what_is_settled_is_settled_and_another_under_its_id_is_not() {
    let mut fold = Fold::default();
    assert!(effect(&mut fold, 3, 3));
    fold.settle(id().into(), 0, 4);
    // The record that settled this copy too may be damaged.
    assert!(!effect(&mut fold, 3, 5));
    assert_eq!((fold.live.len(), fold.done(9).len()), (0, 1));
    assert!(effect(&mut fold, 6, 6));
    assert_eq!((fold.live.len(), fold.done(9).len()), (1, 0));
}
