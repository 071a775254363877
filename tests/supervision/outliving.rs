//! Those who get away: out of their group, or past the end of their
//! supervisor.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;

use serde_json::json;

use super::base::{Base, eventually, kill};

/// A chain whose transport leaves a child behind that no signal to its group
/// reaches; `how` makes it one.
fn with_escapee(how: &str) -> Base {
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    std::os::unix::fs::symlink(falco, base.home().join("daemon-ably")).unwrap();
    let text = format!("{how}\nexec \"$HOME/daemon-ably\" \"$@\"");
    let program = base.script("escaping", &text);
    base.with_env("DAEMON_ABLY_BINARY", program)
}

fn escapees(base: &Base) -> Vec<u32> {
    let sleeps = base.processes().into_iter();
    let sleeps = sleeps.filter(|(_, line)| line.starts_with("sleep "));
    sleeps.map(|(pid, _)| pid).collect()
}

/// As many as there are to be: who gets away may take longer than a start does.
fn escapees_once(base: &Base, count: usize) -> Vec<u32> {
    let mut all = Vec::new();
    eventually("it got away", || {
        all = escapees(base);
        all.len() == count
    });
    all
}

/// Its parent is gone and it has a session of its own.
const ORPHAN: &str = "(setsid sleep 1000 &)";

/// The same, and it lets go of everything it inherited.
const CLOSED: &str = "bash -c 'for fd in /proc/self/fd/*; do fd=${fd##*/}; \
    [ $fd -gt 2 ] && eval \"exec $fd>&-\"; done; setsid sleep 1000 & disown'";

#[test]
fn a_grandchild_in_a_session_of_its_own_is_gone_after_stop() {
    for how in [ORPHAN, CLOSED, "setsid sleep 1000 &", "sleep 1000 &"] {
        let base = with_escapee(how);
        base.up();
        escapees_once(&base, 1);
        let said = base.run(&["stop"]);
        assert_eq!(said.code, 0, "{how}: {}", said.stderr);
        base.assert_nothing_left();
    }
}

#[test]
fn a_restart_never_leaves_two_incarnations_of_a_grandchild() {
    let base = with_escapee(ORPHAN);
    base.up();
    let first = escapees_once(&base, 1);
    assert_eq!(base.run(&["restart", "transport"]).code, 0);
    assert!(
        !escapees(&base).contains(&first[0]),
        "it outlived a restart"
    );
    let second = escapees_once(&base, 1);

    kill(base.pid_of("transport"), "KILL");
    eventually("it is another incarnation", || {
        let now = escapees(&base);
        now.len() == 1 && now != second
    });
    base.wait_ready();
}

#[test]
fn a_restart_begins_when_the_life_before_is_over() {
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    std::os::unix::fs::symlink(falco, base.home().join("daemon-ably")).unwrap();
    // Also one that is killed for taking too long is over.
    let text = "kill -0 \"$(cat \"$HOME/alive\")\" && : > \"$HOME/overlap\"
echo $$ > \"$HOME/alive\"
trap 'wait; sleep 0.3; : > \"$HOME/ended\"; exit 0' TERM
\"$HOME/daemon-ably\" \"$@\" &
wait";
    let program = base.script("slow", text);
    let base = base.with_env("DAEMON_ABLY_BINARY", program);
    base.up();
    for _ in 0..3 {
        assert_eq!(base.run(&["restart", "transport"]).code, 0);
    }
    assert!(base.home().join("ended").exists(), "it takes its time");
    assert!(!base.home().join("overlap").exists());
}

#[test]
fn orphans_that_end_by_themselves_leave_no_zombies() {
    let base = with_escapee("i=0; while [ $i -lt 20 ]; do (setsid sleep 0.2 &); i=$((i+1)); done");
    let supervisor = base.up();
    eventually("they have ended and were reaped", || {
        children_of(supervisor)
            .iter()
            .all(|(_, stat)| !stat.contains("(sleep)"))
    });
    assert_eq!(base.part("transport")["restarts"], 0);
}

/// The children of `parent`, zombies too, with their `stat` lines.
fn children_of(parent: u32) -> Vec<(u32, String)> {
    let pids = fs::read_dir("/proc").unwrap();
    let pids = pids.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let stats = pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, stat))
    });
    let parent = parent.to_string();
    let is_child = |stat: &str| {
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        fields.split_whitespace().nth(1) == Some(&parent)
    };
    stats.filter(|(_, stat)| is_child(stat)).collect()
}

