//! The fields of a side effect's JSON, and what they say together.

use std::borrow::Cow;

use super::identity::{Identity, content_key, session_in};
use super::{Body, Operation, RouteError, Routing, json};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// The fields that hold text.
pub(super) const FIELDS: [&str; 11] = [
    "type",
    "channel",
    "event",
    "object_key",
    "session_id",
    "message_id",
    "idempotency_key",
    "route",
    "repository_id",
    "status",
    "batch_id",
];

/// The fields of the contract, as far as they were given.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    kind: Cow<'a, str>,
    channel: Cow<'a, str>,
    event: Cow<'a, str>,
    pub(super) object_key: Cow<'a, str>,
    session_id: Cow<'a, str>,
    message_id: Cow<'a, str>,
    pub(super) idempotency_key: Cow<'a, str>,
    pub(super) route: Cow<'a, str>,
    /// `repository_id`, `status` and `batch_id`: nothing is decided by them,
    /// but they are text too.
    informational: Cow<'a, str>,
    pub(super) payload: Option<&'a str>,
}

impl<'a> Envelope<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, RouteError> {
        let mut envelope = Self::default();
        let mut wrong = None;
        json::each_field(text, |name, value| {
            if name.eq_fold("payload") {
                envelope.payload = Some(value);
                return;
            }
            let Some((field, slot)) = envelope.text_field(&name) else {
                return;
            };
            match json::text(value) {
                Ok(Some(text)) => *slot = text,
                Ok(None) => {}
                Err(json::NotText) => wrong = wrong.or(Some(field)),
            }
        })
        .map_err(|reason| RouteError::Unreadable { reason })?;
        match wrong {
            Some(field) => Err(RouteError::NotText { field }),
            None => Ok(envelope),
        }
    }

    /// The text field a name stands for, by its name in the contract.
    fn text_field(&mut self, name: &json::Name<'_>) -> Option<(&'static str, &mut Cow<'a, str>)> {
        let field = FIELDS.into_iter().find(|field| name.eq_fold(field))?;
        let slot = match field {
            "type" => &mut self.kind,
            "channel" => &mut self.channel,
            "event" => &mut self.event,
            "object_key" => &mut self.object_key,
            "session_id" => &mut self.session_id,
            "message_id" => &mut self.message_id,
            "idempotency_key" => &mut self.idempotency_key,
            "route" => &mut self.route,
            _ => &mut self.informational,
        };
        Some((field, slot))
    }

    pub(super) fn publish(
        &self,
        payload: Body,
        routing: &Routing,
    ) -> Result<Operation, RouteError> {
        let event = non_empty(&self.event).or(non_empty(&self.kind));
        Ok(Operation::Publish {
            event: event.ok_or(RouteError::MissingEvent)?.into(),
            channel: non_empty(&self.channel)
                .unwrap_or(&routing.default_channel)
                .into(),
            payload,
        })
    }

    pub(super) fn object_set(&self, payload: Option<Body>) -> Result<Operation, RouteError> {
        Ok(Operation::ObjectSet {
            channel: non_empty(&self.channel)
                .ok_or(RouteError::MissingChannel)?
                .into(),
            key: self.object_key.as_ref().into(),
            value: payload.ok_or(RouteError::MissingPayload)?,
        })
    }

    /// Looks into the payload, but only when something there decides.
    pub(super) fn identity(&self, operation: &Operation, routing: &Routing) -> Identity<'a> {
        let wanted = self.session_id.is_empty() || routing.identifies(operation.name());
        match self.payload {
            Some(payload) if wanted => Identity::read(payload),
            _ => Identity::default(),
        }
    }

    pub(super) fn lane(&self, identity: &Identity<'_>, channel: &str) -> LaneKey {
        let session = non_empty(&self.session_id)
            .or(non_empty(&identity.session_id))
            .or(session_in(channel));
        LaneKey::new(session.unwrap_or(channel))
    }

    pub(super) fn key(
        &self,
        id: EffectId,
        identity: &Identity<'_>,
        operation: &Operation,
        routing: &Routing,
    ) -> IdempotencyKey {
        if let Some(given) = non_empty(&self.idempotency_key) {
            return IdempotencyKey::Given(given.into());
        }
        if !routing.identifies(operation.name()) {
            return IdempotencyKey::Uuid(id.as_uuid());
        }
        let message_id = non_empty(&identity.message_id).or(non_empty(&self.message_id));
        match (message_id, identity.sequence_number) {
            (Some(message_id), number) if !number.is_empty() => {
                IdempotencyKey::Uuid(content_key(operation, message_id, number))
            }
            _ => IdempotencyKey::Uuid(id.as_uuid()),
        }
    }
}

pub(super) fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
