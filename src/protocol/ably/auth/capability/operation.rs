//! Operations, and sets of them.

use super::CapabilityError;

/// Something a capability allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are Ably's")]
pub enum Operation {
    AnnotationPublish,
    AnnotationSubscribe,
    ChannelMetadata,
    History,
    MessageDeleteAny,
    MessageDeleteOwn,
    MessageUpdateAny,
    MessageUpdateOwn,
    ObjectPublish,
    ObjectSubscribe,
    Presence,
    PresenceSubscribe,
    PrivilegedHeaders,
    Publish,
    PushAdmin,
    PushSubscribe,
    Stats,
    Subscribe,
}

impl Operation {
    /// Every operation, in the order of the names.
    const KNOWN: [(Self, &'static str); 18] = [
        (Self::AnnotationPublish, "annotation-publish"),
        (Self::AnnotationSubscribe, "annotation-subscribe"),
        (Self::ChannelMetadata, "channel-metadata"),
        (Self::History, "history"),
        (Self::MessageDeleteAny, "message-delete-any"),
        (Self::MessageDeleteOwn, "message-delete-own"),
        (Self::MessageUpdateAny, "message-update-any"),
        (Self::MessageUpdateOwn, "message-update-own"),
        (Self::ObjectPublish, "object-publish"),
        (Self::ObjectSubscribe, "object-subscribe"),
        (Self::Presence, "presence"),
        (Self::PresenceSubscribe, "presence-subscribe"),
        (Self::PrivilegedHeaders, "privileged-headers"),
        (Self::Publish, "publish"),
        (Self::PushAdmin, "push-admin"),
        (Self::PushSubscribe, "push-subscribe"),
        (Self::Stats, "stats"),
        (Self::Subscribe, "subscribe"),
    ];

    fn from_name(name: &str) -> Option<Self> {
        let found = Self::KNOWN.iter().find(|(_, known)| *known == name)?;
        Some(found.0)
    }
}

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Operations(u32);

impl Operations {
    /// No operation.
    pub const NONE: Self = Self(0);
    /// What `*` stands for, operations of later protocols included.
    pub const ALL: Self = Self(u32::MAX);

    /// The set of these operations.
    #[must_use]
    pub fn of(operations: &[Operation]) -> Self {
        Self(operations.iter().fold(0, |bits, op| bits | 1 << *op as u8))
    }

    /// Whether `operation` is in the set.
    #[must_use]
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn parse(resource: &str, names: &[String]) -> Result<Self, CapabilityError> {
        let resource = || resource.to_owned();
        if let [only] = names
            && only == "*"
        {
            return Ok(Self::ALL);
        }
        if names.is_empty() {
            return Err(CapabilityError::NoOperations(resource()));
        }
        let mut operations = Self::NONE;
        for name in names {
            let operation = Operation::from_name(name)
                .ok_or_else(|| CapabilityError::Operation(name.clone(), resource()))?;
            operations = operations.union(Self::of(&[operation]));
        }
        Ok(operations)
    }

    pub(super) fn names(self) -> Vec<&'static str> {
        if self == Self::ALL {
            return vec!["*"];
        }
        let known = Operation::KNOWN.iter();
        known
            .filter(|(op, _)| self.contains(*op))
            .map(|(_, name)| *name)
            .collect()
    }
}
