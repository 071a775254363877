//! Modes of an attachment: their names, and what a capability allows of them.

use crate::protocol::ably::auth::{Capability, Operation};
use crate::protocol::ably::message::flags;

/// Modes of an attachment that asks for none.
pub(super) const MODES_DEFAULT: u64 = flags::PRESENCE
    | flags::PUBLISH
    | flags::SUBSCRIBE
    | flags::PRESENCE_SUBSCRIBE
    | flags::ANNOTATION_PUBLISH;

/// Each mode, its name in `params.modes`, and the operation it needs.
const MODES: [(u64, &str, Operation); 8] = [
    (flags::PRESENCE, "presence", Operation::Presence),
    (flags::PUBLISH, "publish", Operation::Publish),
    (flags::SUBSCRIBE, "subscribe", Operation::Subscribe),
    (
        flags::PRESENCE_SUBSCRIBE,
        "presence_subscribe",
        Operation::Subscribe,
    ),
    (
        flags::ANNOTATION_PUBLISH,
        "annotation_publish",
        Operation::AnnotationPublish,
    ),
    (
        flags::ANNOTATION_SUBSCRIBE,
        "annotation_subscribe",
        Operation::AnnotationSubscribe,
    ),
    (
        flags::OBJECT_SUBSCRIBE,
        "object_subscribe",
        Operation::ObjectSubscribe,
    ),
    (
        flags::OBJECT_PUBLISH,
        "object_publish",
        Operation::ObjectPublish,
    ),
];

/// The modes that `params.modes` names; unknown names are ignored.
pub(super) fn modes_from_names(names: &str) -> u64 {
    let bit = |name: &str| {
        let known = MODES
            .iter()
            .find(|(_, known, _)| known.eq_ignore_ascii_case(name.trim()));
        known.map_or(0, |(bit, _, _)| *bit)
    };
    names.split(',').fold(0, |modes, name| modes | bit(name))
}

/// The modes that `capability` allows on `channel`.
pub(super) fn allowed_modes(capability: &Capability, channel: &str) -> u64 {
    let operations = capability.operations(channel);
    let allowed = MODES.iter().filter(|(bit, _, operation)| {
        operations.contains(*operation)
            || (*bit == flags::PRESENCE_SUBSCRIBE
                && operations.contains(Operation::PresenceSubscribe))
    });
    allowed.fold(0, |modes, (bit, _, _)| modes | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_names_and_need_their_operations() {
        assert_eq!(
            modes_from_names("PUBLISH, subscribe,x"),
            flags::PUBLISH | flags::SUBSCRIBE
        );
        let capability: Capability = r#"{"a":["subscribe"]}"#.parse().expect("valid");
        let modes = flags::SUBSCRIBE | flags::PRESENCE_SUBSCRIBE;
        assert_eq!(allowed_modes(&capability, "a"), modes);
        assert_eq!(allowed_modes(&capability, "b"), 0);
    }
}
