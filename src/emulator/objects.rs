//! The root map of one channel: LiveObjects, as far as the emulator has them.
//!
//! Last writer wins, and the channel's order says who was last. Counters and
//! nested objects are refused where they come in.

use std::collections::BTreeMap;

use crate::protocol::ably::object::{
    MapEntry, MapState, ObjectData, ObjectMessage, ObjectOperation, ObjectState, ROOT,
};

use super::serial::SITE_CODE;

/// What an entry takes beyond its key and its value.
const ENTRY_BYTES: usize = 256;

/// One channel's root map.
#[derive(Debug, Default)]
pub(super) struct RootMap {
    entries: BTreeMap<String, MapEntry>,
    /// Serial of the newest operation.
    newest: Option<String>,
    bytes: usize,
}

impl RootMap {
    /// Applies an operation that was checked.
    pub(super) fn apply(&mut self, operation: &ObjectOperation, serial: &str) {
        self.newest = Some(serial.to_owned());
        if let Some(remove) = &operation.map_remove {
            self.remove(&remove.key);
        }
        if let Some(set) = &operation.map_set {
            self.remove(&set.key);
            self.bytes += entry_bytes(&set.key, &set.value);
            let entry = MapEntry {
                tombstone: false,
                timeserial: serial.to_owned(),
                data: Some(set.value.clone()),
            };
            self.entries.insert(set.key.clone(), entry);
        }
    }

    fn remove(&mut self, key: &str) {
        if let Some(MapEntry {
            data: Some(value), ..
        }) = self.entries.remove(key)
        {
            self.bytes -= entry_bytes(key, &value);
        }
    }

    /// Keys and values, sorted by key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&String, &ObjectData)> {
        self.entries
            .iter()
            .filter_map(|(key, entry)| Some((key, entry.data.as_ref()?)))
    }

    pub(super) fn get(&self, key: &str) -> Option<&ObjectData> {
        self.entries.get(key)?.data.as_ref()
    }

    /// The memory that the entry of `key` holds.
    pub(super) fn entry_bytes(&self, key: &str) -> usize {
        self.get(key).map_or(0, |value| entry_bytes(key, value))
    }

    /// The memory it holds.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether anything was ever done to it.
    pub(super) fn is_untouched(&self) -> bool {
        self.newest.is_none()
    }

    /// What a client that attaches must know.
    pub(super) fn state(&self) -> ObjectMessage {
        let newest = self
            .newest
            .iter()
            .map(|serial| (SITE_CODE.to_owned(), serial.clone()));
        let map = MapState {
            semantics: 0,
            entries: self.entries.clone(),
        };
        let object = ObjectState {
            object_id: ROOT.to_owned(),
            site_timeserials: newest.collect(),
            tombstone: false,
            map: Some(map),
        };
        ObjectMessage {
            object: Some(object),
            ..ObjectMessage::default()
        }
    }
}

/// The memory of one entry.
pub(super) fn entry_bytes(key: &str, value: &ObjectData) -> usize {
    ENTRY_BYTES + 2 * key.len() + value.size()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ably::object::{MapRemove, MapSet};

    fn set(key: &str, text: &str) -> ObjectOperation {
        let value = ObjectData {
            string: Some(text.into()),
            ..ObjectData::default()
        };
        ObjectOperation {
            map_set: Some(MapSet {
                key: key.into(),
                value,
            }),
            ..ObjectOperation::default()
        }
    }

    #[test]
    fn the_last_write_of_a_key_wins_and_memory_follows() {
        let mut map = RootMap::default();
        map.apply(&set("k", "old"), "s1");
        map.apply(&set("k", "newer"), "s2");
        assert_eq!(
            map.get("k").and_then(|value| value.string.as_deref()),
            Some("newer")
        );
        assert_eq!(map.bytes(), ENTRY_BYTES + 2 + 5);
        let remove = MapRemove { key: "k".into() };
        map.apply(
            &ObjectOperation {
                map_remove: Some(remove),
                ..ObjectOperation::default()
            },
            "s3",
        );
        assert_eq!(
            (map.bytes(), map.is_empty(), map.is_untouched()),
            (0, true, false)
        );
    }

    #[test]
    fn the_state_names_the_newest_operation_of_our_site() {
        let mut map = RootMap::default();
        map.apply(&set("k", "v"), "s1");
        let state = map.state().object.expect("a state");
        assert_eq!(state.site_timeserials[SITE_CODE], "s1");
        assert_eq!(state.map.expect("a map").entries["k"].timeserial, "s1");
    }
}
