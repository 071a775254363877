//! Operations on root maps: what is allowed, what is refused, what is sent on.

use crate::emulator::log::{Entry, Kind};
use crate::emulator::objects::{RootMap, entry_bytes};
use crate::emulator::serial::SITE_CODE;
use crate::protocol::ably::auth::Operation;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::{Action, ProtocolMessage};
use crate::protocol::ably::object::{ObjectMessage, ObjectOperation, ROOT, operation};

use super::{Hub, Published, Publisher};

/// The most memory of one root map, so that it fits into one frame.
const ROOT_BYTES_MAX: usize = 256 * 1024;

/// The most memory of all root maps.
const OBJECT_BYTES_MAX: usize = 32 * 1024 * 1024;

impl Hub {
    /// Applies operations as one protocol message, whole or not at all.
    ///
    /// Operations whose own id was seen a moment ago are not applied again.
    pub(in crate::emulator) fn publish_objects(
        &mut self,
        by: Publisher<'_>,
        channel: &str,
        id: String,
        mut messages: Vec<ObjectMessage>,
        now_ms: i64,
    ) -> Result<Published, ErrorInfo> {
        self.check_channel(channel)?;
        if messages.is_empty() {
            let text = "there is no operation to apply";
            return Err(ErrorInfo::with_status(92000, 400, text));
        }
        by.grant.require(Operation::ObjectPublish, channel)?;
        let mut size = 0;
        for message in &mut messages {
            size += check(message.operation.as_mut().ok_or_else(unsupported)?)?;
        }
        self.check_bytes(size)?;
        let count = messages.len();
        if let Some(position) = self.recent.find(channel, &["object", &id], now_ms) {
            return Ok(Published { position, count });
        }
        let mut before = None;
        messages.retain(|message| {
            let own = message.id.as_deref().filter(|own| !own.is_empty());
            let seen = own.and_then(|own| self.recent.find(channel, &["object", own], now_ms));
            before = before.or(seen);
            seen.is_none()
        });
        if let (true, Some(position)) = (messages.is_empty(), before) {
            return Ok(Published { position, count });
        }
        self.check_object_room(channel, &messages)?;
        let position = self.apply_objects(by, channel, id, messages, now_ms);
        Ok(Published { position, count })
    }

    fn apply_objects(
        &mut self,
        by: Publisher<'_>,
        channel: &str,
        id: String,
        mut messages: Vec<ObjectMessage>,
        now_ms: i64,
    ) -> crate::emulator::serial::Position {
        let series = self.series.clone();
        let (name, state) = self.channel_mut(channel);
        let position = state.advance(now_ms);
        let mut ids = vec![id.clone()];
        let before = state.root.bytes();
        for (index, message) in messages.iter_mut().enumerate() {
            let serial = series.message_serial(position, index);
            if let Some(operation) = &message.operation {
                state.root.apply(operation, &serial);
            }
            ids.extend(message.id.clone());
            message.serial = Some(serial);
            message.site_code = Some(SITE_CODE.to_owned());
            message.serial_timestamp = Some(now_ms);
        }
        let after = state.root.bytes();
        self.object_bytes = self.object_bytes - before + after;
        for own in &ids {
            self.recent
                .insert(channel, &["object", own], position, now_ms);
        }
        let message = ProtocolMessage {
            id: Some(id),
            channel: Some(channel.to_owned()),
            connection_id: by.connection_id.map(ToString::to_string),
            channel_serial: Some(series.channel_serial(position)),
            timestamp: Some(now_ms),
            state: messages,
            ..ProtocolMessage::new(Action::Object)
        };
        let entry = Entry::new(position, Kind::Object, by.connection_id.cloned(), &message);
        self.append(&name, entry, now_ms);
        position
    }

    /// What takes no more memory than before is never refused.
    fn check_object_room(
        &self,
        channel: &str,
        messages: &[ObjectMessage],
    ) -> Result<(), ErrorInfo> {
        let root = self.channel(channel).map(|channel| &channel.root);
        let operations = messages.iter().filter_map(|m| m.operation.as_ref());
        let growth = |operation: &ObjectOperation| {
            let set = operation.map_set.as_ref()?;
            let old = root.map_or(0, |root| root.entry_bytes(&set.key));
            Some(entry_bytes(&set.key, &set.value).saturating_sub(old))
        };
        let more: usize = operations.filter_map(growth).sum();
        if more == 0 {
            return Ok(());
        }
        let root = root.map_or(0, RootMap::bytes);
        if root + more <= ROOT_BYTES_MAX && self.object_bytes + more <= OBJECT_BYTES_MAX {
            return Ok(());
        }
        let text = format!("the root map has no room for {more} more bytes");
        Err(ErrorInfo::with_status(92001, 400, text))
    }
}

/// Checks an operation and completes it; returns the memory it may need.
fn check(operation: &mut ObjectOperation) -> Result<usize, ErrorInfo> {
    if operation.object_id != ROOT {
        let text = format!(
            "the emulator has no object `{}`, only `root`",
            operation.object_id
        );
        return Err(ErrorInfo::with_status(92004, 404, text));
    }
    match (&mut operation.map_set, &operation.map_remove) {
        (Some(set), None) => {
            operation.action = operation::MAP_SET;
            set.value.normalize();
            if set.key.is_empty() || !set.value.is_one_value() {
                let text = "mapSet needs a key and exactly one value";
                return Err(ErrorInfo::with_status(92000, 400, text));
            }
            if set.value.object_id.is_some() {
                return Err(unsupported());
            }
            Ok(entry_bytes(&set.key, &set.value))
        }
        (None, Some(remove)) => {
            operation.action = operation::MAP_REMOVE;
            Ok(remove.key.len())
        }
        _ => Err(unsupported()),
    }
}

fn unsupported() -> ErrorInfo {
    let text = "the emulator has only mapSet and mapRemove of plain values in the root map";
    ErrorInfo::with_status(92000, 400, text)
}

#[cfg(test)]
mod tests;
