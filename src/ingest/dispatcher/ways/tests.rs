use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::delivery::listed;
use crate::protocol::envelope::Operation;
use crate::protocol::id::{EffectId, IdempotencyKey};

/// An effect of the only lane.
fn effect(number: u8) -> SideEffect {
    let id = Uuid::from_bytes([number; 16]);
    SideEffect {
        id: EffectId::from(id),
        lane: LaneKey::new("s"),
        route: None,
        key: IdempotencyKey::Uuid(id),
        operation: Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::new().into(),
        },
        bytes: 1,
        is_ordered: false,
    }
}

#[test]
fn what_is_held_back_for_its_batch_is_answered_no_later_for_that() {
    let config = delivery::Config::default();
    let mut way = Way::new(Path::new(""), &config);
    let begun = Instant::now();
    let list = [1, 2].map(effect);
    let list = list.iter().map(|e| listed(&e.operation, &e.key)).collect();
    way.recall = Recall::new([list], begun);
    let place = Place {
        arrival: 1,
        producer: Producer(1),
    };
    way.submit(Submitted::new(effect(1), place, None, begun));
    let mut now = begun;
    while way.lanes.poll_settled().is_none() {
        now = way.poll_timeout().expect("it waits");
        way.handle_timeout(now);
    }
    assert_eq!(now - begun, config.effect_deadline);
    assert_eq!(config.effect_deadline, Duration::from_millis(16_500));
}
