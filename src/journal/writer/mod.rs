//! The journal's thread: takes what was queued, in batches, and does what is
//! due.
//!
//! What it takes is drafted already by whoever asked, so that little is left to
//! do between two syncs: that is what holds up everybody. One write and one sync
//! serve all that waited meanwhile; what is large is written while the disk still
//! syncs what came before it (`ahead`). While syncs are slow and batches small, a
//! batch waits up to a millisecond for company.
//!
//! Stops when it is told to close, when all handles are gone, or when the disk
//! has failed for good.

mod active;
mod batch;
mod behind;
mod compaction;
mod core;
mod index;
mod now;
mod pace;
mod space;
mod syncer;
mod worth;

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError, select};
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

pub(super) use self::core::{Core, Job, stored};
pub(super) use self::index::Index;
pub(super) use self::now::Now;
pub(super) use self::worth::{Worth, all_needed, no_room};
use super::error::Unrecorded;
use super::handle::{Ask, Command};
use super::stamp::Forecast;
use super::stats::{Health, Progress, Stats};
use super::storage::{Home, Mark, Storage};

/// Entries that one write may hold.
const BATCH_ENTRIES_MAX: usize = 4096;

/// Bytes of effects that one write may hold, but for a single append of more.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The thread's ends of the handle's channels.
pub(super) struct Ends {
    pub(super) commands: Receiver<Command>,
    pub(super) forecast: Arc<Forecast>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) health: watch::Sender<Health>,
    pub(super) stats: watch::Sender<Stats>,
    pub(super) home: Home,
    pub(super) mark: Option<Mark>,
}

/// What one turn of the loop has to do.
#[derive(Default)]
struct Turn {
    jobs: Vec<Job>,
    entries: usize,
    bytes: usize,
    rooms: Vec<OwnedSemaphorePermit>,
    then: Option<Then>,
}

/// Who waits for the end.
pub(super) type Closing = oneshot::Sender<Result<(), Unrecorded>>;

/// What comes after the jobs.
enum Then {
    Ask(Ask),
    /// All handles are gone.
    End,
}

/// Works until there is nothing more to do.
pub(super) fn run<S: Storage>(mut core: Core<S>, mut ends: Ends) {
    let closing = loop {
        publish(&mut core, &mut ends);
        if core.has_failed() {
            return;
        }
        let mut turn = Turn::default();
        turn.gather(&mut core, &ends);
        if let ControlFlow::Break(end) = turn.work(&mut core, &ends, Now::read) {
            break end;
        }
    };
    _ = end(core, ends, closing, Now::read());
}

/// The last of its work, told to whoever waits for it.
pub(super) fn end<S: Storage>(
    mut core: Core<S>,
    mut ends: Ends,
    closing: Option<Closing>,
    now: Now,
) -> Result<(), Unrecorded> {
    let closed = core.close(now);
    publish(&mut core, &mut ends);
    if let Some(mark) = ends.mark.take() {
        mark.close(core.stats().live, core.progress().durable);
    }
    // Its lock is gone before anybody hears of it.
    drop(core);
    if let Some(answer) = closing {
        _ = answer.send(closed.clone());
    }
    closed
}

fn publish<S: Storage>(core: &mut Core<S>, ends: &mut Ends) {
    let (progress, health) = (core.progress(), core.health());
    if let Some(mark) = &mut ends.mark {
        mark.look_after(progress.durable, Instant::now());
        core.set_missed(mark.missed());
    }
    let change = |old: &mut Progress| std::mem::replace(old, progress) != progress;
    ends.progress.send_if_modified(change);
    ends.health.send_if_modified(|old| {
        let is_new = *old != health;
        *old = health;
        is_new
    });
    let stats = core.stats().clone();
    ends.home.keep(stats.live);
    ends.stats.send_replace(stats);
}

/// One turn of the loop that does not wait; whether anything was asked for.
/// Breaks with whoever waits for the end.
#[cfg(test)]
pub(super) fn play<S: Storage>(
    core: &mut Core<S>,
    ends: &mut Ends,
    now: Now,
) -> ControlFlow<Option<Closing>, bool> {
    let mut turn = Turn::default();
    turn.drain(&ends.commands);
    if turn.rooms.is_empty() {
        core.land_first(now);
    }
    let was_asked = !turn.rooms.is_empty();
    turn.work(core, ends, || now)?;
    publish(core, ends);
    ControlFlow::Continue(was_asked)
}

