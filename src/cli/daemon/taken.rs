//! What a former chain, or a stranger, has still.

use std::time::{Duration, Instant};

use crate::cli::exit::{Exit, Failure};
use crate::net::unix::{BindError, Peer};
use crate::process::identity::is_ending;
use crate::process::lease::LeaseError;

/// How long the children of a killed supervisor may take to be gone, and how
/// often that is looked at.
const DYING_PATIENCE: Duration = Duration::from_secs(1);
const DYING_LOOK: Duration = Duration::from_millis(10);

/// Somebody of a former chain is there and would not, or must not, be ended; or
/// nobody could look.
pub(in crate::cli) fn still_held(error: &LeaseError) -> Failure {
    match error {
        LeaseError::Held { .. } => Failure::of(Exit::CannotCreate, error)
            .hint("a process of a former chain is left: end it, then try again"),
        LeaseError::Open { source, .. } | LeaseError::Lock { source, .. } => {
            Failure::of(Exit::of_call(source, Exit::CannotCreate), error)
        }
    }
}

/// Does `attempt` again while the path is in use by somebody who is ending: a
/// supervisor that was killed and its children go, but its lock is free a moment
/// before all they had is.
pub(in crate::cli) fn once_free<T>(
    attempt: impl Fn() -> Result<T, BindError>,
) -> Result<T, Failure> {
    let deadline = Instant::now() + DYING_PATIENCE;
    loop {
        match attempt() {
            Err(BindError::InUse { peer, .. }) if is_passing(peer) && Instant::now() < deadline => {
                std::thread::sleep(DYING_LOOK);
            }
            done => return done.map_err(|e| cannot_bind(&e)),
        }
    }
}

/// Whether who listens is ending; where nobody tells who it is, it may be.
fn is_passing(peer: Option<Peer>) -> bool {
    let pid = peer.and_then(|peer| u32::try_from(peer.pid).ok());
    pid.is_none_or(is_ending)
}

fn cannot_bind(error: &BindError) -> Failure {
    let failure = Failure::of(Exit::CannotCreate, error);
    match error {
        BindError::InUse { .. } => {
            failure.hint("stop that program (a falco: falco stop), or choose another --base-dir")
        }
        BindError::NotASocket { .. } => failure.hint("it was left alone"),
        BindError::Io { doing: "probe", .. } => {
            failure.hint("it may be a socket of another kind; it was left alone, move it away")
        }
        _ => failure,
    }
}
