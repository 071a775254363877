//! Reads a request the way the predecessor's JSON decoder did.
//!
//! Names match without regard to case, the last duplicate wins, null leaves a
//! field alone, unknown fields are skipped. A field of the wrong type spoils
//! the request but not the reading of what follows, so that whoever asked can
//! still be told: [`Malformed`] carries the op and the request id whenever
//! they stand before the point where the line stops being JSON.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{BatchMessage, Request};

/// A line that is no request, and who to tell.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid request: {reason}")]
pub struct Malformed {
    /// The op, if it could be read, else empty.
    pub op: String,
    /// The request id, if it could be read, else empty.
    pub request_id: String,
    /// What is wrong with it.
    pub reason: String,
}

impl<'a> Request<'a> {
    /// Decodes one line, borrowing from it where no escape stands in the way.
    ///
    /// # Errors
    ///
    /// When the line is not one JSON object, or a field has the wrong type.
    pub fn decode(line: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Self::default();
        let mut spoiled = false;
        let mut json = serde_json::Deserializer::from_slice(line);
        let read = Object {
            fields: &mut request,
            spoiled: &mut spoiled,
        }
        .deserialize(&mut json)
        .and_then(|()| json.end());
        let reason = match (read, spoiled) {
            (Ok(()), false) => return Ok(request),
            (Ok(()), true) => "a field has the wrong type".to_owned(),
            (Err(error), _) => error.to_string(),
        };
        Err(Malformed {
            op: request.op.into_owned(),
            request_id: request.request_id.into_owned(),
            reason,
        })
    }
}

/// Where a field's value goes.
enum Slot<'s, 'a> {
    Text(&'s mut Cow<'a, str>),
    Millis(&'s mut Option<i64>),
    Messages(&'s mut Vec<BatchMessage<'a>>),
}

/// A struct whose fields are found by name.
trait Fields<'a> {
    fn slot(&mut self, name: &str) -> Option<Slot<'_, 'a>>;
}

impl<'a> Fields<'a> for Request<'a> {
    fn slot(&mut self, name: &str) -> Option<Slot<'_, 'a>> {
        Some(match name {
            "op" => Slot::Text(&mut self.op),
            "request_id" => Slot::Text(&mut self.request_id),
            "channel" => Slot::Text(&mut self.channel),
            "event" => Slot::Text(&mut self.event),
            "payload_b64" => Slot::Text(&mut self.payload_b64),
            "message_id" => Slot::Text(&mut self.message_id),
            "idempotency_key" => Slot::Text(&mut self.idempotency_key),
            "messages" => Slot::Messages(&mut self.messages),
            "key" => Slot::Text(&mut self.key),
            "value_b64" => Slot::Text(&mut self.value_b64),
            "subscription_id" => Slot::Text(&mut self.subscription_id),
            "timeout_ms" => Slot::Millis(&mut self.timeout_ms),
            _ => return None,
        })
    }
}

impl<'a> Fields<'a> for BatchMessage<'a> {
    fn slot(&mut self, name: &str) -> Option<Slot<'_, 'a>> {
        Some(Slot::Text(match name {
            "event" => &mut self.event,
            "payload_b64" => &mut self.payload_b64,
            "message_id" => &mut self.message_id,
            "idempotency_key" => &mut self.idempotency_key,
            _ => return None,
        }))
    }
}

/// Reads one object into `fields`; `spoiled` is set by a value of the wrong
/// type.
struct Object<'s, F> {
    fields: &'s mut F,
    spoiled: &'s mut bool,
}

impl<'a, F: Fields<'a>> DeserializeSeed<'a> for Object<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'a, F: Fields<'a>> Visitor<'a> for Object<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = map.next_key_seed(NameSeed)? {
            let Some(slot) = self.fields.slot(&in_lower_case(name)) else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(Value {
                slot,
                spoiled: self.spoiled,
            })?;
        }
        Ok(())
    }
}

fn in_lower_case(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(name.to_ascii_lowercase());
    }
    name
}

struct Name<'a>(Cow<'a, str>);
struct NameSeed;

impl<'a> DeserializeSeed<'a> for NameSeed {
    type Value = Name<'a>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Name<'a>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'a> for NameSeed {
    type Value = Name<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, name: &'a str) -> Result<Name<'a>, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Name<'a>, E> {
        Ok(Name(Cow::Owned(name.to_owned())))
    }
}

/// Reads one value into its slot, or skips it and says that it did not fit.
struct Value<'s, 'a> {
    slot: Slot<'s, 'a>,
    spoiled: &'s mut bool,
}

impl<'a> DeserializeSeed<'a> for Value<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Value<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'a str) -> Result<(), E> {
        match self.slot {
            Slot::Text(slot) => *slot = Cow::Borrowed(text),
            _ => *self.spoiled = true,
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        match self.slot {
            Slot::Text(slot) => *slot = Cow::Owned(text.to_owned()),
            _ => *self.spoiled = true,
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        match self.slot {
            Slot::Millis(slot) => *slot = Some(number),
            _ => *self.spoiled = true,
        }
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        match i64::try_from(number) {
            Ok(number) => self.visit_i64(number),
            Err(_) => self.visit_bool(false),
        }
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        *self.spoiled = true;
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        *self.spoiled = true;
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<(), A::Error> {
        *self.spoiled = true;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'a>>(self, mut seq: A) -> Result<(), A::Error> {
        let Slot::Messages(messages) = self.slot else {
            *self.spoiled = true;
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        messages.clear();
        loop {
            let mut message = BatchMessage::default();
            let element = Object {
                fields: &mut message,
                spoiled: self.spoiled,
            };
            if seq.next_element_seed(element)?.is_none() {
                return Ok(());
            }
            messages.push(message);
        }
    }
}

#[cfg(test)]
mod tests;
