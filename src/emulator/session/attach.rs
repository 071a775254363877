//! Attaching and detaching channels.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::emulator::access::denied;
use crate::emulator::channel::{Attach, Attached, From};
use crate::emulator::hub::Hub;
use crate::emulator::limits::CHANNELS_PER_CONNECTION_MAX;
use crate::emulator::serial::Position;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::{Action, ProtocolMessage, flags};

use super::Outbox;
use super::connection::Connection;
use super::modes::{MODES_DEFAULT, allowed_modes, modes_from_names};
use super::sync::push_object_sync;

/// One attached channel.
#[derive(Debug, Clone)]
pub(super) struct Attachment {
    /// What the client asked for.
    requested: u64,
    /// What its capability allows of it.
    pub(super) modes: u64,
    /// The parameters we understood.
    params: BTreeMap<String, String>,
}

impl Connection {
    pub(super) fn handle_attach(
        &mut self,
        hub: &mut Hub,
        message: &ProtocolMessage,
        now_ms: i64,
        outbox: &mut Outbox,
    ) {
        let channel = message.channel.clone().unwrap_or_default();
        if let Err(error) = self.attach(hub, message, now_ms, outbox) {
            outbox.push_error(Some(&channel), error);
        }
    }

    fn attach(
        &mut self,
        hub: &mut Hub,
        message: &ProtocolMessage,
        now_ms: i64,
        outbox: &mut Outbox,
    ) -> Result<(), ErrorInfo> {
        let channel: Arc<str> = message.channel.as_deref().unwrap_or_default().into();
        hub.check_channel(&channel)?;
        let attachment = self.allow(&channel, message)?;
        if hub.set_modes(self.session, &channel, attachment.modes) {
            // It is attached, so nothing was missed: only the modes change, and
            // what it has not been sent yet still comes.
            let position = hub
                .channel(&channel)
                .and_then(|channel| channel.delivered(self.session));
            let attached = Attached {
                position: position.unwrap_or_default(),
                is_resumed: true,
                has_backlog: false,
            };
            self.attachments.insert(channel.clone(), attachment);
            self.push_attached(hub, &channel, attached, None, outbox);
            return Ok(());
        }
        if CHANNELS_PER_CONNECTION_MAX <= self.attachments.len() {
            return Err(ErrorInfo::with_status(
                90010,
                400,
                "too many channels on one connection",
            ));
        }
        let from = begin(hub, message, now_ms);
        let muted = (!self.wants_echo).then(|| self.id.clone());
        let attach = Attach {
            modes: attachment.modes,
            muted,
            from,
        };
        let attached = hub.attach(self.session, &channel, attach, now_ms);
        let is_lost = matches!(from, From::Serial(_)) && !attached.is_resumed;
        let error = is_lost.then(|| {
            let text = "messages since the given channelSerial are no longer there";
            ErrorInfo::with_status(90003, 400, text)
        });
        self.attachments.insert(channel.clone(), attachment);
        self.push_attached(hub, &channel, attached, error, outbox);
        Ok(())
    }

    /// What the capability allows of the modes that ATTACH asks for.
    fn allow(&self, channel: &str, message: &ProtocolMessage) -> Result<Attachment, ErrorInfo> {
        let by_name = message
            .params
            .get("modes")
            .map(|names| modes_from_names(names));
        let by_flags = message.flags.unwrap_or(0) & flags::MODES;
        let requested = match (by_name, by_flags) {
            (Some(modes), _) if modes != 0 => modes,
            (_, 0) => MODES_DEFAULT,
            (_, modes) => modes,
        };
        let modes = requested & allowed_modes(&self.grant.capability, channel);
        if modes == 0 {
            return Err(denied("any of the requested modes", channel));
        }
        let mut params = message.params.clone();
        params.retain(|name, _| matches!(name.as_str(), "rewind" | "modes"));
        Ok(Attachment {
            requested,
            modes,
            params,
        })
    }

