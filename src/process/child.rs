//! A running child: how it ends, and how it is made to end.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::time::Instant;

use super::family::{self, Family, Looks};
use super::group::Group;
use super::lease::Lease;
use super::sys;
use super::table::Stat;

/// How long the killed rest of a group or family may take to vanish.
const GONE_PATIENCE: Duration = Duration::from_secs(2);

/// How a child ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Which.
        signal: i32,
        /// Whether the kernel kept an image of its memory.
        core_dumped: bool,
    },
    /// The kernel does not say.
    Unknown,
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit {code}"),
            Self::Signal {
                signal,
                core_dumped,
            } => {
                match Signal::try_from(*signal) {
                    Ok(known) => write!(f, "signal {}", known.as_str().trim_start_matches("SIG"))?,
                    Err(_) => write!(f, "signal {signal}")?,
                }
                f.write_str(if *core_dumped { ", core dumped" } else { "" })
            }
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// Output streams of a child, to be drained from its birth.
#[derive(Debug)]
pub struct Output {
    /// Its standard output.
    pub stdout: pipe::Receiver,
    /// Its standard error.
    pub stderr: pipe::Receiver,
}

/// A child that is not reaped yet; dropping it kills its whole group and those
/// of its descendants that left it.
#[derive(Debug)]
pub struct Child {
    inner: process::Child,
    group: Group,
    family: Family,
    /// Readable once the child has ended.
    ended: OwnedFd,
    reaped: bool,
}

impl Child {
    pub(super) fn watch(mut inner: process::Child, lease: Option<&Lease>) -> io::Result<Self> {
        let pid = inner.id();
        match sys::end_of(pid) {
            Ok(ended) => Ok(Self {
                inner,
                group: Group::led_by(pid),
                family: Family::of(pid, lease),
                ended,
                reaped: false,
            }),
            Err(error) => {
                _ = inner.kill();
                _ = inner.wait();
                family::spawned().remove(&pid);
                Err(error)
            }
        }
    }

    /// Its process id, which is also its group's.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Takes the output streams, once, on the runtime this is called in.
    ///
    /// # Errors
    ///
    /// When they cannot be registered with the runtime.
    pub fn take_output(&mut self) -> io::Result<Option<Output>> {
        let (Some(out), Some(err)) = (self.inner.stdout.take(), self.inner.stderr.take()) else {
            return Ok(None);
        };
        Ok(Some(Output {
            stdout: pipe::Receiver::from_owned_fd(out.into())?,
            stderr: pipe::Receiver::from_owned_fd(err.into())?,
        }))
    }

    /// What tells that the child has ended, on the runtime this is called in.
    ///
    /// # Errors
    ///
    /// When it cannot be registered with the runtime.
    pub fn end(&self) -> io::Result<End> {
        let fd = sys::readable(self.ended.try_clone()?)?;
        Ok(End { fd })
    }

    /// Whether `pid` is a process of its group.
    #[must_use]
    pub fn owns(&self, pid: i32) -> bool {
        let stat = u32::try_from(pid).ok().and_then(Stat::of);
        stat.is_some_and(|stat| stat.group == self.pid().cast_signed())
    }

    /// Asks the whole group to end, with `signal`.
    pub fn terminate(&mut self, signal: Signal) {
        self.family.gather();
        self.signal(signal);
        // A suspended process takes no other signal before it goes on.
        self.signal(Signal::SIGCONT);
    }

    /// Ends the whole group and who left it (SIGKILL).
    pub fn kill(&mut self) {
        self.family.gather();
        self.signal(Signal::SIGKILL);
        self.family.kill();
    }

    fn signal(&self, signal: Signal) {
        if let Err(error) = self.group.signal(signal) {
            tracing::warn!(pid = self.pid(), signal = signal.as_str(), %error, "Failed to signal a process group.");
        }
    }

    /// Reaps a child that has ended, and ends what it left behind, in its group
    /// and out of it.
    ///
    /// Returns those that would not go as well.
    pub async fn reap(mut self) -> (Exit, Vec<u32>) {
        // Nobody is below a zombie any more: there is nobody to gather.
        self.signal(Signal::SIGKILL);
        self.family.kill();
        let exit = self.wait();
        let deadline = Instant::now() + GONE_PATIENCE;
        let mut looks = Looks::default();
        loop {
            let gone = self.family.end();
            if gone && self.group.is_empty() {
                return (exit, Vec::new());
            }
            if deadline <= Instant::now() {
                return (exit, self.left());
            }
            looks.pause().await;
        }
    }

    fn left(&self) -> Vec<u32> {
        let mut left = self.group.members();
        left.extend(self.family.left());
        left.sort_unstable();
        left.dedup();
        left
    }

