//! When one effect is another.

use uuid::Uuid;

use crate::protocol::envelope::{Operation, SideEffect};

/// What `effect` can be recognised by under another id; else its own id.
pub(crate) fn known_by(effect: &SideEffect) -> Uuid {
    match &effect.operation {
        Operation::Publish { channel, .. } => {
            effect.key.comparable(effect.route.as_deref(), channel)
        }
        Operation::ObjectSet { .. } => effect.id.as_uuid(),
    }
}

/// Tells what an effect does from what another does, also after an update; never
/// 0. One in four thousand million others looks the same: enough to catch a
/// mistake with.
pub(crate) fn fingerprint(effect: &SideEffect) -> u64 {
    let operation = &effect.operation;
    let kind = match operation {
        Operation::Publish { .. } => 1,
        Operation::ObjectSet { .. } => 2,
    };
    let route = effect.route.as_deref().unwrap_or_default();
    let texts = [operation.channel(), operation.name(), route];
    let names = texts.iter().fold(kind, |names, text| {
        crc32c::crc32c_append(names, text.as_bytes())
    });
    let body = crc32c::crc32c(operation.body());
    (u64::from(names) << 32 | u64::from(body)).max(1)
}
