//! LiveObjects on the wire: operations on a map, and the state of one (OM, OOP,
//! OST, OD). What we do not speak, counters and nested objects, is ignored.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer};
use serde::{Deserialize as DeriveDeserialize, Serialize};
use serde_json::Number;

use super::lenient;

/// Numbers of [`ObjectOperation::action`] (OOP2).
#[expect(missing_docs, reason = "the names are the specification's")]
pub mod operation {
    pub const MAP_SET: u8 = 1;
    pub const MAP_REMOVE: u8 = 2;
}

/// The object every channel has: a map.
pub const ROOT: &str = "root";

/// One object message: an operation, or in a SYNC the state of an object (OM2).
#[derive(Debug, Clone, PartialEq, Default, Serialize, DeriveDeserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct ObjectMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_id: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site_code: Option<String>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::option_number"
    )]
    pub serial_timestamp: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation: Option<ObjectOperation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectState>,
}

/// What is done to an object (OOP3).
#[derive(Debug, Clone, PartialEq, Default, Serialize, DeriveDeserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct ObjectOperation {
    #[serde(deserialize_with = "lenient::number")]
    pub action: u8,
    #[serde(deserialize_with = "lenient::or_default")]
    pub object_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_set: Option<MapSet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_remove: Option<MapRemove>,
}

/// Gives a key of a map a value (MST2).
#[derive(Debug, Clone, PartialEq, Default, Serialize, DeriveDeserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct MapSet {
    pub key: String,
    pub value: ObjectData,
}

/// Takes a key out of a map (MRM2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, DeriveDeserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct MapRemove {
    pub key: String,
}

/// A value: exactly one field is set (OD2).
#[derive(Debug, Clone, PartialEq, Default, Serialize, DeriveDeserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct ObjectData {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub string: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boolean: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<ObjectBytes>,
    /// JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    /// `json` when `string` holds JSON text, as some clients write it (OD4c5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<String>,
}

impl ObjectData {
    /// Whether exactly one field holds the value.
    #[must_use]
    pub fn is_one_value(&self) -> bool {
        let fields = [
            self.string.is_some(),
            self.number.is_some(),
            self.boolean.is_some(),
            self.bytes.is_some(),
            self.json.is_some(),
            self.object_id.is_some(),
        ];
        fields.into_iter().filter(|is_set| *is_set).count() == 1
    }

    /// Moves JSON text into its own field.
    pub fn normalize(&mut self) {
        if self.encoding.take().as_deref() == Some("json") && self.string.is_some() {
            self.json = self.string.take();
        }
    }

    /// Its size as Ably counts it (OD3).
    #[must_use]
    pub fn size(&self) -> usize {
        let text = |field: &Option<String>| field.as_ref().map_or(0, String::len);
        text(&self.string)
            + text(&self.json)
            + text(&self.object_id)
            + self.bytes.as_ref().map_or(0, |bytes| bytes.0.len())
            + self.number.as_ref().map_or(0, |_| 8)
            + self.boolean.map_or(0, |_| 1)
    }
}

/// Bytes: `bin` in msgpack, base64 in JSON (OD2d).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectBytes(pub Bytes);

impl Serialize for ObjectBytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&BASE64.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for ObjectBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = ObjectBytes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes or base64 text")
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<ObjectBytes, E> {
                let bytes = BASE64.decode(value).map_err(E::custom)?;
                Ok(ObjectBytes(bytes.into()))
            }

            fn visit_bytes<E>(self, value: &[u8]) -> Result<ObjectBytes, E> {
                Ok(ObjectBytes(Bytes::copy_from_slice(value)))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// All of one object (OST2).
#[derive(Debug, Clone, PartialEq, Default, Serialize, DeriveDeserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct ObjectState {
    pub object_id: String,
    /// The newest operation of each site.
    pub site_timeserials: BTreeMap<String, String>,
    pub tombstone: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map: Option<MapState>,
}

/// All of one map (OMP3).
#[derive(Debug, Clone, PartialEq, Default, Serialize, DeriveDeserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct MapState {
    /// Last writer wins: 0.
    #[serde(deserialize_with = "lenient::number")]
    pub semantics: u8,
    pub entries: BTreeMap<String, MapEntry>,
}

/// One key of a map (OME2).
#[derive(Debug, Clone, PartialEq, Default, Serialize, DeriveDeserialize)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the names are the specification's")]
pub struct MapEntry {
    pub tombstone: bool,
    pub timeserial: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<ObjectData>,
}

#[cfg(test)]
mod tests;