    fn wait(&mut self) -> Exit {
        self.reaped = true;
        let mut spawned = family::spawned();
        let status = self.inner.wait();
        spawned.remove(&self.inner.id());
        match status {
            Ok(status) => match (status.code(), status.signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, Some(signal)) => Exit::Signal {
                    signal,
                    core_dumped: status.core_dumped(),
                },
                (None, None) => Exit::Unknown,
            },
            Err(_) => Exit::Unknown,
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            self.wait();
        }
    }
}

/// Tells that a child has ended; see [`Child::end`].
#[derive(Debug)]
pub struct End {
    fd: AsyncFd<OwnedFd>,
}

impl End {
    /// Resolves once the child has ended, and stays so.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn reached(&self) {
        while let Ok(mut guard) = self.fd.readable().await {
            if self.is_reached() {
                return;
            }
            guard.clear_ready();
        }
    }

    fn is_reached(&self) -> bool {
        sys::is_readable(self.fd.get_ref())
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::super::spawn::{Spawner, Spec};
    use super::*;

    const KILLED: Exit = Exit::Signal {
        signal: 9,
        core_dumped: false,
    };

    fn shell(script: &str) -> Spec {
        Spec {
            program: "/bin/sh".into(),
            arg0: None,
            args: vec!["-c".into(), script.into()],
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            directory: "/".into(),
            descriptors: Vec::new(),
            lease: None,
        }
    }

    async fn run(script: &str) -> (Exit, Vec<u32>) {
        let child = Spawner::start()
            .unwrap()
            .spawn(shell(script))
            .await
            .unwrap();
        child.end().unwrap().reached().await;
        child.reap().await
    }

    #[tokio::test]
    async fn a_child_ends_with_its_code_or_its_signal() {
        assert_eq!(run("exit 42").await.0, Exit::Code(42));
        assert_eq!(run("kill -9 $$").await.0, KILLED);
        let crash = |core_dumped| Exit::Signal {
            signal: 11,
            core_dumped,
        };
        assert_eq!(crash(false).to_string(), "signal SEGV");
        assert_eq!(crash(true).to_string(), "signal SEGV, core dumped");
    }

    #[tokio::test]
    async fn what_a_child_leaves_behind_in_its_group_is_killed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let script = format!("sleep 1000 & echo $! > {}", file.display());
        let (exit, left) = run(&script).await;
        assert_eq!((exit, left), (Exit::Code(0), Vec::new()));
        let pid = std::fs::read_to_string(file)
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        let state = super::super::table::Stat::of(pid).map(|s| s.state);
        assert!(matches!(state, None | Some('Z')), "{state:?}");
    }

    #[tokio::test]
    async fn a_child_that_ignores_the_request_to_end_is_killed() {
        let spawner = Spawner::start().unwrap();
        let script = "trap '' TERM; echo set; while :; do sleep 1; done";
        let mut child = spawner.spawn(shell(script)).await.unwrap();
        let mut output = child.take_output().unwrap().unwrap();
        output.stdout.read_u8().await.unwrap();
        let end = child.end().unwrap();
        child.terminate(Signal::SIGTERM);
        let early = tokio::time::timeout(Duration::from_millis(50), end.reached()).await;
        assert!(early.is_err());
        child.kill();
        end.reached().await;
        assert_eq!(child.reap().await.0, KILLED);
    }

    #[tokio::test]
    async fn a_child_gets_no_environment_and_no_descriptor_that_is_not_declared() {
        let leak = std::fs::File::open("/dev/null").unwrap();
        nix::fcntl::fcntl(
            &leak,
            nix::fcntl::FcntlArg::F_SETFD(nix::fcntl::FdFlag::empty()),
        )
        .unwrap();
        let spawner = Spawner::start().unwrap();
        let script =
            "for fd in 0 1 2 3 4 5 6 7 8 9; do (: <&$fd) 2>/dev/null && echo $fd; done; env";
        let mut child = spawner.spawn(shell(script)).await.unwrap();
        let mut output = child.take_output().unwrap().unwrap();
        let mut text = String::new();
        output.stdout.read_to_string(&mut text).await.unwrap();
        let names: Vec<&str> = text
            .lines()
            .take_while(|l| l.parse::<u32>().is_ok())
            .collect();
        assert_eq!(names, ["0", "1", "2"]);
        let variables = text
            .lines()
            .filter_map(|l| l.split_once('='))
            .map(|(k, _)| k);
        assert!(
            variables
                .into_iter()
                .all(|k| matches!(k, "PATH" | "PWD" | "_" | "SHLVL" | "OLDPWD"))
        );
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_a_permanent_failure() {
        let spec = Spec {
            program: "/nonexistent/program".into(),
            ..shell("")
        };
        let error = Spawner::start().unwrap().spawn(spec).await.unwrap_err();
        assert!(error.is_permanent(), "{error}");
    }
}
