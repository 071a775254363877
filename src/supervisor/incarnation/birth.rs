//! How a child comes to life, and what it inherits.

use std::error::Error;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use tokio::net::unix::pipe;

use super::super::advised::Advised;
use super::super::chain::Ending;
use super::super::part::{Alive, AliveBy, Launch, ReadyBy, Tie};
use super::super::sidecar::StopSignal;
use crate::net::unix::{Notices, NoticesError};
use crate::process::capture::{Journal, Log};
use crate::process::child::Child;
use crate::process::guard;
use crate::process::inherited::{LIFELINE_FD, READY_FD, SECRETS_FD};
use crate::process::spawn::{SpawnError, Spawner};

/// What a child of ours is started with, besides its [`Launch`].
pub(in crate::supervisor) struct Birth {
    pub(in crate::supervisor) spawner: Spawner,
    pub(in crate::supervisor) log: Log,
    pub(in crate::supervisor) journal: Journal,
    pub(in crate::supervisor) tie: Tie,
    /// The read end of the lifeline, unless only the kernel ties it to us.
    pub(in crate::supervisor) lifeline: Option<OwnedFd>,
    pub(in crate::supervisor) ready: ReadyBy,
    pub(in crate::supervisor) alive: Option<Alive>,
    pub(in crate::supervisor) stop_signal: StopSignal,
    /// Where it may say how it is.
    pub(in crate::supervisor) notices: Option<PathBuf>,
}

/// What a child says of itself beside its output.
#[derive(Default)]
pub(super) struct Ears {
    /// The read end of its readiness pipe.
    pub(super) ready: Option<pipe::Receiver>,
    pub(super) notices: Option<Notices>,
}

/// There is nothing to hear a child through.
#[derive(Debug, thiserror::Error)]
#[error("failed to make pipes")]
struct PipesError(#[source] io::Error);

pub(super) async fn start(mut launch: Launch, birth: &Birth) -> Result<(Child, Ears), Ending> {
    let broken = |error: &(dyn Error + 'static)| Ending::CannotStart {
        error: Advised(error).to_string(),
        permanent: false,
    };
    let pipes = |source| broken(&PipesError(source));
    let ears = Ears {
        ready: declare(&mut launch, birth).map_err(pipes)?,
        notices: listen(&mut launch, birth).map_err(|e| broken(&e))?,
    };
    if let Some(before) = launch.before.take() {
        before.await;
    }
    let cannot = |error: SpawnError| Ending::CannotStart {
        permanent: error.is_permanent(),
        error: Advised(&error).to_string(),
    };
    let spec = match (&birth.tie, &birth.lifeline) {
        (Tie::Guard(falco), Some(lifeline)) => {
            let lifeline = lifeline.try_clone().map_err(pipes)?;
            guard::around(launch.spec, falco, lifeline).map_err(cannot)?
        }
        _ => launch.spec,
    };
    let child = birth.spawner.spawn(spec).await.map_err(cannot)?;
    Ok((child, ears))
}

/// Adds the descriptors that a child inherits, most of them only a program of
/// ours; returns the read end of its readiness pipe.
fn declare(launch: &mut Launch, birth: &Birth) -> io::Result<Option<pipe::Receiver>> {
    let is_ours = birth.tie == Tie::Lifeline;
    if !is_ours && !matches!(birth.ready, ReadyBy::Descriptor) {
        return Ok(None);
    }
    let (ready_read, ready_write) = io::pipe()?;
    let descriptors = &mut launch.spec.descriptors;
    descriptors.push((READY_FD, ready_write.into()));
    if let Some(lifeline) = birth.lifeline.as_ref().filter(|_| is_ours) {
        descriptors.push((LIFELINE_FD, lifeline.try_clone()?));
    }
    if let Some(secrets) = launch.secrets.take() {
        let (read, mut write) = io::pipe()?;
        // Fits into the pipe's buffer: nobody reads yet.
        io::Write::write_all(&mut write, secrets.as_bytes())?;
        descriptors.push((SECRETS_FD, read.into()));
    }
    pipe::Receiver::from_owned_fd(ready_read.into()).map(Some)
}

/// Listens where the child may say how it is, and tells it where.
fn listen(launch: &mut Launch, birth: &Birth) -> Result<Option<Notices>, NoticesError> {
    let Some(path) = &birth.notices else {
        return Ok(None);
    };
    let notices = Notices::bind(path)?;
    let env = &mut launch.spec.env;
    env.push(("NOTIFY_SOCKET".into(), path.into()));
    if let Some(Alive {
        by: AliveBy::Watchdog { within },
        ..
    }) = &birth.alive
    {
        let micros = within.as_micros().to_string();
        env.push(("WATCHDOG_USEC".into(), micros.into()));
    }
    Ok(Some(notices))
}