impl Turn {
    /// Waits for something to do, and takes what else is there.
    fn gather<S: Storage>(&mut self, core: &mut Core<S>, ends: &Ends) {
        if core.is_under_way() {
            return self.gather_ahead(core, ends);
        }
        match ends.commands.try_recv() {
            Ok(command) => {
                core.press(true);
                self.take(command);
            }
            Err(TryRecvError::Disconnected) => return self.then = Some(Then::End),
            Err(TryRecvError::Empty) => {
                core.press(false);
                self.wait(core, ends);
            }
        }
        if !self.rooms.is_empty() {
            self.gather_company(core, &ends.commands);
        }
    }

    /// Waits for something to do.
    fn wait<S: Storage>(&mut self, core: &Core<S>, ends: &Ends) {
        let now = Now::read();
        let mark = ends.mark.as_ref();
        let mark = mark.and_then(|mark| mark.due(core.progress().durable, now.at));
        let due = mark.map_or(core.due(now), |due| due.min(core.due(now)));
        match ends
            .commands
            .recv_timeout(due.saturating_duration_since(now.at))
        {
            Ok(command) => self.take(command),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.then = Some(Then::End),
        }
    }

    /// Takes what else is there, or comes soon if that is worth waiting for.
    fn gather_company<S: Storage>(&mut self, core: &Core<S>, commands: &Receiver<Command>) {
        self.drain(commands);
        let Some(hold) = core.hold(self.entries) else {
            return;
        };
        let until = Instant::now() + hold;
        while self.has_room() {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(command) = commands.recv_timeout(left) else {
                return;
            };
            self.take(command);
        }
    }

    /// Takes what comes while syncs are under way, unless one of those is done first.
    fn gather_ahead<S: Storage>(&mut self, core: &mut Core<S>, ends: &Ends) {
        let synced = core.synced().try_recv().ok();
        let synced = synced.or_else(|| {
            select! {
                recv(core.synced()) -> synced => synced.ok(),
                recv(ends.commands) -> command => {
                    if let Ok(command) = command {
                        self.take(command);
                    }
                    None
                }
            }
        });
        match synced {
            Some(synced) => core.land(synced, Now::read()),
            // Nobody is there any more who syncs, or who could ask.
            None if self.rooms.is_empty() => core.come_to_rest(Now::read()),
            None => self.drain(&ends.commands),
        }
    }

    fn drain(&mut self, commands: &Receiver<Command>) {
        while self.has_room() {
            let Ok(command) = commands.try_recv() else {
                return;
            };
            self.take(command);
        }
    }

    /// Does it; breaks with whoever waits for the end.
    fn work<S: Storage>(
        self,
        core: &mut Core<S>,
        ends: &Ends,
        clock: impl Fn() -> Now,
    ) -> ControlFlow<Option<Closing>> {
        let records = self.entries as u64;
        let mut now = clock();
        if !self.jobs.is_empty() {
            core.commit(self.jobs, now);
            now = clock();
            core.note_append(now);
        }
        if self.then.is_some() {
            core.come_to_rest(now);
        }
        match self.then {
            Some(Then::Ask(Ask::Read(ids, answer))) => _ = answer.send(core.read(&ids)),
            Some(Then::Ask(Ask::Compact)) => core.compact(now),
            Some(Then::Ask(Ask::Close(answer))) => return ControlFlow::Break(Some(answer)),
            Some(Then::End) => return ControlFlow::Break(None),
            Some(Then::Ask(Ask::Append(_))) | None => {}
        }
        if !core.is_under_way() {
            core.tick(now);
        }
        ends.forecast.done(records, core.stamp(now));
        ControlFlow::Continue(())
    }

    fn has_room(&self) -> bool {
        let is_full = BATCH_ENTRIES_MAX <= self.entries || BATCH_BYTES_MAX <= self.bytes;
        self.then.is_none() && !is_full
    }

    fn take(&mut self, command: Command) {
        let Command { ask, room } = command;
        self.rooms.push(room);
        match ask {
            Ask::Append(job) => {
                self.entries += job.drafts.entries.len();
                self.bytes += job.drafts.bytes();
                self.jobs.push(job);
            }
            other => self.then = Some(Then::Ask(other)),
        }
    }
}
