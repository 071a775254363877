//! The recent past of one channel, as frames ready to be sent.
//!
//! Each entry is one protocol message, encoded once and shared by all who
//! receive it. Entries are numbered; a subscriber is a number, its cursor.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::protocol::ably::codec::{self, Format};
use crate::protocol::ably::message::ProtocolMessage;

use super::serial::Position;

/// What an entry takes beyond its frame: the entry, its place in two queues.
pub(super) const ENTRY_BYTES: usize = 256;

/// What an entry carries, and so which modes receive it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Message,
    Presence,
    Object,
}

/// One protocol message of a channel.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) timestamp: i64,
    pub(super) kind: Kind,
    /// The connection it came over; `None` if it came over REST.
    pub(super) publisher: Option<Arc<str>>,
    /// Messages in it.
    pub(super) count: usize,
    msgpack: Bytes,
    json: Option<Bytes>,
}

impl Entry {
    /// The entry for `message`, which is complete.
    pub(super) fn new(
        position: Position,
        kind: Kind,
        publisher: Option<Arc<str>>,
        message: &ProtocolMessage,
    ) -> Self {
        Self {
            position,
            timestamp: message.timestamp.unwrap_or_default(),
            kind,
            publisher,
            count: message.messages.len() + message.presence.len() + message.state.len(),
            msgpack: codec::encode(Format::Msgpack, message).into(),
            json: None,
        }
    }

    /// The protocol message again.
    pub(super) fn decode(&self) -> ProtocolMessage {
        codec::decode(Format::Msgpack, &self.msgpack).expect("we encoded it")
    }

    /// The frame for readers of `format`.
    pub(super) fn frame(&mut self, format: Format) -> Bytes {
        match format {
            Format::Msgpack => self.msgpack.clone(),
            Format::Json => {
                if self.json.is_none() {
                    self.json = Some(codec::encode(Format::Json, &self.decode()).into());
                }
                self.json.clone().unwrap_or_default()
            }
        }
    }

    /// The frame without its first `skip` messages.
    pub(super) fn frame_without(&self, skip: usize, format: Format) -> Bytes {
        let mut message = self.decode();
        message.name_messages();
        message.messages.drain(..skip.min(message.messages.len()));
        codec::encode(format, &message).into()
    }

    /// The memory it holds.
    pub(super) fn bytes(&self) -> usize {
        ENTRY_BYTES + self.msgpack.len() + self.json.as_ref().map_or(0, Bytes::len)
    }
}

/// The entries of one channel, oldest first.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    /// The number of the oldest entry.
    first: u64,
}

impl Log {
    /// Adds the newest entry and returns its number.
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        let number = self.end();
        self.entries.push_back(entry);
        number
    }

    /// Drops the oldest entry.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.first += 1;
        Some(entry)
    }

    /// The number of the oldest entry, or of the next when there is none.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The number the next entry will have.
    pub(super) fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Entry `number`, if it is still here.
    pub(super) fn get(&self, number: u64) -> Option<&Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get(index)
    }

    /// Entry `number`, if it is still here.
    pub(super) fn get_mut(&mut self, number: u64) -> Option<&mut Entry> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.entries.get_mut(index)
    }

    /// The number of the first entry after `position`.
    pub(super) fn number_after(&self, position: Position) -> u64 {
        self.first
            + self
                .entries
                .partition_point(|entry| entry.position <= position) as u64
    }

    /// All entries with their numbers, oldest first.
    pub(super) fn iter(
        &self,
    ) -> impl DoubleEndedIterator<Item = (u64, &Entry)> + ExactSizeIterator {
        let first = self.first;
        self.entries
            .iter()
            .enumerate()
            .map(move |(index, entry)| (first + index as u64, entry))
    }
}
