//! Between the launcher that takes the lock and the supervisor it is for: at no
//! moment is the lock somebody's whom nobody can name and end.

use std::fs;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::base::{Base, eventually};

/// A part that is never ready keeps a start going.
const NEVER: &str = r#"
[[sidecar]]
name = "never"
required = true
command = "sleep"
args = ["100"]
readiness = { line = "never", within = "60s" }
"#;

/// How often a moment is tried to be met.
const TRIES: u32 = 100;

/// A start that stands still while it is being launched.
struct Launch {
    base: Base,
    up: Child,
}

impl Launch {
    /// Suspends whom `choose` makes of the launcher, and is content if that was
    /// before the supervisor has written itself into the lock.
    fn stopped_at(choose: impl Fn(&mut Child) -> Option<u32>) -> Self {
        for _ in 0..TRIES {
            let base = Base::new();
            let mut command = base.falco(&["up", "--timeout", "30"]);
            command.stdout(Stdio::null()).stderr(Stdio::null());
            let mut up = command.spawn().unwrap();
            let Some(pid) = choose(&mut up) else {
                up.wait().unwrap();
                continue;
            };
            send(pid, Signal::SIGSTOP);
            let launch = Self { base, up };
            if launch.holder()["phase"] == "launching" {
                return launch;
            }
            send(pid, Signal::SIGCONT);
            launch.end();
        }
        panic!("the moment was never met");
    }

    fn holder(&self) -> Value {
        let text = fs::read_to_string(self.base.dir().join("falco.lock")).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_default()
    }

    fn end(mut self) {
        let said = self.base.run(&["stop", "--now"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        self.up.wait().unwrap();
    }
}

fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.cast_signed()), signal).unwrap();
}

/// The supervisor of a launcher, from its first moment on.
fn newborn(up: &mut Child) -> Option<u32> {
    let children = format!("/proc/{0}/task/{0}/children", up.id());
    loop {
        let text = fs::read_to_string(&children).ok()?;
        if let Some(pid) = text.split_whitespace().next() {
            return pid.parse().ok();
        }
        if up.try_wait().unwrap().is_some() {
            return None;
        }
    }
}

#[test]
fn a_supervisor_suspended_before_its_first_word_is_ended_by_stop_now() {
    for _ in 0..3 {
        let mut launch = Launch::stopped_at(newborn);
        let said = launch.base.run(&["stop"]);
        assert_eq!(said.code, 4, "{}", said.stderr);
        assert!(said.stderr.contains("falco stop --now"), "{}", said.stderr);
        let said = launch.base.run(&["stop", "--now"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        assert!(!launch.up.wait().unwrap().success());
        launch.base.assert_nothing_left();
        launch.base.up();
    }
}

#[test]
fn a_launcher_that_is_suspended_is_ended_and_so_is_who_has_the_lock_from_it() {
    let mut launch = Launch::stopped_at(|up| {
        newborn(up)?;
        Some(up.id())
    });
    let said = launch.base.run(&["stop", "--now"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    // It stands still, or is gone.
    _ = kill(Pid::from_raw(launch.up.id().cast_signed()), Signal::SIGCONT);
    assert!(!launch.up.wait().unwrap().success());
    eventually("everybody is gone", || launch.base.processes().is_empty());
    launch.base.assert_nothing_left();
    launch.base.up();
}

/// A start that will not come to an end, and its supervisor.
fn endless(base: &Base) -> (Child, u32) {
    base.make();
    base.configure(NEVER);
    let mut command = base.falco(&["up", "--timeout", "30"]);
    let up = command.stdout(Stdio::null()).stderr(Stdio::piped());
    let up = up.spawn().unwrap();
    let status = || -> Value {
        let said = base.run(&["status", "--json"]);
        serde_json::from_str(&said.stdout).unwrap_or_default()
    };
    eventually("the part runs", || {
        let parts = status()["parts"].as_array().cloned().unwrap_or_default();
        let mut never = parts.iter().filter(|part| part["name"] == "never");
        never.any(|part| part["pid"].is_u64())
    });
    let pid = status()["pid"].as_u64().unwrap();
    (up, u32::try_from(pid).unwrap())
}

#[test]
fn a_launcher_that_is_told_to_end_takes_its_start_with_it() {
    for signal in [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGINT] {
        let base = Base::new();
        let (up, _) = endless(&base);
        send(up.id(), signal);
        let up = up.wait_with_output().unwrap();
        assert_eq!(up.status.code(), Some(130), "{signal}");
        base.assert_nothing_left();
        let said = base.run(&["status"]).stdout;
        let by = format!("by falco up, which got {}", signal.as_str());
        assert!(said.contains(&by), "{said}");
    }
}

#[test]
fn a_supervisor_killed_while_it_starts_is_no_bug_of_ours() {
    let base = Base::new();
    let (up, supervisor) = endless(&base);
    send(supervisor, Signal::SIGKILL);
    let up = up.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&up.stderr);
    assert_eq!(up.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("killed by signal 9"), "{stderr}");
}
