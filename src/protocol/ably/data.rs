//! The payload of a message and its encodings (RSL4, RSL6).
//!
//! `encoding` lists what was done to a payload, first step first, separated
//! by `/`; a reader undoes it from the right and stops at a step that it does
//! not know or that fails (RSL6b).
//!
//! In memory a binary payload is always bytes: JSON's base64 is undone as a
//! frame is decoded and done again as one is encoded, so that the same message
//! serves readers of both formats.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer};
use serde_json::Value;

use super::lenient;
use super::message::{Message, PresenceMessage};

/// A payload as it stands on the wire, before or after its `encoding` is undone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Data {
    /// No payload.
    #[default]
    None,
    /// Text.
    String(String),
    /// Bytes: msgpack `bin`; in JSON, base64 text with `encoding: "base64"`.
    Binary(Bytes),
}

impl Data {
    /// Whether there is no payload.
    #[must_use]
    pub fn is_none(&self) -> bool {
        matches!(self, Self::None)
    }

    /// Its length as Ably counts it (TM6): text and binary in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its bytes, whichever form they have.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::None => &[],
            Self::String(text) => text.as_bytes(),
            Self::Binary(bytes) => bytes,
        }
    }

    /// Its bytes, whichever form they have, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::None => Bytes::new(),
            Self::String(text) => Bytes::from(text),
            Self::Binary(bytes) => bytes,
        }
    }
}

/// Undoes `base64` and `utf-8` from the right (RSL6).
///
/// Returns the payload and the encoding that is left: `json` stays, because
/// its text is what a reader of bytes wants, and so does any step that is
/// unknown or does not fit the payload.
#[must_use]
pub fn undo(mut data: Data, encoding: Option<&str>) -> (Data, Option<String>) {
    let mut left = encoding.unwrap_or_default();
    while !left.is_empty() {
        let (rest, step) = left.rsplit_once('/').unwrap_or(("", left));
        data = match undo_step(data, step) {
            Ok(undone) => undone,
            Err(data) => return (data, Some(left.to_owned())),
        };
        left = rest;
    }
    (data, None)
}

/// The payload before `step`, or as it was when the step does not apply.
fn undo_step(data: Data, step: &str) -> Result<Data, Data> {
    match (step, data) {
        ("base64", Data::String(text)) => BASE64
            .decode(&text)
            .map(|bytes| Data::Binary(bytes.into()))
            .map_err(|_| Data::String(text)),
        ("utf-8", Data::Binary(bytes)) => match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Data::String(text.to_owned())),
            Err(_) => Err(Data::Binary(bytes)),
        },
        ("utf-8", data @ Data::String(_)) => Ok(data),
        (_, data) => Err(data),
    }
}

/// `encoding` with `step` done after it.
#[must_use]
pub fn with_step(encoding: Option<&str>, step: &str) -> String {
    match encoding {
        Some(before) if !before.is_empty() => format!("{before}/{step}"),
        _ => step.to_owned(),
    }
}

/// What carries a payload and its encoding.
trait Payload {
    fn parts(&mut self) -> (&mut Data, &mut Option<String>);

    /// From JSON's form to the one in memory.
    ///
    /// JSON has no bytes, so [`Data`] reads an inline value as its text in
    /// [`Data::Binary`], and that variant means nothing else here.
    fn adopt_json(&mut self) {
        let (data, encoding) = self.parts();
        if let Data::Binary(inline) = data {
            *data = Data::String(String::from_utf8_lossy(inline).into_owned());
            *encoding = Some(with_step(encoding.as_deref(), "json"));
            return;
        }
        let Some(text) = encoding.as_deref() else {
            return;
        };
        let (rest, step) = text.rsplit_once('/').unwrap_or(("", text));
        if step == "base64" && !data.is_none() {
            match undo_step(std::mem::take(data), step) {
                Ok(undone) => {
                    *data = undone;
                    *encoding = Some(rest.to_owned()).filter(|rest| !rest.is_empty());
                }
                Err(same) => *data = same,
            }
        }
    }

    /// From the form in memory to JSON's.
    fn render_json(&mut self) {
        let (data, encoding) = self.parts();
        if let Data::Binary(bytes) = data {
            *data = Data::String(BASE64.encode(bytes));
            *encoding = Some(with_step(encoding.as_deref(), "base64"));
        }
    }
}

macro_rules! payload {
    ($type:ty) => {
        impl Payload for $type {
            fn parts(&mut self) -> (&mut Data, &mut Option<String>) {
                (&mut self.data, &mut self.encoding)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let is_json = deserializer.is_human_readable();
                let mut this = <$type>::deserialize(deserializer)?;
                if is_json {
                    this.adopt_json();
                }
                Ok(this)
            }
        }

        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() && matches!(self.data, Data::Binary(_)) {
                    let mut rendered = self.clone();
                    rendered.render_json();
                    return <$type>::serialize(&rendered, serializer);
                }
                <$type>::serialize(self, serializer)
            }
        }
    };
}

payload!(Message);
payload!(PresenceMessage);

impl serde::Serialize for Data {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::String(text) => serializer.serialize_str(text),
            Self::Binary(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de> Deserialize<'de> for Data {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let allow_inline = deserializer.is_human_readable();
        deserializer.deserialize_any(DataVisitor { allow_inline })
    }
}

struct DataVisitor {
    /// Whether the format is JSON, where a value may stand for its text.
    allow_inline: bool,
}

impl DataVisitor {
    fn inline<E: de::Error>(&self, value: &Value) -> Result<Data, E> {
        if self.allow_inline {
            Ok(Data::Binary(value.to_string().into()))
        } else {
            Err(E::custom("data must be a string, bytes or null"))
        }
    }
}

impl<'de> de::Visitor<'de> for DataVisitor {
    type Value = Data;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a string, bytes, null or, in JSON, any value")
    }

    fn visit_str<E>(self, value: &str) -> Result<Data, E> {
        Ok(Data::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Data, E> {
        Ok(Data::String(value))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Data, E> {
        Ok(Data::Binary(Bytes::copy_from_slice(value)))
    }

    fn visit_unit<E>(self) -> Result<Data, E> {
        Ok(Data::None)
    }

    fn visit_none<E>(self) -> Result<Data, E> {
        Ok(Data::None)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Data, E> {
        self.inline(&Value::from(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Data, E> {
        self.inline(&Value::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Data, E> {
        self.inline(&Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Data, E> {
        self.inline(&Value::from(value))
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, seq: A) -> Result<Data, A::Error> {
        self.inline(&lenient::read_seq(seq)?)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<Data, A::Error> {
        self.inline(&lenient::read_map(map)?)
    }
}

#[cfg(test)]
mod tests;
