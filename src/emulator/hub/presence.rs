//! Presence events: who may send them, what they do to the member list.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::emulator::access::Identity;
use crate::emulator::log::{Entry, Kind};
use crate::emulator::presence::{MEMBERS_MAX, Members, event, member_bytes};
use crate::emulator::serial::Position;
use crate::protocol::ably::auth::Operation;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::{Action, PresenceMessage, ProtocolMessage};

use super::{Hub, Publisher};

/// The most memory of all members.
const PRESENCE_BYTES_MAX: usize = 32 * 1024 * 1024;

impl Hub {
    /// Applies the presence events a connection sent as one protocol message.
    pub(in crate::emulator) fn publish_presence(
        &mut self,
        by: Publisher<'_>,
        channel: &str,
        id: &str,
        mut events: Vec<PresenceMessage>,
        now_ms: i64,
    ) -> Result<Position, ErrorInfo> {
        self.check_channel(channel)?;
        by.grant.require(Operation::Presence, channel)?;
        self.check_bytes(events.iter().map(PresenceMessage::size).sum())?;
        let connection_id = by
            .connection_id
            .map(ToString::to_string)
            .unwrap_or_default();
        for (index, event) in events.iter_mut().enumerate() {
            stamp(&by.grant.identity, event)?;
            event.connection_id = Some(connection_id.clone());
            event.timestamp = Some(now_ms);
            event.id.get_or_insert_with(|| format!("{id}:{index}"));
        }
        self.check_room(channel, &events)?;
        Ok(self.apply_presence(channel, &connection_id, events, now_ms))
    }

    /// Only new members and longer data need room.
    fn check_room(&self, channel: &str, events: &[PresenceMessage]) -> Result<(), ErrorInfo> {
        let members = self.channel(channel).map(|channel| &channel.members);
        let (mut more, mut bytes) = (0, 0);
        for event in events {
            if matches!(event.action, event::LEAVE | event::ABSENT) {
                continue;
            }
            let old = members.and_then(|members| members.get(event));
            more += usize::from(old.is_none());
            bytes += member_bytes(event).saturating_sub(old.map_or(0, member_bytes));
        }
        let has_places = more == 0 || members.map_or(0, Members::len) + more <= MEMBERS_MAX;
        let has_memory = bytes == 0 || self.presence_bytes + bytes <= PRESENCE_BYTES_MAX;
        if has_places && has_memory {
            return Ok(());
        }
        let text = if has_places {
            "the emulator has no memory for more members".to_owned()
        } else {
            format!("the channel has no room for more than {MEMBERS_MAX} members")
        };
        Err(ErrorInfo::with_status(91003, 400, text))
    }

    /// Applies complete events of one connection and tells who subscribes.
    fn apply_presence(
        &mut self,
        channel: &str,
        connection_id: &str,
        events: Vec<PresenceMessage>,
        now_ms: i64,
    ) -> Position {
        let (name, state) = self.channel_mut(channel);
        let position = state.advance(now_ms);
        let before = state.members.bytes();
        let seen: Vec<_> = events
            .into_iter()
            .filter_map(|event| state.members.apply(event))
            .collect();
        let is_present = !state.members.of_connection(connection_id).is_empty();
        let after = state.members.bytes();
        self.presence_bytes = self.presence_bytes - before + after;
        self.note_presence(connection_id, &name, is_present);
        if seen.is_empty() {
            self.forget_if_idle(&name);
            return position;
        }
        let message = ProtocolMessage {
            channel: Some(channel.to_owned()),
            channel_serial: Some(self.series.channel_serial(position)),
            timestamp: Some(now_ms),
            presence: seen,
            ..ProtocolMessage::new(Action::Presence)
        };
        let entry = Entry::new(
            position,
            Kind::Presence,
            Some(connection_id.into()),
            &message,
        );
        self.append(&name, entry, now_ms);
        position
    }

