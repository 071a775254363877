//! How long the past is kept, and what goes first.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::emulator::channel::Channel;
use crate::emulator::log::{ENTRY_BYTES, Entry};

use super::Hub;

/// One entry of one channel, in the order of time over all channels.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) channel: Arc<str>,
    pub(super) number: u64,
    pub(super) timestamp: i64,
}

impl Hub {
    /// Adds an entry to a channel, wakes its subscribers, drops what is too
    /// old or too much.
    pub(super) fn append(&mut self, name: &Arc<str>, entry: Entry, now_ms: i64) {
        let timestamp = entry.timestamp;
        self.bytes += entry.bytes();
        let Some(channel) = self.channels.get_mut(name) else {
            return;
        };
        let number = channel.append(entry);
        self.bytes -= channel.shorten_to(self.limits.history.per_channel);
        for session in channel.wake() {
            if let Some(mailbox) = self.mailboxes.get_mut(&session) {
                mailbox.ready.push_back(name.clone());
                mailbox.wake.notify_one();
            }
        }
        if self.oldest_first.is_empty() {
            self.janitor.notify_one();
        }
        self.oldest_first.push_back(Kept {
            channel: name.clone(),
            number,
            timestamp,
        });
        self.enforce_history(now_ms);
    }

    /// Drops what is too old or too much.
    pub(in crate::emulator) fn enforce_history(&mut self, now_ms: i64) {
        let expired_ms = now_ms.saturating_sub_unsigned(self.age_ms());
        while let Some(oldest) = self.oldest_first.front() {
            if self.bytes <= self.limits.history.bytes && expired_ms < oldest.timestamp {
                break;
            }
            let Some(Kept {
                channel, number, ..
            }) = self.oldest_first.pop_front()
            else {
                break;
            };
            if let Some(channel) = self.channels.get_mut(&channel) {
                self.bytes -= channel.drop_oldest(number);
            }
            self.forget_if_idle(&channel);
        }
        self.compact();
    }

    /// Drops queue places of entries that went because their channel was full.
    fn compact(&mut self) {
        let live: usize = self.bytes / ENTRY_BYTES;
        if self.oldest_first.len() <= 1024 + 2 * live {
            return;
        }
        let channels = &self.channels;
        self.oldest_first.retain(|kept| {
            channels
                .get(&kept.channel)
                .is_some_and(|c| c.first_number() <= kept.number)
        });
    }

    pub(super) fn forget_if_idle(&mut self, name: &str) {
        if !self.channels.get(name).is_some_and(Channel::is_forgettable) {
            return;
        }
        if let Some((name, channel)) = self.channels.remove_entry(name) {
            self.forgotten.insert(name, channel.extent());
        }
        if self.channels.is_empty() {
            self.channels = HashMap::new();
            self.oldest_first = VecDeque::new();
        }
    }

    pub(super) fn age_ms(&self) -> u64 {
        u64::try_from(self.limits.history.age.as_millis()).unwrap_or(u64::MAX)
    }
}
