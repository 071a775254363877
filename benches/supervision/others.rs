//! Other supervisors, each with one child that says when it is born.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::stat::Mode;
use tempfile::TempDir;

use crate::lines::{Lines, kill, memory};

#[derive(Clone, Copy, PartialEq)]
pub enum Kind {
    S6,
    Supervisord,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::S6 => "s6",
            Self::Supervisord => "supervisord",
        }
    }

    pub fn is_installed(self) -> bool {
        let program = match self {
            Self::S6 => "s6-svscan",
            Self::Supervisord => "supervisord",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).any(|dir| dir.join(program).exists())
    }

    /// Writes what it is to run; returns how it is started.
    fn prepare(self, dir: &Path, child: &Path) -> Command {
        let (dir_name, child) = (dir.display(), child.display());
        match self {
            Self::S6 => {
                let service = dir.join("scan/child");
                fs::create_dir_all(&service).unwrap();
                script(&service.join("run"), &format!("exec {child}"));
                command("s6-svscan", &[&format!("{dir_name}/scan")])
            }
            Self::Supervisord => {
                let conf = format!(
                    "[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile={dir_name}/pid\nuser=root\n\
                     [unix_http_server]\nfile={dir_name}/sock\n\
                     [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
                     [supervisorctl]\nserverurl=unix://{dir_name}/sock\n\
                     [program:child]\ncommand={child}\nautorestart=true\nstartsecs=0\n"
                );
                fs::write(dir.join("conf"), conf).unwrap();
                command("supervisord", &["-c", &format!("{dir_name}/conf")])
            }
        }
    }

    /// What asks it to stop everything, itself too.
    fn stop(self, dir: &Path) -> Command {
        let dir = dir.display();
        match self {
            Self::S6 => command("s6-svscanctl", &["-t", &format!("{dir}/scan")]),
            Self::Supervisord => {
                command("supervisorctl", &["-c", &format!("{dir}/conf"), "shutdown"])
            }
        }
    }
}

fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

pub struct Other {
    kind: Kind,
    dir: TempDir,
    supervisor: Child,
    /// What it says, where it says something of deaths.
    said: Lines,
    births: Lines,
    child: u32,
}

impl Other {
    pub fn start(kind: Kind) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (fifo, child) = (dir.path().join("births"), dir.path().join("child"));
        nix::unistd::mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let text = format!("echo $$ > {}\nexec sleep 1000", fifo.display());
        script(&child, &text);
        // Open for both, so that it never ends.
        let births = fs::File::options().read(true).write(true).open(&fifo);
        let births = Lines::of(births.unwrap());
        let mut command = kind.prepare(dir.path(), &child);
        let mut supervisor = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = Lines::of(supervisor.stdout.take().unwrap());
        let child = born(&births).1;
        Self {
            kind,
            dir,
            supervisor,
            said,
            births,
            child,
        }
    }

    pub fn memory(&self) -> (u64, u64) {
        let mut all = memory(self.supervisor.id());
        if self.kind == Kind::S6 {
            // One process more for each child.
            let (resident, proportional) = memory(parent_of(self.child));
            all = (all.0 + resident, all.1 + proportional);
        }
        all
    }

    /// Kills the child; when that is told, and when the next one runs.
    pub fn kill_child(&mut self) -> (Duration, Duration) {
        self.said.forget();
        let waiter = (self.kind == Kind::S6).then(|| self.wait_for_death());
        let killed = kill(self.child);
        let noticed = match self.kind {
            Kind::S6 => {
                waiter.unwrap().wait().unwrap();
                killed.elapsed()
            }
            Kind::Supervisord => self.said.next_with(&["exited: child"]).0 - killed,
        };
        let (at, child) = born(&self.births);
        self.child = child;
        (noticed, at - killed)
    }

    /// Ends when s6 says that the child is down.
    fn wait_for_death(&self) -> Child {
        let service = self.dir.path().join("scan/child");
        let waiter = command("s6-svwait", &["-d", service.to_str().unwrap()]).spawn();
        std::thread::sleep(Duration::from_millis(50));
        waiter.unwrap()
    }

    /// From the request until the supervisor is gone.
    pub fn stop(mut self) -> Duration {
        let began = Instant::now();
        let asked = self.kind.stop(self.dir.path()).status().unwrap();
        assert!(asked.success(), "{} does not stop", self.kind.name());
        self.supervisor.wait().unwrap();
        began.elapsed()
    }
}

fn born(births: &Lines) -> (Instant, u32) {
    let (at, pid) = births.next_with(&[]);
    (at, pid.trim().parse().unwrap())
}

fn parent_of(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1;
    fields.split_whitespace().nth(1).unwrap().parse().unwrap()
}
