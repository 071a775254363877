//! Spawning: what a child gets, and the thread that makes it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{self, Command, Stdio};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::child::Child;
use super::family;
use super::identity::Identity;
use super::lease::{LEASE_FD, Lease, LeaseError};
use super::sys;

/// Children that may be in the queue; whoever comes then waits for a place.
const JOBS_MAX: usize = 64;

/// How often a daemon that is about to end is looked at.
const END_LOOK: Duration = Duration::from_millis(1);

/// Everything a child is given; what is not in here it does not get.
#[derive(Debug)]
pub struct Spec {
    /// The executable.
    pub program: PathBuf,
    /// The name it is called by, if not its own.
    pub arg0: Option<OsString>,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Its working directory.
    pub directory: PathBuf,
    /// Descriptors it inherits, each with the variable that names it.
    pub descriptors: Vec<(&'static str, OwnedFd)>,
    /// The file of the lease that it and its descendants are to hold.
    pub lease: Option<PathBuf>,
}

/// Why there is no child.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// The program cannot be run.
    #[error("failed to run {}", program.display())]
    Exec {
        /// The executable.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The child ran and could not be watched; it was killed.
    #[error("failed to watch {}", program.display())]
    Watch {
        /// The executable.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Somebody of its last life is still there, or it cannot be found out.
    #[error("failed to take the lease of {}", program.display())]
    Lease {
        /// The executable.
        program: PathBuf,
        /// Why not.
        source: LeaseError,
    },
    /// The spawner thread is gone.
    #[error("the spawner is not running")]
    Spawner,
}

impl SpawnError {
    /// Whether trying again cannot help: the program is not there or is none.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied};
        let Self::Exec { source, .. } = self else {
            return false;
        };
        matches!(source.kind(), NotFound | PermissionDenied | InvalidInput)
            || source.raw_os_error() == Some(nix::libc::ENOEXEC)
    }
}

struct Job {
    spec: Spec,
    done: oneshot::Sender<Result<Child, SpawnError>>,
}

/// Handle to the thread that spawns children; it lives as long as the program,
/// because children die with the thread that made them.
#[derive(Debug, Clone)]
pub struct Spawner {
    jobs: mpsc::Sender<Job>,
}

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn start() -> io::Result<Self> {
        let (jobs, mut queue) = mpsc::channel::<Job>(JOBS_MAX);
        let work = move || {
            while let Some(Job { spec, done }) = queue.blocking_recv() {
                // A child nobody waits for any more is killed by its drop.
                drop(done.send(spawn(spec)));
            }
            // All handles are gone; the children may not be.
            loop {
                std::thread::park();
            }
        };
        std::thread::Builder::new()
            .name("spawner".into())
            .spawn(work)?;
        Ok(Self { jobs })
    }

    /// Spawns a child in a session and group of its own.
    ///
    /// # Errors
    ///
    /// See [`SpawnError`]; nothing runs then.
    pub async fn spawn(&self, spec: Spec) -> Result<Child, SpawnError> {
        let (done, child) = oneshot::channel();
        let job = Job { spec, done };
        let sent = self.jobs.send(job).await;
        sent.map_err(|_| SpawnError::Spawner)?;
        child.await.map_err(|_| SpawnError::Spawner)?
    }
}

fn spawn(mut spec: Spec) -> Result<Child, SpawnError> {
    let program = spec.program.clone();
    let lease = take_lease(&mut spec)?;
    let mut command = command(&spec);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    sys::isolate(&mut command, inherited(&spec), true);
    // Nobody may take a newborn for a stranger.
    let mut spawned = family::spawned();
    let child = command.spawn().map_err(|source| SpawnError::Exec {
        program: program.clone(),
        source,
    })?;
    spawned.insert(child.id());
    drop(spawned);
    // Our copies of what the child inherited: while we held a pipe's end, its
    // other side would never see end of file.
    drop(spec);
    if let Some(lease) = &lease
        && let Err(error) = lease.record(Identity::of(child.id()))
    {
        tracing::warn!(%error, "Failed to write whose lease it is.");
    }
    Child::watch(child, lease.as_ref()).map_err(|source| SpawnError::Watch { program, source })
}

/// Takes the lease and adds it to what is inherited.
fn take_lease(spec: &mut Spec) -> Result<Option<Lease>, SpawnError> {
    let Some(path) = &spec.lease else {
        return Ok(None);
    };
    let cannot = |source| SpawnError::Lease {
        program: spec.program.clone(),
        source,
    };
    let (lease, ended) = Lease::take(path).map_err(cannot)?;
    if !ended.is_empty() {
        tracing::warn!(lease = %path.display(), pids = ?ended, "Ended what was left of the last life.");
    }
    let fd = lease.share().map_err(|source| {
        cannot(LeaseError::Open {
            path: path.clone(),
            source,
        })
    })?;
    spec.descriptors.push((LEASE_FD, fd));
    Ok(Some(lease))
}

fn inherited(spec: &Spec) -> Vec<RawFd> {
    let fds = spec.descriptors.iter();
    fds.map(|(_, fd)| fd.as_raw_fd()).collect()
}

fn command(spec: &Spec) -> Command {
    let mut command = Command::new(&spec.program);
    if let Some(name) = &spec.arg0 {
        command.arg0(name);
    }
    command
        .args(&spec.args)
        .env_clear()
        .current_dir(&spec.directory);
    command.envs(spec.env.iter().map(|(k, v)| (k, v)));
    for (variable, fd) in &spec.descriptors {
        command.env(variable, fd.as_raw_fd().to_string());
    }
    command
}

/// Starts `spec` as a daemon: a session of its own, no standard streams but
/// `stderr`, not tied to our life and not watched.
///
/// # Errors
///
/// When the program cannot be run.
pub fn detach(spec: &Spec, stderr: OwnedFd) -> Result<Detached, SpawnError> {
    let mut command = command(spec);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    sys::isolate(&mut command, inherited(spec), false);
    let child = command.spawn().map_err(|source| SpawnError::Exec {
        program: spec.program.clone(),
        source,
    })?;
    Ok(Detached { child })
}

/// A daemon that was started; it goes on when this is dropped.
#[derive(Debug)]
pub struct Detached {
    child: process::Child,
}

impl Detached {
    /// Which process it is; `None` if the system does not say.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        Identity::of(self.child.id())
    }

    /// Kills a daemon that does not answer. It is our child and not reaped: its
    /// pid is nobody else's.
    pub fn kill(&mut self) {
        _ = self.child.kill();
    }

    /// Waits up to `patience` for a daemon that has said that it ends; whether
    /// it has ended.
    pub async fn ended(&mut self, patience: Duration) -> bool {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return true;
            }
            tokio::time::sleep(END_LOOK).await;
        }
        false
    }

    /// The signal that has ended it, if one has; a crash of its own is none.
    pub fn killed_by(&mut self) -> Option<i32> {
        let status = self.child.try_wait().ok()??;
        let signal = status.signal()?;
        let from_outside = [nix::libc::SIGKILL, nix::libc::SIGTERM];
        from_outside.contains(&signal).then_some(signal)
    }
}

#[cfg(test)]
mod tests;