#[test]
fn what_outlived_a_killed_supervisor_is_ended_and_named_by_the_next_up() {
    let base = with_escapee(ORPHAN);
    let supervisor = base.up();
    let outlived = escapees_once(&base, 1);
    kill(supervisor, "KILL");
    eventually("the children are gone", || {
        base.processes().len() == outlived.len()
    });
    assert_eq!(escapees(&base), outlived, "init has it now");
    let said = base.run(&["up"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let line = format!("ended transport, pid {}", outlived[0]);
    assert!(said.stderr.contains(&line), "{}", said.stderr);
    assert!(!escapees(&base).contains(&outlived[0]), "never two copies");
    escapees_once(&base, 1);
}

#[test]
fn what_outlived_a_killed_supervisor_is_ended_by_stop() {
    let base = with_escapee(ORPHAN);
    let supervisor = base.up();
    let outlived = escapees_once(&base, 1);
    kill(supervisor, "KILL");
    eventually("the children are gone", || {
        base.processes().len() == outlived.len()
    });
    let said = base.run(&["stop"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let line = format!("ended transport, pid {}", outlived[0]);
    assert!(said.stderr.contains(&line), "{}", said.stderr);
    base.assert_nothing_left();
}

#[test]
fn a_lease_that_names_a_stranger_hurts_nobody() {
    let base = with_escapee(ORPHAN);
    let supervisor = base.up();
    let mut stranger = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    // As well forged as can be: this pid, this start, this boot.
    let forged = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1;
        let start: u64 = fields.split_whitespace().nth(19).unwrap().parse().unwrap();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
        json!({"pid": pid, "start_token": start, "boot_id": boot.trim()})
    };
    let write = || {
        let supervisor = forged_supervisor(base.dir(), supervisor);
        let record = json!({"supervisor": supervisor, "child": forged(stranger.id())});
        for part in ["transport", "emulator", "unknown"] {
            fs::write(
                base.dir().join(format!("run/{part}.lease")),
                record.to_string(),
            )
            .unwrap();
        }
        let (pid, who) = (stranger.id(), forged(stranger.id()));
        let pidfile = format!("{pid}\n# falco {who}\n");
        fs::write(base.dir().join("falco.pid"), pidfile).unwrap();
    };
    write();
    assert_eq!(base.run(&["restart"]).code, 0);
    write();
    kill(base.pid_of_supervisor(), "KILL");
    base.up();
    write();
    assert_eq!(base.run(&["stop"]).code, 0);
    write();
    assert_eq!(base.run(&["stop"]).code, 0);
    assert!(stranger.try_wait().unwrap().is_none(), "it was ended");
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

/// What the lease says of its taker, which stays true.
fn forged_supervisor(dir: &Path, pid: u32) -> serde_json::Value {
    let text = fs::read_to_string(dir.join("run/transport.lease")).unwrap();
    let record: serde_json::Value = serde_json::from_str(&text).unwrap();
    match record["supervisor"]["pid"].as_u64() {
        Some(_) => record["supervisor"].clone(),
        None => json!({"pid": pid, "start_token": 0, "boot_id": ""}),
    }
}

#[test]
fn stop_names_what_the_supervisor_could_not_remove_and_fails() {
    let base = Base::new();
    base.up();
    assert_eq!(base.run(&["stop"]).code, 0);
    // We are the supervisor now: we hold the lock and answer.
    let lock = fs::File::open(base.dir().join("falco.lock")).unwrap();
    lock.try_lock().unwrap();
    let listener = UnixListener::bind(base.socket("falco-control.sock")).unwrap();
    let supervisor = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = String::new();
        BufReader::new(stream.try_clone().unwrap())
            .read_line(&mut request)
            .unwrap();
        let stuck = json!({"event": "part_stuck", "part": "transport", "pids": [4242, 4243]});
        let stopped = json!({"event": "stopped", "after_ms": 5});
        write!(stream, "{stuck}\n{stopped}\n").unwrap();
        drop(lock);
        request
    });
    let said = base.run(&["stop"]);
    assert!(supervisor.join().unwrap().contains("stop.v1"));
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stderr
            .contains("error: 2 processes of the chain would not die: pid 4242, 4243"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_child_inherits_the_standard_streams_and_its_lease_and_nothing_else() {
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    std::os::unix::fs::symlink(falco, base.home().join("daemon-ably")).unwrap();
    let text = "(ls -l /proc/self/fd > \"$HOME/fds\"); exec \"$HOME/daemon-ably\" \"$@\"";
    let program = base.script("looking", text);
    let base = base.with_env("DAEMON_ABLY_BINARY", program);
    // What leaked into `up` goes no further either.
    let line = format!("exec 7</dev/zero 8>&1; exec '{falco}' up -q");
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", &line]).env_clear();
    let up = base.falco(&[]);
    let env = up
        .get_envs()
        .filter_map(|(name, value)| Some((name, value?)));
    assert!(shell.envs(env).status().unwrap().success());
    let text = fs::read_to_string(base.home().join("fds")).unwrap();
    let links = text.lines().filter_map(|l| l.split_once(" -> "));
    let mut links: Vec<(u32, &str)> = links
        .map(|(left, target)| (left.rsplit(' ').next().unwrap().parse().unwrap(), target))
        // What `ls` reads, and where it writes to.
        .filter(|(fd, target)| !target.starts_with("/proc/") && *fd != 1)
        .collect();
    links.sort_unstable();
    let [input, error, lease] = links[..] else {
        panic!("{text}");
    };
    assert_eq!(input, (0, "/dev/null"));
    assert!(error.0 == 2 && error.1.starts_with("pipe:"), "{text}");
    assert!(lease.1.ends_with("/run/transport.lease"), "{text}");
}

#[test]
fn a_status_tells_what_outlived_a_killed_supervisor_and_what_ends_it() {
    let base = with_escapee(ORPHAN);
    let supervisor = base.up();
    let outlived = escapees_once(&base, 1);
    kill(supervisor, "KILL");
    eventually("the children are gone", || {
        base.processes().len() == outlived.len()
    });
    let said = base.run(&["status"]);
    assert_eq!(said.code, 3, "{}", said.stdout);
    let at = format!(" --base-dir {}", base.dir().display());
    let line = format!(
        "! transport outlived its supervisor: pid {}; the next falco up{at} or falco stop{at} ends it",
        outlived[0]
    );
    assert!(said.stdout.contains(&line), "{}", said.stdout);
    let status = base.status();
    assert_eq!(status["state"], "stopped");
    assert_eq!(
        status["outlived"],
        json!([{"part": "transport", "pids": outlived}])
    );
    assert_eq!(base.run(&["stop"]).code, 0);
    assert!(!base.run(&["status"]).stdout.contains("outlived"));
    assert_eq!(base.status()["outlived"], json!([]));
}
