//! Who is present on one channel.
//!
//! A member is a client on a connection; the same client on two connections is
//! two members. Members are kept as the event that readers of a SYNC get.

use std::collections::BTreeMap;

use crate::protocol::ably::message::PresenceMessage;

/// Numbers of presence events on the wire (TP2).
pub(super) mod event {
    pub(in crate::emulator) const ABSENT: u8 = 0;
    pub(in crate::emulator) const PRESENT: u8 = 1;
    pub(in crate::emulator) const ENTER: u8 = 2;
    pub(in crate::emulator) const LEAVE: u8 = 3;
    pub(in crate::emulator) const UPDATE: u8 = 4;
}

/// The most members of one channel.
pub(super) const MEMBERS_MAX: usize = 1000;

/// What a member takes beyond its client id and its data.
const MEMBER_BYTES: usize = 512;

/// Connection first: all members of one are neighbours.
type MemberKey = (String, String);

/// The members of one channel.
#[derive(Debug, Default)]
pub(super) struct Members {
    members: BTreeMap<MemberKey, PresenceMessage>,
    bytes: usize,
}

impl Members {
    /// Applies a complete event; returns the event others shall see, `None`
    /// when a client leaves that was not there.
    pub(super) fn apply(&mut self, mut event: PresenceMessage) -> Option<PresenceMessage> {
        let key = member_key(&event);
        if event.action == event::LEAVE || event.action == event::ABSENT {
            let member = self.members.remove(&key)?;
            self.bytes -= member_bytes(&member);
            event.action = event::LEAVE;
            if event.data.is_none() {
                event.data = member.data;
                event.encoding = member.encoding;
            }
            return Some(event);
        }
        let is_new = !self.members.contains_key(&key);
        event.action = if is_new { event::ENTER } else { event::UPDATE };
        let member = PresenceMessage {
            action: event::PRESENT,
            ..event.clone()
        };
        self.bytes += member_bytes(&member);
        if let Some(old) = self.members.insert(key, member) {
            self.bytes -= member_bytes(&old);
        }
        Some(event)
    }

    /// Who the client of a complete event is so far.
    pub(super) fn get(&self, event: &PresenceMessage) -> Option<&PresenceMessage> {
        self.members.get(&member_key(event))
    }

    /// The memory they hold.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The members on one connection.
    pub(super) fn of_connection(&self, connection_id: &str) -> Vec<PresenceMessage> {
        let from = (connection_id.to_owned(), String::new());
        let neighbours = self.members.range(from..);
        neighbours
            .take_while(|((id, _), _)| id == connection_id)
            .map(|(_, m)| m.clone())
            .collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &PresenceMessage> {
        self.members.values()
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// The memory one member holds, about.
pub(super) fn member_bytes(member: &PresenceMessage) -> usize {
    MEMBER_BYTES + member.size()
}

fn member_key(event: &PresenceMessage) -> MemberKey {
    let text = |field: &Option<String>| field.clone().unwrap_or_default();
    (text(&event.connection_id), text(&event.client_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ably::data::Data;

    fn event(action: u8, connection: &str, client: &str, data: Option<&str>) -> PresenceMessage {
        PresenceMessage {
            action,
            connection_id: Some(connection.into()),
            client_id: Some(client.into()),
            data: data.map_or(Data::None, |text| Data::String(text.into())),
            ..PresenceMessage::default()
        }
    }

    #[test]
    fn entering_twice_is_an_update_and_updating_first_is_an_enter() {
        let mut members = Members::default();
        let seen = members
            .apply(event(event::UPDATE, "c", "ann", None))
            .expect("seen");
        assert_eq!(seen.action, event::ENTER);
        let seen = members
            .apply(event(event::ENTER, "c", "ann", None))
            .expect("seen");
        assert_eq!(seen.action, event::UPDATE);
        assert_eq!(members.len(), 1);
    }

    #[test]
    fn leaving_shows_the_last_data_and_leaving_twice_shows_nothing() {
        let mut members = Members::default();
        members.apply(event(event::ENTER, "c", "ann", Some("here")));
        let seen = members
            .apply(event(event::LEAVE, "c", "ann", None))
            .expect("seen");
        assert_eq!(seen.data, Data::String("here".into()));
        assert_eq!(members.apply(event(event::LEAVE, "c", "ann", None)), None);
    }

    #[test]
    fn members_of_a_connection_are_its_own_only() {
        let mut members = Members::default();
        for (connection, client) in [("a", "x"), ("b", "x"), ("b", "y"), ("c", "x")] {
            members.apply(event(event::ENTER, connection, client, None));
        }
        let of_b = members.of_connection("b");
        assert_eq!(of_b.len(), 2);
        assert!(of_b.iter().all(|m| m.connection_id.as_deref() == Some("b")));
    }
}
