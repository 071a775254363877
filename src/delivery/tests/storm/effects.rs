//! What daemons send: effects of one session that want order.

use bytes::Bytes;
use uuid::Uuid;

use super::*;
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// The session's.
pub(super) fn lane() -> LaneKey {
    LaneKey::new("s")
}

fn id((whose, n): Message) -> EffectId {
    let mut bytes = [n; 16];
    bytes[0] = whose;
    EffectId::from_bytes(bytes)
}

pub(super) fn message(id: EffectId) -> Message {
    (id.as_bytes()[0], id.as_bytes()[1])
}

/// What goes out for it.
pub(super) fn effect(message: Message, options: Options) -> SideEffect {
    let (_, n) = message;
    let operation = if options.are_numbered {
        Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::from(format!(r#"{{"sequence_number":{n}}}"#)).into(),
        }
    } else {
        Operation::ObjectSet {
            channel: "c".into(),
            key: "k".into(),
            value: Bytes::from_static(b"1").into(),
        }
    };
    SideEffect {
        id: id(message),
        lane: lane(),
        route: None,
        key: IdempotencyKey::Uuid(Uuid::from_u128(id(message).as_uuid().as_u128())),
        operation,
        bytes: 1,
        is_ordered: !options.only_numbers,
    }
}
