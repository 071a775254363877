//! The journal's thread.

use std::collections::HashMap;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use tokio::sync::watch;

use super::entry::{Effect, Entry, Stored};
use super::handle::{Appended, Ask, Command};
use super::stats::{Progress, Stats};
use crate::protocol::id::EffectId;

/// Owns what the journal holds.
pub(super) struct Writer {
    pub(super) commands: Receiver<Command>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) stats: watch::Sender<Stats>,
    pub(super) held: HashMap<EffectId, Effect>,
    pub(super) seq: u64,
}

impl Writer {
    /// Works until it is closed or all handles are gone.
    pub(super) fn run(mut self) {
        while let Ok(command) = self.commands.recv() {
            match command.ask {
                Ask::Append(entries, answer) => {
                    let begun = Instant::now();
                    for entry in entries {
                        self.apply(entry);
                    }
                    let last_seq = self.seq;
                    self.progress.send_replace(Progress {
                        written: last_seq,
                        durable: last_seq,
                    });
                    self.stats.send_modify(|s| {
                        s.live = self.held.len() as u64;
                        s.syncs.record(begun.elapsed());
                    });
                    _ = answer.send(Ok(Appended { last_seq }));
                }
                Ask::Read(ids, answer) => {
                    let read = ids.iter().map(|id| self.held.get(id).cloned());
                    _ = answer.send(read.map(|e| e.map(|effect| Stored { effect })).collect());
                }
                Ask::Compact => {}
                Ask::Close(answer) => {
                    _ = answer.send(Ok(()));
                    return;
                }
            }
        }
    }

    fn apply(&mut self, entry: Entry) {
        self.seq += 1;
        match entry {
            Entry::Effect(effect) => _ = self.held.entry(effect.id).or_insert(effect),
            Entry::Done(ids) => self.held.retain(|id, _| !ids.contains(id)),
            Entry::Discard(id) => _ = self.held.remove(&id),
            Entry::Failed(..) | Entry::Requeue(_) | Entry::Note { .. } => {}
        }
    }
}
