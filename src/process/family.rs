//! Descendants that left the group of the child they come from.
//!
//! `setsid` leaves a process group, and then no signal to the group is felt.
//! On Linux the supervisor adopts: whoever loses its parent becomes a child of
//! ours and not of init's, so that nobody below us can get away. Such a child
//! is a *stranger*: we did not spawn it, and nobody else reaps it.
//!
//! A stranger belongs to the child whose lease it holds ([`super::lease`]) and
//! ends with it; one that let go of its lease ends with the chain. What we were
//! given when we were started (a shell may `exec` us with children of its own)
//! is nobody's of ours and never signalled.
//!
//! Elsewhere nobody can be adopted: there descendants are found while the
//! child they come from still lives, and not after.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::held::Held;
use super::lease::{self, Lease};
use super::sys;
use super::table::{Table, is_childless};

/// How long after a child's end the strangers are looked at: one that ended
/// too waits that long to be reaped, and many are reaped at once.
const REAP_DELAY: Duration = Duration::from_millis(100);

/// Pauses between looks at those who are being ended.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// Children that were spawned here and are reaped by whoever spawned them.
///
/// A fact of the process, not of a value: the kernel asks nobody who made a
/// child. Locked from before a birth until it is noted, and around a reaping.
static SPAWNED: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// Set once we adopt: the children we had before that.
static GIVEN: OnceLock<BTreeSet<u32>> = OnceLock::new();

/// The children of our own; none is born or reaped while this lives.
pub(super) fn spawned() -> MutexGuard<'static, BTreeSet<u32>> {
    SPAWNED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on whoever loses its parent below us becomes our child. Called
/// once, by a supervisor, before its first child.
///
/// # Errors
///
/// When the kernel refuses; where it cannot, nothing happens.
pub fn adopt() -> std::io::Result<()> {
    let own = std::process::id();
    let given = Table::read().children(own).map(|(pid, _)| pid).collect();
    sys::become_subreaper()?;
    _ = GIVEN.set(given);
    Ok(())
}

/// Whether strangers are ours to reap, and to end when the chain ends: not if
/// other programs' orphans may be among them.
fn may_end_strangers() -> bool {
    GIVEN.get().is_some_and(BTreeSet::is_empty) && std::process::id() != 1
}

/// Reaps strangers that have ended, for as long as it is polled.
///
/// # Errors
///
/// When the system cannot tell that a child has ended.
pub async fn reap_strangers() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut ended = signal(SignalKind::child())?;
    while ended.recv().await.is_some() {
        sleep(REAP_DELAY).await;
        if sys::has_ended_child() {
            bury(&Table::read());
        }
    }
    Ok(())
}

/// Reaps every stranger in `table` that has ended. A naive wait for any child
/// would take the statuses of those we spawned away from whoever waits for
/// them.
fn bury(table: &Table) {
    if GIVEN.get().is_none() || !sys::has_ended_child() {
        return;
    }
    let spawned = spawned();
    let children = table.children(std::process::id());
    for (pid, _) in children.filter(|(pid, s)| s.has_ended() && !spawned.contains(pid)) {
        sys::reap(pid);
    }
}

/// Strangers in `table` and everybody below them, of whom `is_meant` is true
/// for the stranger.
fn strangers(table: &Table, is_meant: impl Fn(u32) -> bool) -> Vec<Held> {
    let Some(given) = GIVEN.get() else {
        return Vec::new();
    };
    let spawned = spawned();
    let is_stranger = |pid: &u32| !given.contains(pid) && !spawned.contains(pid);
    let children = table.children(std::process::id());
    let roots = children.filter(|(pid, s)| !s.has_ended() && is_stranger(pid));
    let mut found = Vec::new();
    for (pid, stat) in roots {
        // Held before it is asked what it is.
        if let Some(held) = Held::seen(pid, stat)
            && is_meant(pid)
        {
            found.push(held);
            let below = table.below(pid).into_iter();
            found.extend(below.filter_map(|(pid, stat)| Held::seen(pid, &stat)));
        }
    }
    found
}

/// Everybody who comes from one child and may not be in its group.
#[derive(Debug)]
pub(super) struct Family {
    root: u32,
    lease: Option<(PathBuf, lease::Mark)>,
    members: Vec<Held>,
}

impl Family {
    /// The family of the child `root`, which holds this lease.
    pub(super) fn of(root: u32, lease: Option<&Lease>) -> Self {
        Self {
            root,
            lease: lease.map(|lease| (lease.path().to_path_buf(), lease.mark())),
            members: Vec::new(),
        }
    }

    /// Notes who is below the child now, while their line to it is whole.
    pub(super) fn gather(&mut self) {
        if is_childless(self.root) {
            return;
        }
        let known: BTreeSet<u32> = self.members.iter().map(Held::pid).collect();
        let below = Table::read().below(self.root).into_iter();
        let new = below.filter(|(pid, stat)| !stat.has_ended() && !known.contains(pid));
        let new = new.filter_map(|(pid, stat)| Held::seen(pid, &stat));
        self.members.extend(new);
    }

    /// Ends everybody who was gathered.
    pub(super) fn kill(&self) {
        kill_all(&self.members);
    }

    /// After the child itself was reaped: ends who is left of its family and
    /// who is found meanwhile; whether nobody is left.
    pub(super) fn end(&mut self) -> bool {
        self.find();
        self.kill();
        self.members.retain(|held| !held.has_ended());
        self.members.is_empty()
    }

    /// Finds who holds the lease. Mostly it is free: then nobody is looked for,
    /// and the end of the child is told without a look at all processes.
    fn find(&mut self) {
        if let Some((path, mark)) = &self.lease
            && !mark.is_free(path)
        {
            let table = Table::read();
            let holders = strangers(&table, |pid| mark.is_held_by(pid));
            self.members.extend(holders);
            bury(&table);
        }
    }

    /// Those who have not ended.
    pub(super) fn left(&self) -> Vec<u32> {
        let left = self.members.iter().filter(|held| !held.has_ended());
        left.map(Held::pid).collect()
    }
}

fn kill_all(members: &[Held]) {
    for held in members.iter().filter(|held| !held.has_ended()) {
        if let Err(error) = held.kill() {
            tracing::warn!(pid = held.pid(), %error, "Failed to end a descendant.");
        }
    }
}

/// Ends every stranger, once all children are gone; returns those that would
/// not end within `patience`.
pub async fn end_strangers(patience: Duration) -> Vec<u32> {
    let deadline = Instant::now() + patience;
    let mut looks = Looks::default();
    // Mostly there is no child left at all, and nobody to look for.
    while may_end_strangers() && sys::has_child() {
        let table = Table::read();
        let left = strangers(&table, |_| true);
        kill_all(&left);
        bury(&table);
        if left.is_empty() {
            break;
        }
        if deadline <= Instant::now() {
            return left.iter().map(Held::pid).collect();
        }
        looks.pause().await;
    }
    Vec::new()
}

/// Pauses between looks: short at first.
pub(super) struct Looks(Duration);

impl Default for Looks {
    fn default() -> Self {
        Self(FIRST_LOOK)
    }
}

impl Looks {
    pub(super) async fn pause(&mut self) {
        sleep(self.0).await;
        self.0 = (self.0 * 2).min(LAST_LOOK);
    }
}
