//! What to say of whoever holds the instance lock and does not answer.

use std::path::Path;

use super::exit::{Exit, Failure};
use crate::process::identity::Fate;
use crate::protocol::control::ChainState;
use crate::supervisor::instance::{Holder, LockError, Phase};

/// The lock cannot even be asked for.
pub(super) fn lock_failure(error: &LockError) -> Failure {
    let exit = if error.is_permission() {
        Exit::Permission
    } else {
        Exit::CannotCreate
    };
    Failure::of(exit, error)
}

/// What `who` is about if it wrote that it need not answer just now.
///
/// One that is gone may have handed the lock on to a supervisor that has not
/// written yet, or may have ended a moment before the kernel takes the lock
/// back: a process counts as ended before all its descriptors are closed.
pub(super) fn passing(who: &Holder) -> Option<ChainState> {
    match (who.phase, who.identity.fate()) {
        (Phase::Up, _) | (_, Fate::Suspended) | (Phase::Starting, Fate::Gone) => None,
        (Phase::Launching | Phase::Starting, _) => Some(ChainState::Starting),
        (Phase::Stopping, _) => Some(ChainState::Stopping),
    }
}

/// Somebody holds the lock and does not answer.
pub(super) fn unresponsive(lock: &Path, who: Option<&Holder>, exit: Exit) -> Failure {
    let Some(who) = who else {
        let error = format!("somebody holds {} and does not answer", lock.display());
        return Failure::new(exit, error)
            .hint(format!("fuser {} names the process", lock.display()));
    };
    let pid = who.identity.pid;
    if let Some(state) = passing(who) {
        let error = format!("falco is {} and does not answer", state.as_str());
        return Failure::new(exit, error).hint("try again in a moment, or falco stop --now");
    }
    match who.identity.fate() {
        Fate::Suspended => Failure::new(
            exit,
            format!(
                "pid {pid} holds the lock but did not answer: falco is suspended (state T, stopped by a signal)"
            ),
        )
        .hint(format!("kill -CONT {pid}, or falco stop --now")),
        Fate::Alive => Failure::new(
            exit,
            format!("pid {pid} holds the lock but did not answer: falco is busy or hangs"),
        )
        .hint("try again in a moment, or falco stop --now"),
        Fate::Gone => Failure::new(
            exit,
            format!("the lock is held, but pid {pid}, which took it last, is gone"),
        )
        .hint(format!(
            "fuser {} names the process that has it",
            lock.display()
        )),
    }
}
