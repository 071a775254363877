//! Points at which a test has a process killed, as a crash would.
//!
//! Compiled in with the feature `failpoints` only; without it [`reach`] is
//! nothing. A test arms one point of all the processes it starts with
//! `FALCO_FAILPOINT=POINT:COUNT:DIRECTORY`: whoever reaches the point for the
//! COUNTth time takes one file out of the directory and, if there was one, is
//! gone without another instruction. So there are as many crashes as there are
//! files, in whichever process, and none that the test did not ask for.
//!
//! A test that is a daemon arms its own process.

/// Where a process may be killed, by what it has just done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Falco: handed effects of a daemon to the dispatcher.
    EffectsTaken,
    /// Falco: noted which effects a batch holds, or that it was accepted.
    MemoWritten,
    /// Falco: put a request on the connection to the transport.
    RequestFed,
    /// Falco: read that the transport published, and told nobody.
    AnswerRead,
    /// Falco: wrote acks to a daemon.
    AcksWritten,
    /// Falco: wrote records to its journal, and synced nothing.
    JournalWritten,
    /// Falco: synced its journal, and told nobody.
    JournalSynced,
    /// Falco: wrote to its journal what was published.
    DoneWritten,
    /// Falco: wrote to its journal what was given up, or what an operator wants.
    DecisionWritten,
    /// Falco: synced that, and told nobody.
    DecisionSynced,
    /// Falco: began a segment of its journal, and knows nothing of it yet.
    SegmentBegun,
    /// Falco: copied what is needed of a segment, and synced the copies.
    CopiesSynced,
    /// Falco: removed a segment that nobody needs.
    SegmentRemoved,
    /// Falco: handed lines of its inbox to the dispatcher.
    InboxOffered,
    /// Falco: recorded lines of its inbox, and how far it has come.
    InboxNoted,
    /// Transport: read a request.
    RequestRead,
    /// Transport: put a publish on the connection to Ably.
    PublishFed,
    /// Transport: read that Ably accepted, and told nobody.
    AckRead,
    /// Transport: wrote answers to Falco.
    AnswersWritten,
    /// Daemon: read effects from the outbox in its database, and handed over none.
    #[cfg(feature = "sqlite")]
    RowsRead,
    /// Daemon: wrote effects to Falco.
    EffectsWritten,
    /// Daemon: read acks, and told nobody.
    AcksRead,
    /// Daemon: deleted from its outbox what is published.
    #[cfg(feature = "sqlite")]
    RowsDeleted,
}

/// Kills the process if a test asked for it here.
#[cfg(not(feature = "failpoints"))]
#[inline(always)]
pub fn reach(_: Point) {}

#[cfg(feature = "failpoints")]
pub use armed::{arm, reach};

#[cfg(feature = "failpoints")]
mod armed {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::Point;

    struct Armed {
        point: String,
        count: u32,
        kills: PathBuf,
        reached: AtomicU32,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    /// Arms the point that `spec` names: `POINT:COUNT:DIRECTORY`.
    pub fn arm(spec: &str) {
        let mut parts = spec.splitn(3, ':');
        let mut part = || parts.next().unwrap_or_default().to_owned();
        let armed = Armed {
            point: part(),
            count: part().parse().unwrap_or(1),
            kills: part().into(),
            reached: AtomicU32::new(0),
        };
        _ = ARMED.set(armed);
    }

    /// Kills the process if a test asked for it here.
    pub fn reach(point: Point) {
        let Some(armed) = ARMED.get() else { return };
        if armed.point != format!("{point:?}") {
            return;
        }
        let reached = armed.reached.fetch_add(1, Ordering::Relaxed) + 1;
        if reached == armed.count && takes_one_of(&armed.kills) {
            // Nothing may run after this, no destructor and no handler.
            _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL);
        }
    }

    /// Whoever removes a file has it; two processes never have the same.
    fn takes_one_of(dir: &Path) -> bool {
        let files = fs::read_dir(dir).into_iter().flatten().flatten();
        files
            .into_iter()
            .any(|file| fs::remove_file(file.path()).is_ok())
    }
}
