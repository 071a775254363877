//! The payload of a message and its encodings (RSL4, RSL6).

use bytes::Bytes;

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
}

impl serde::Serialize for Data {
    /// In a human-readable format binary becomes base64 text; whoever encodes
    /// must have appended `base64` to `encoding` first (see [`super::codec`]).
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        match self {
            Self::None => serializer.serialize_none(),
            Self::String(text) => serializer.serialize_str(text),
            Self::Binary(bytes) if serializer.is_human_readable() => {
                serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
            }
            Self::Binary(bytes) => serializer.serialize_bytes(bytes),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Data {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DataVisitor;

        impl serde::de::Visitor<'_> for DataVisitor {
            type Value = Data;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string, bytes or null")
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
        }

        deserializer.deserialize_any(DataVisitor)
    }
}
