//! What to say of whoever holds the instance lock and does not answer.

use super::exit::{Exit, Failure};
use super::{shell, typed};
use crate::paths::Paths;
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

/// What was done to a holder that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tried {
    /// It was asked.
    Asking,
    /// It could not even be killed.
    Killing,
}

/// Somebody holds the lock and does not answer.
pub(super) fn unresponsive(
    paths: &Paths,
    who: Option<&Holder>,
    exit: Exit,
    tried: Tried,
) -> Failure {
    let lock = paths.lock_file();
    let fuser = format!("fuser {} names the process that has it", shell::path(&lock));
    let Some(who) = who else {
        let error = format!("unresponsive ({} is held by somebody)", lock.display());
        return Failure::new(exit, error).hint(fuser);
    };
    let pid = who.identity.pid;
    let fate = who.identity.fate();
    let again = "try again in a moment, or ";
    let (what, hint) = match (passing(who), fate) {
        (Some(state), _) => {
            let what = format!("falco is {} and does not answer", state.as_str());
            (what, again.to_owned())
        }
        (None, Fate::Suspended) => {
            let what = "falco is suspended (state T, stopped by a signal)";
            (what.to_owned(), format!("kill -CONT {pid}, or "))
        }
        (None, Fate::Alive) => ("falco is busy or hangs".to_owned(), again.to_owned()),
        (None, Fate::Gone) => {
            let error = format!("unresponsive (lock held, but pid {pid}, which took it, is gone)");
            return Failure::new(exit, error).hint(fuser);
        }
    };
    let last = match (tried, fate) {
        (Tried::Asking, _) => typed::falco(paths, "stop --now"),
        (Tried::Killing, Fate::Gone) => fuser,
        (Tried::Killing, _) => format!("kill -KILL {pid}"),
    };
    Failure::new(
        exit,
        format!("unresponsive (lock held by pid {pid}): {what}"),
    )
    .hint(format!("{hint}{last}"))
}