    /// Says ATTACHED, and who is present.
    fn push_attached(
        &self,
        hub: &Hub,
        channel: &str,
        attached: Attached,
        error: Option<ErrorInfo>,
        outbox: &mut Outbox,
    ) {
        let Some(attachment) = self.attachments.get(channel) else {
            return;
        };
        let members = hub
            .channel(channel)
            .map_or(0, |channel| channel.members.len());
        let has_presence = 0 < members && attachment.modes & flags::PRESENCE_SUBSCRIBE != 0;
        let objects = hub.channel(channel).map(|channel| &channel.root);
        let objects = objects.filter(|_| attachment.modes & flags::OBJECT_SUBSCRIBE != 0);
        let objects = objects.filter(|root| !root.is_untouched());
        let has_objects = objects.is_some();
        let mut bits = attachment.modes;
        for (is_set, bit) in [
            (attached.is_resumed, flags::RESUMED),
            (attached.has_backlog, flags::HAS_BACKLOG),
            (has_presence, flags::HAS_PRESENCE),
            (has_objects, flags::HAS_OBJECTS),
        ] {
            bits |= if is_set { bit } else { 0 };
        }
        outbox.push(&ProtocolMessage {
            channel: Some(channel.to_owned()),
            channel_serial: Some(hub.series.channel_serial(attached.position)),
            flags: Some(bits),
            params: attachment.params.clone(),
            error,
            ..ProtocolMessage::new(Action::Attached)
        });
        if has_presence {
            self.push_sync(hub, Some(channel), outbox);
        }
        if let Some(root) = objects {
            push_object_sync(root, channel, attached.position, outbox);
        }
    }

    /// Says that the client was too slow for a channel, which goes on.
    ///
    /// Members and objects follow, as they do whenever continuity is lost.
    pub(super) fn push_lost(
        &self,
        hub: &Hub,
        channel: &str,
        position: Position,
        outbox: &mut Outbox,
    ) {
        let text = "the client was too slow: messages have been lost";
        let error = ErrorInfo::with_status(80020, 400, text);
        let attached = Attached {
            position,
            is_resumed: false,
            has_backlog: false,
        };
        self.push_attached(hub, channel, attached, Some(error), outbox);
    }

    /// Says DETACHED, also when the channel was not attached.
    pub(super) fn handle_detach(
        &mut self,
        hub: &mut Hub,
        message: ProtocolMessage,
        outbox: &mut Outbox,
    ) {
        let channel = message.channel.unwrap_or_default();
        self.attachments.remove(channel.as_str());
        hub.detach(self.session, &channel);
        outbox.push(&ProtocolMessage {
            channel: Some(channel),
            ..ProtocolMessage::new(Action::Detached)
        });
    }

    /// After AUTH: attachments that the new token does not allow end.
    pub(super) fn recheck_attachments(&mut self, hub: &mut Hub, outbox: &mut Outbox) {
        let (session, capability) = (self.session, &self.grant.capability);
        self.attachments.retain(|channel, attachment| {
            let modes = attachment.requested & allowed_modes(capability, channel);
            attachment.modes = modes;
            if modes != 0 {
                return hub.set_modes(session, channel, modes);
            }
            hub.detach(session, channel);
            outbox.push_error(Some(channel), denied("what was attached", channel));
            false
        });
    }
}

/// Where ATTACH wants to begin.
fn begin(hub: &Hub, message: &ProtocolMessage, now_ms: i64) -> From {
    if let Some(serial) = message
        .channel_serial
        .as_deref()
        .filter(|serial| !serial.is_empty())
    {
        return From::Serial(hub.series.parse(serial));
    }
    let rewind = message
        .params
        .get("rewind")
        .and_then(|text| parse_rewind(text, now_ms));
    rewind.unwrap_or(From::Now)
}

/// `10` messages, `15s` or `2m`.
fn parse_rewind(text: &str, now_ms: i64) -> Option<From> {
    let ago = |number: &str, unit_ms: i64| {
        let number: i64 = number.parse().ok().filter(|number| 0 <= *number)?;
        Some(From::Since(
            now_ms.saturating_sub(number.saturating_mul(unit_ms)),
        ))
    };
    if let Some(seconds) = text.strip_suffix('s') {
        ago(seconds, 1000)
    } else if let Some(minutes) = text.strip_suffix('m') {
        ago(minutes, 60_000)
    } else {
        text.parse().ok().map(From::LastMessages)
    }
}

#[cfg(test)]
mod tests;
