//! `/channels/{name}/object`: the root map, in today's REST form.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::emulator::Emulator;
use crate::emulator::hub::{Publisher, check_channel_name};
use crate::emulator::objects::RootMap;
use crate::protocol::ably::auth::Operation;
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::object::{
    MapRemove, MapSet, ObjectBytes, ObjectData, ObjectMessage, ObjectOperation, ROOT,
};

use super::{Answer, Call};

/// One operation; the server infers what it is from the field it has.
#[derive(Debug, Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct RestOperation {
    /// Makes a repetition harmless.
    id: Option<String>,
    object_id: Option<String>,
    /// From the root map; the empty path is the root map.
    path: Option<String>,
    map_set: Option<MapSet>,
    map_remove: Option<MapRemove>,
    map_create: Option<IgnoredAny>,
    map_create_with_object_id: Option<IgnoredAny>,
    counter_create: Option<IgnoredAny>,
    counter_create_with_object_id: Option<IgnoredAny>,
    counter_inc: Option<IgnoredAny>,
}

/// What a publish is answered with.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublishAnswer<'a> {
    message_id: String,
    channel: &'a str,
    object_ids: Vec<&'a str>,
}

/// `POST /channels/{name}/object`: one operation or several, whole or not at all.
pub(super) fn publish(
    emulator: &Emulator,
    call: &Call,
    channel: &str,
    format: Format,
) -> Result<Answer, ErrorInfo> {
    let grant = call.authenticate(emulator)?;
    let operations: Vec<RestOperation> = call.decode_one_or_many()?;
    let messages: Result<Vec<_>, _> = operations.into_iter().map(to_message).collect();
    let messages = messages?;
    let object_ids = vec![ROOT; messages.len()];
    let message_id = format!("{:016x}", rand::random::<u64>());
    let by = Publisher {
        grant: &grant,
        connection_id: None,
    };
    emulator
        .hub()
        .publish_objects(by, channel, message_id.clone(), messages, call.now_ms)?;
    Ok(Answer::created(
        format,
        &PublishAnswer {
            message_id,
            channel,
            object_ids,
        },
    ))
}

fn to_message(operation: RestOperation) -> Result<ObjectMessage, ErrorInfo> {
    let is_unsupported = operation.map_create.is_some()
        || operation.map_create_with_object_id.is_some()
        || operation.counter_create.is_some()
        || operation.counter_create_with_object_id.is_some()
        || operation.counter_inc.is_some();
    if is_unsupported {
        let text = "the emulator has only mapSet and mapRemove in the root map";
        return Err(ErrorInfo::with_status(92000, 400, text));
    }
    let object_id = match (operation.object_id, operation.path.as_deref()) {
        (Some(object_id), None) => object_id,
        (None, Some("")) => ROOT.to_owned(),
        (None, Some(path)) => {
            let text = format!("the emulator has no object at path `{path}`, only the root map");
            return Err(ErrorInfo::with_status(92005, 404, text));
        }
        _ => {
            let text = "exactly one of objectId and path is required";
            return Err(ErrorInfo::with_status(92006, 400, text));
        }
    };
    let operation = ObjectMessage {
        id: operation.id,
        operation: Some(ObjectOperation {
            action: 0,
            object_id,
            map_set: operation.map_set,
            map_remove: operation.map_remove,
        }),
        ..ObjectMessage::default()
    };
    Ok(operation)
}

/// A leaf as a plain value.
#[derive(Serialize)]
#[serde(untagged)]
enum Compact<'a> {
    String(&'a str),
    Number(&'a Number),
    Boolean(bool),
    Bytes(&'a ObjectBytes),
    None,
}

impl<'a> Compact<'a> {
    fn of(data: &'a ObjectData) -> Self {
        let text = data.string.as_deref().or(data.json.as_deref());
        text.map(Self::String)
            .or_else(|| data.number.as_ref().map(Self::Number))
            .or_else(|| data.boolean.map(Self::Boolean))
            .or_else(|| data.bytes.as_ref().map(Self::Bytes))
            .unwrap_or(Self::None)
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Full<'a> {
    object_id: &'a str,
    map: FullMap<'a>,
}

#[derive(Serialize)]
struct FullMap<'a> {
    semantics: &'a str,
    entries: BTreeMap<&'a str, FullEntry<'a>>,
}

#[derive(Serialize)]
struct FullEntry<'a> {
    data: &'a ObjectData,
}

/// `GET /channels/{name}/object`: the root map, or with `path` one value of it.
pub(super) fn read(
    emulator: &Emulator,
    call: &Call,
    channel: &str,
    object_id: &str,
    format: Format,
) -> Result<Answer, ErrorInfo> {
    let grant = call.authenticate(emulator)?;
    check_channel_name(channel)?;
    grant.require(Operation::ObjectSubscribe, channel)?;
    if object_id != ROOT {
        let text = format!("the emulator has no object `{object_id}`, only `root`");
        return Err(ErrorInfo::with_status(92004, 404, text));
    }
    let is_compact = call.query.get("compact").is_none_or(|text| text != "false");
    let hub = emulator.hub();
    let root = hub.channel(channel).map(|channel| &channel.root);
    if let Some(path) = call.query.get("path").filter(|path| !path.is_empty()) {
        let key = path.replace("\\.", ".");
        let value = root.and_then(|root| root.get(&key)).ok_or_else(|| {
            ErrorInfo::with_status(92005, 404, format!("there is no value at path `{path}`"))
        })?;
        return Ok(if is_compact {
            Answer::ok(format, &Compact::of(value))
        } else {
            Answer::ok(format, value)
        });
    }
    let values = root.into_iter().flat_map(RootMap::iter);
    if is_compact {
        let entries: BTreeMap<_, _> = values.map(|(key, data)| (key, Compact::of(data))).collect();
        return Ok(Answer::ok(format, &entries));
    }
    let entries = values
        .map(|(key, data)| (key.as_str(), FullEntry { data }))
        .collect();
    let map = FullMap {
        semantics: "LWW",
        entries,
    };
    Ok(Answer::ok(
        format,
        &Full {
            object_id: ROOT,
            map,
        },
    ))
}
