//! What is appended: effects as they come from a daemon.

use bytes::Bytes;
use falco::journal::{Effect, Entry, Settled};
use falco::protocol::envelope::{Operation, Routing, route};
use falco::protocol::id::{EffectId, IdempotencyKey, LaneKey};

const PAYLOAD_BYTES: usize = 512;

fn effect(i: usize, operation: &Operation) -> Effect {
    let id = EffectId::random();
    Effect {
        id,
        lane: LaneKey::new(format!("session-{}", i % 100)),
        route: None,
        // A message is known by what identifies it.
        key: IdempotencyKey::Uuid(EffectId::random().as_uuid()),
        fingerprint: 1 + i as u64,
        arrived_ms: 1_800_000_000_000,
        operation: operation.clone(),
    }
}

pub fn known(effect: &Effect) -> Settled {
    let channel = effect.operation.channel();
    Settled {
        id: effect.id,
        known_by: effect.key.comparable(effect.route.as_deref(), channel),
        fingerprint: effect.fingerprint,
    }
}

/// As it comes from a daemon.
fn operation() -> Operation {
    let text = "x".repeat(PAYLOAD_BYTES - 13);
    let frame = format!(
        r#"{{"channel":"session:0f8a:conversation","event":"conversation.message.v1","payload":{{"content":"{text}"}}}}"#
    );
    let routing = Routing::for_device("device");
    let effect = route(EffectId::random(), &Bytes::from(frame), &routing);
    effect.expect("a side effect").operation
}

pub fn entries(count: usize) -> Vec<Entry> {
    let operation = operation();
    let one = |i| Entry::Effect(effect(i, &operation));
    (0..count).map(one).collect()
}