    /// Lets every member of a connection leave these channels.
    ///
    /// The events are made up by the emulator, so they carry ids that no
    /// connection could have given: readers then compare times (RTP2b1).
    pub(super) fn leave_all(&mut self, id: &str, channels: BTreeSet<Arc<str>>, now_ms: i64) {
        for channel in channels {
            let Some(state) = self.channels.get(&channel) else {
                continue;
            };
            let mut members = state.members.of_connection(id);
            for (index, member) in members.iter_mut().enumerate() {
                member.action = event::LEAVE;
                member.id = Some(format!("emulator:{now_ms}:{index}"));
                member.timestamp = Some(now_ms);
            }
            for page in pages(members) {
                self.apply_presence(&channel, id, page, now_ms);
            }
        }
    }
}

/// Bytes of events in one frame, about.
const PAGE_BYTES: usize = 128 * 1024;

/// Splits what an emulator says on its own into frames that clients take.
fn pages(events: Vec<PresenceMessage>) -> Vec<Vec<PresenceMessage>> {
    let mut pages: Vec<Vec<PresenceMessage>> = Vec::new();
    let mut size = PAGE_BYTES;
    for event in events {
        size += event.size() + 128;
        match pages.last_mut() {
            Some(page) if size <= PAGE_BYTES => page.push(event),
            _ => {
                size = event.size() + 128;
                pages.push(vec![event]);
            }
        }
    }
    pages
}

/// Checks who an event claims to be about, and writes in who it is about.
fn stamp(identity: &Identity, event: &mut PresenceMessage) -> Result<(), ErrorInfo> {
    if !(event::ABSENT..=event::UPDATE).contains(&event.action) {
        return Err(ErrorInfo::new(40000, "unknown presence action"));
    }
    if let Some(name) = identity.stamp(event.client_id.as_deref())? {
        event.client_id = Some(name.to_owned());
    }
    match event.client_id.as_deref() {
        None | Some("" | "*") => Err(ErrorInfo::with_status(
            91000,
            400,
            "presence needs a clientId",
        )),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::access::{Credentials, authenticate};
    use crate::emulator::limits::Limits;
    use crate::protocol::ably::data::Data;

    fn say(hub: &mut Hub, channel: &str, action: u8, who: &[String], data: &str) -> Option<u32> {
        let credentials = Credentials::Key(hub.key.reveal());
        let grant = authenticate(&hub.key, Some(&credentials), 0).expect("valid");
        let connection = Arc::from("connection");
        let by = Publisher {
            grant: &grant,
            connection_id: Some(&connection),
        };
        let event = |client: &String| PresenceMessage {
            action,
            client_id: Some(client.clone()),
            data: Data::String(data.into()),
            ..PresenceMessage::default()
        };
        let events = who.iter().map(event).collect();
        let said = hub.publish_presence(by, channel, "id", events, 1);
        said.err().map(|error| error.code)
    }

    #[test]
    fn members_of_a_full_channel_can_update_and_leave() {
        let mut hub = Hub::new("a.k:s".parse().expect("a key"), Limits::default());
        let names: Vec<_> = (0..MEMBERS_MAX).map(|n| n.to_string()).collect();
        assert_eq!(say(&mut hub, "c", event::ENTER, &names, ""), None);
        let late = ["late".to_owned()];
        assert_eq!(say(&mut hub, "c", event::ENTER, &late, ""), Some(91003));
        assert_eq!(say(&mut hub, "c", event::UPDATE, &names[..2], "x"), None);
        assert_eq!(say(&mut hub, "c", event::LEAVE, &names[..1], ""), None);
        assert_eq!(say(&mut hub, "c", event::ENTER, &late, ""), None);
    }

    #[test]
    fn members_of_all_channels_have_bounded_memory() {
        let mut hub = Hub::new("a.k:s".parse().expect("a key"), Limits::default());
        let (who, data) = (["ann".to_owned()], "x".repeat(60_000));
        let refused = (0..1000).find_map(|n| {
            let code = say(&mut hub, &n.to_string(), event::ENTER, &who, &data);
            code.map(|code| (n, code))
        });
        let (count, code) = refused.expect("refused");
        assert_eq!(code, 91003);
        assert!(hub.presence_bytes <= PRESENCE_BYTES_MAX);
        for n in 0..count {
            say(&mut hub, &n.to_string(), event::LEAVE, &who, "");
        }
        assert_eq!(hub.presence_bytes, 0);
    }
}
