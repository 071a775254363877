//! Guards: they end a program of others when its supervisor is gone.
//!
//! A program of ours holds a lifeline; one of others knows nothing of it, and
//! only Linux kills a child with its parent, and there only the child itself. So
//! such a program is started through a guard, `falco __guard -- program…`:
//!
//! ```text
//! supervisor ──spawns──▶ ward: falco __guard ──────exec──▶ the program, under the same pid
//!      │                   └─ forks away ─▶ guard: a session of its own, nobody's child
//!      └──────── lifeline ─────────────────▶   watches the lifeline and the ward
//! ```
//!
//! The program is what it would be without: child of the supervisor, leader of
//! its session and group, with its own pid, descriptors, exit code and signals.
//! The guard stands beside it, asleep. It is no child of the program, which may
//! wait for any child; and in another group, which may be stopped or killed.
//!
//! ```text
//! ward ended ──▶ wait until its group is empty ──▶ go
//!      │                    │ lifeline lost
//! lifeline lost ────────────┴──▶ TERM to the group ──grace──▶ KILL to it and to who left it ──▶ go
//! ```
//!
//! Holds no lease, no pipe and no directory of the program. A group is signalled
//! only while its number cannot mean another one: while the ward lives, or a
//! member of it that was seen then.

use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::group::Group;
use super::held::Held;
use super::inherited::LIFELINE_FD;
use super::spawn::{SpawnError, Spec};
use super::sys;
use super::table::{Stat, Table};

/// The verb of the program that guards.
pub const VERB: &str = "__guard";

/// How long a program may take to end when asked: nobody is left to wait for it
/// but the next start.
const GRACE: Duration = Duration::from_millis(500);

/// How long the killed may take to vanish.
const GONE_PATIENCE: Duration = Duration::from_secs(2);

/// Pauses between looks at those who are to end.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(50);

/// `spec` with a guard: `falco` is this program, and `lifeline` the read end of
/// a pipe that only the supervisor holds open.
///
/// # Errors
///
/// When the program cannot be run: it would be the guard's to say otherwise.
pub fn around(mut spec: Spec, falco: &Path, lifeline: OwnedFd) -> Result<Spec, SpawnError> {
    check(&spec.program).map_err(|source| SpawnError::Exec {
        program: spec.program.clone(),
        source,
    })?;
    let mut args = vec![VERB.into(), "--".into()];
    args.push(std::mem::replace(&mut spec.program, falco.to_path_buf()).into());
    args.append(&mut spec.args);
    spec.args = args;
    spec.descriptors.push((LIFELINE_FD, lifeline));
    Ok(spec)
}

fn check(program: &Path) -> io::Result<()> {
    if std::fs::metadata(program)?.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(nix::unistd::access(
        program,
        nix::unistd::AccessFlags::X_OK,
    )?)
}

/// Starts a guard over this process, and returns when it watches.
///
/// To be called while there is one thread, and with nothing to lose: what
/// became of the guard is a fork of this process.
///
/// # Errors
///
/// When the system has no process or pipe to give, or the guard could not watch.
pub fn stand(lifeline: OwnedFd) -> io::Result<()> {
    let ward = std::process::id();
    let (mut watched, watching) = io::pipe()?;
    sys::orphan(move || keep(ward, lifeline, watching))?;
    watched.read_exact(&mut [0])?;
    // From now on its end is the guard's to bring about, and in its own time.
    sys::outlive_parent()
}

/// The life of a guard.
fn keep(ward: u32, lifeline: OwnedFd, mut watching: PipeWriter) {
    // The ward waits to be watched: its pid is still its own.
    let Ok(ended) = sys::end_of(ward) else {
        return;
    };
    let needed = [&lifeline, &ended].map(AsRawFd::as_raw_fd);
    let watch = Watch {
        ward,
        group: Group::led_by(ward),
        ended,
        lifeline,
        seen: Vec::new(),
    };
    if watching.write_all(&[1]).is_err() {
        return;
    }
    drop(watching);
    sys::let_go(&needed);
    watch.keep();
}

