//! What a client that attaches must know of what is there: members, objects.

use crate::emulator::hub::Hub;
use crate::emulator::objects::RootMap;
use crate::emulator::serial::Position;
use crate::protocol::ably::message::{Action, PresenceMessage, ProtocolMessage, flags};

use super::Outbox;
use super::connection::Connection;

/// Bytes of members in one SYNC, about.
const SYNC_BYTES: usize = 128 * 1024;

impl Connection {
    /// Sends who is present, in as many SYNCs as it takes.
    pub(super) fn push_sync(&self, hub: &Hub, channel: Option<&str>, outbox: &mut Outbox) {
        let name = channel.unwrap_or_default();
        let can_see = self
            .attachments
            .get(name)
            .is_some_and(|attachment| attachment.modes & flags::PRESENCE_SUBSCRIBE != 0);
        let Some(channel) = hub.channel(name).filter(|_| can_see) else {
            return;
        };
        let serial = sync_id(channel.last());
        let mut page: Vec<PresenceMessage> = Vec::new();
        let mut size = 0;
        let mut push = |page: Vec<PresenceMessage>, cursor: &str| {
            outbox.push(&ProtocolMessage {
                channel: Some(name.to_owned()),
                channel_serial: Some(format!("{serial}:{cursor}")),
                presence: page,
                ..ProtocolMessage::new(Action::Sync)
            });
        };
        for member in channel.members.iter() {
            if SYNC_BYTES < size {
                push(std::mem::take(&mut page), "more");
                size = 0;
            }
            size += member.size() + 128;
            page.push(member.clone());
        }
        push(page, "");
    }
}

/// Sends the whole root map in one OBJECT_SYNC.
pub(super) fn push_object_sync(
    root: &RootMap,
    channel: &str,
    position: Position,
    outbox: &mut Outbox,
) {
    outbox.push(&ProtocolMessage {
        channel: Some(channel.to_owned()),
        channel_serial: Some(format!("{}:", sync_id(position))),
        state: vec![root.state()],
        ..ProtocolMessage::new(Action::ObjectSync)
    });
}

/// What names one SYNC: letters, digits and dashes only, because SDKs read no
/// cursor behind anything else.
fn sync_id(position: Position) -> String {
    position.to_string()
}
