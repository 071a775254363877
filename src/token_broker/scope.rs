//! Who a token is for and what it may do: pure.

use uuid::Uuid;

use crate::protocol::ably::auth::{Capability, Operation, Operations};
use crate::protocol::token::Audience;

/// The device and the user every token of this broker is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    device: Uuid,
    user: String,
}

/// Why there can be no tokens for a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum IdentityError {
    /// Nothing but white space.
    #[error("the user id is empty")]
    Empty,
    /// Ably would take it for any user.
    #[error("the user id `{0}` has `*` as a segment, which would stand for any user")]
    Wildcard(String),
}

impl Identity {
    /// The identity of `user` on `device`; the user id is trimmed and
    /// lower-cased, as it is wherever it becomes a clientId.
    ///
    /// # Errors
    ///
    /// When the user id is empty or would match others.
    pub(crate) fn new(device: Uuid, user: &str) -> Result<Self, IdentityError> {
        let user = user.trim().to_lowercase();
        if user.is_empty() {
            return Err(IdentityError::Empty);
        }
        if user.split(':').any(|segment| segment == "*") {
            return Err(IdentityError::Wildcard(user));
        }
        Ok(Self { device, user })
    }

    /// The device.
    pub(crate) fn device(&self) -> Uuid {
        self.device
    }

    /// The user id, which is the clientId of every token.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }
}

/// How far tokens reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// What the audience needs, and nothing else.
    Contract,
    /// Beyond that, any channel without a qualifier, to publish to and to look
    /// into: on the emulator, where nobody else is.
    Local,
}

/// What `audience` may do.
pub(super) fn capability(audience: Audience, identity: &Identity, reach: Reach) -> Capability {
    let exact = match audience {
        Audience::DaemonFalco => falco(identity),
        Audience::DaemonNagato => nagato(identity),
    };
    match reach {
        Reach::Contract => exact,
        Reach::Local => exact.allowing("*", local(audience)),
    }
}

fn falco(Identity { device, user }: &Identity) -> Capability {
    let publish = Operations::of(&[Operation::Publish]);
    let objects = Operations::of(&[Operation::ObjectPublish, Operation::ObjectSubscribe]);
    Capability::default()
        .allowing("session:*:conversation", publish)
        .allowing("session:*:status", objects)
        .allowing(format!("remote:{device}:commands"), publish)
        .allowing(format!("session:secrets:{device}:*"), publish)
        .allowing(format!("device-events:{device}"), publish)
        // The transport's own heartbeats.
        .allowing(format!("presence:{user}"), publish)
}

fn nagato(Identity { device, .. }: &Identity) -> Capability {
    let both = Operations::of(&[Operation::Subscribe, Operation::Publish]);
    Capability::default().allowing(format!("remote:{device}:commands"), both)
}

fn local(audience: Audience) -> Operations {
    match audience {
        Audience::DaemonFalco => Operations::of(&[
            Operation::Publish,
            Operation::ObjectPublish,
            Operation::ObjectSubscribe,
        ]),
        Audience::DaemonNagato => Operations::of(&[
            Operation::Subscribe,
            Operation::History,
            Operation::Presence,
            Operation::ObjectSubscribe,
        ]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEVICE: &str = "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11";

    fn identity(user: &str) -> Result<Identity, IdentityError> {
        Identity::new(DEVICE.parse().expect("a UUID"), user)
    }

    fn text(audience: Audience, reach: Reach) -> String {
        capability(audience, &identity("u-1").expect("a user"), reach).to_string()
    }

    #[test]
    fn an_audience_may_do_what_the_contract_says_and_send_heartbeats() {
        assert_eq!(
            text(Audience::DaemonFalco, Reach::Contract),
            r#"{"device-events:8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11":["publish"],"presence:u-1":["publish"],"remote:8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11:commands":["publish"],"session:*:conversation":["publish"],"session:*:status":["object-publish","object-subscribe"],"session:secrets:8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11:*":["publish"]}"#
        );
        assert_eq!(
            text(Audience::DaemonNagato, Reach::Contract),
            r#"{"remote:8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11:commands":["publish","subscribe"]}"#
        );
    }

    #[test]
    fn on_the_emulator_any_channel_can_be_published_to_and_looked_into() {
        let identity = identity("u-1").expect("a user");
        let falco = capability(Audience::DaemonFalco, &identity, Reach::Local);
        assert!(falco.allows("demo", Operation::Publish));
        assert!(!falco.allows("demo", Operation::Subscribe));
        let nagato = capability(Audience::DaemonNagato, &identity, Reach::Local);
        assert!(nagato.allows("session:1:conversation", Operation::Subscribe));
        assert!(!nagato.allows("demo", Operation::Publish));
    }

    #[test]
    fn a_user_id_is_trimmed_lower_cased_and_one_user() {
        assert_eq!(identity(" User-1\n").expect("a user").user(), "user-1");
        assert_eq!(identity("  "), Err(IdentityError::Empty));
        for any in ["*", "a:*", "*:b"] {
            assert!(matches!(identity(any), Err(IdentityError::Wildcard(_))));
        }
    }
}