/// What a guard knows.
struct Watch {
    ward: u32,
    group: Group,
    /// Readable once the ward has ended.
    ended: OwnedFd,
    /// Readable once the supervisor is gone.
    lifeline: OwnedFd,
    /// Members of the group, and who left it, as of the last look.
    seen: Vec<Held>,
}

impl Watch {
    fn keep(mut self) {
        self.wait(PollTimeout::NONE);
        let mut pause = FIRST_LOOK;
        while !sys::is_readable(&self.lifeline) {
            // The ward has ended: the supervisor ends the rest.
            self.look();
            if self.is_over() {
                return;
            }
            self.wait_for_supervisor(pause);
            pause = (pause * 2).min(LAST_LOOK);
        }
        self.end();
    }

    /// Until the ward has ended or the supervisor is gone.
    fn wait(&self, timeout: PollTimeout) {
        let mut both =
            [&self.lifeline, &self.ended].map(|fd| PollFd::new(fd.as_fd(), PollFlags::POLLIN));
        while poll(&mut both, timeout) == Err(nix::errno::Errno::EINTR) {}
    }

    fn wait_for_supervisor(&self, pause: Duration) {
        let mut one = [PollFd::new(self.lifeline.as_fd(), PollFlags::POLLIN)];
        let pause = PollTimeout::try_from(pause).unwrap_or(PollTimeout::ZERO);
        _ = poll(&mut one, pause);
    }

    /// Ends the group, and who left it.
    fn end(&mut self) {
        self.look();
        if self.owns_group() {
            _ = self.group.signal(Signal::SIGTERM);
            // A suspended process takes no other signal before it goes on.
            _ = self.group.signal(Signal::SIGCONT);
        }
        if self.is_over_within(GRACE, |_| {}) {
            return;
        }
        self.is_over_within(GONE_PATIENCE, Self::kill);
    }

    fn is_over_within(&mut self, patience: Duration, urge: impl Fn(&Self)) -> bool {
        let deadline = Instant::now() + patience;
        let mut pause = FIRST_LOOK;
        loop {
            urge(self);
            if self.is_over() {
                return true;
            }
            if deadline <= Instant::now() {
                return false;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(LAST_LOOK);
            self.look();
        }
    }

    fn kill(&self) {
        if self.owns_group() {
            _ = self.group.signal(Signal::SIGKILL);
        }
        for held in &self.seen {
            // One that has ended meanwhile is what is wanted.
            _ = held.kill();
        }
    }

    /// Whether nobody is left of those who were seen.
    fn is_over(&self) -> bool {
        sys::is_readable(&self.ended) && self.seen.iter().all(Held::has_ended)
    }

    /// Whether the number of the group still means this one: a group that is
    /// not empty keeps its number.
    fn owns_group(&self) -> bool {
        let member = |held: &Held| {
            let stat = Stat::of(held.pid()).filter(|stat| stat.group == self.ward.cast_signed());
            stat.is_some() && !held.has_ended()
        };
        !sys::is_readable(&self.ended) || self.seen.iter().any(member)
    }

    /// Notes who is there now.
    fn look(&mut self) {
        self.seen.retain(|held| !held.has_ended());
        let table = Table::read();
        let mut found: Vec<(u32, Stat)> = Vec::new();
        let roots = self.seen.iter().map(Held::pid);
        let ward = (!sys::is_readable(&self.ended)).then_some(self.ward);
        for root in roots.chain(ward) {
            found.extend(table.below(root));
        }
        // Nobody was seen yet: the ward has ended just now, if it has.
        if self.owns_group() || self.seen.is_empty() {
            let group = self.ward.cast_signed();
            let members = table.living().filter(|(_, stat)| stat.group == group);
            found.extend(members.map(|(pid, stat)| (pid, *stat)));
        }
        for (pid, stat) in found {
            let known = pid == self.ward || self.seen.iter().any(|held| held.pid() == pid);
            if !known && !stat.has_ended() {
                self.seen.extend(Held::seen(pid, &stat));
            }
        }
    }
}
