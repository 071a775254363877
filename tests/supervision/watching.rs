//! `falco status` over time: watched, and waited for.

use std::fs;
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::base::{Base, PATIENCE, assert_quick, eventually, kill};
use super::suspended::{resume, suspend};

#[test]
fn waiting_ends_when_it_is_so() {
    let base = Base::new();
    let wait = |goal: &str| {
        let args = ["status", "--wait", goal, "--timeout", "60"];
        base.falco(&args).stdout(Stdio::null()).spawn().unwrap()
    };
    let mut ready = wait("ready");
    assert!(ready.try_wait().unwrap().is_none(), "nothing runs yet");
    base.up();
    assert!(ready.wait().unwrap().success());
    let mut stopped = wait("stopped");
    assert!(stopped.try_wait().unwrap().is_none());
    assert_eq!(base.run(&["stop"]).code, 0);
    assert!(stopped.wait().unwrap().success());
}

#[test]
fn waiting_in_vain_ends_in_time_and_says_for_what() {
    let base = Base::new();
    let began = Instant::now();
    let said = base.run(&["status", "--wait", "ready", "--timeout", "0.3"]);
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(said.code, 75);
    assert!(
        said.stderr.contains("not ready within 0.3 s: nothing runs"),
        "{}",
        said.stderr
    );
    let pid = base.up();
    let said = base.run(&["status", "--wait", "stopped", "--timeout", "0.3"]);
    assert_eq!(said.code, 75, "{}", said.stderr);
    suspend(pid);
    let began = Instant::now();
    let said = base.run(&["status", "--wait", "ready", "--timeout", "0.3"]);
    assert!(began.elapsed() < PATIENCE);
    assert_eq!(said.code, 75, "{}", said.stderr);
    resume(pid);
}

#[test]
fn a_supervisor_that_is_suspended_is_unknown_and_named_with_its_state() {
    let base = Base::new();
    let pid = base.up();
    suspend(pid);
    let mut said = None;
    assert_quick(Duration::from_secs(3), || {
        let began = Instant::now();
        said = Some(base.run(&["status"]));
        began.elapsed()
    });
    resume(pid);
    let said = said.unwrap();
    assert_eq!(said.code, 4);
    let unknown = format!("unknown: unresponsive (lock held by pid {pid})");
    assert!(said.stdout.contains(&unknown), "{}", said.stdout);
    assert!(said.stdout.contains("state T"), "{}", said.stdout);
    assert!(
        said.stderr.contains(&format!("kill -CONT {pid}")),
        "{}",
        said.stderr
    );
}

#[test]
fn watching_in_a_pipe_is_one_plain_block_a_change_and_ends_with_the_chain() {
    let base = Base::new();
    base.up();
    let file = base.home().join("watched");
    let mut watch = base
        .falco(&["status", "--watch"])
        .stdout(fs::File::create(&file).unwrap())
        .spawn()
        .unwrap();
    let text = || fs::read_to_string(&file).unwrap();
    eventually("it shows the first", || text().contains("running"));
    base.emit();
    let up = || base.status()["up_ms"].as_u64().unwrap();
    let first = up();
    // Three looks at least, and nothing has changed but counts.
    eventually("it has looked again", || first + 1500 < up());
    assert!(!text().contains("\n\n"), "{}", text());
    assert_eq!(base.run(&["stop"]).code, 0);
    assert!(watch.wait().unwrap().success());
    let text = text();
    assert!(!text.contains('\u{1b}'), "{text}");
    let blocks: Vec<_> = text.split("\n\n").collect();
    assert!((2..10).contains(&blocks.len()), "{text}");
    assert!(blocks.last().unwrap().contains("not running"));
    assert_eq!(base.run(&["status", "--watch"]).code, 3, "nothing to watch");
}

#[test]
fn watching_ends_cleanly_when_it_is_interrupted() {
    let base = Base::new();
    base.up();
    let file = base.home().join("watched");
    let mut watch = base
        .falco(&["status", "--watch", "--json"])
        .stdout(fs::File::create(&file).unwrap())
        .spawn()
        .unwrap();
    eventually("it shows the first", || {
        fs::read_to_string(&file).unwrap().ends_with('\n')
    });
    kill(watch.id(), "INT");
    assert!(watch.wait().unwrap().success());
    let text = fs::read_to_string(&file).unwrap();
    for line in text.lines() {
        let _: serde_json::Value = serde_json::from_str(line).unwrap();
    }
}

#[test]
fn a_status_tells_sockets_logs_and_why_a_part_ended() {
    let base = Base::new();
    base.up();
    kill(base.pid_of("transport"), "KILL");
    eventually("it lives again", || {
        base.part("transport")["incarnation"] == 2
    });
    base.wait_ready();
    let said = base.run(&["status", "--color", "never"]);
    for word in [
        "falco.sock (0600, ours)",
        "ably.sock (0600, ours)",
        "logs ",
        "0 lines dropped",
        "signal KILL, ",
    ] {
        assert!(said.stdout.contains(word), "{word} in {}", said.stdout);
    }
    let part = base.part("transport");
    assert_eq!(part["last_exit"]["signal"], 9);
    assert_eq!(part["last_exit"]["cause"], "crash");
    assert!(
        part["cpu_pct"].is_number() && part["log"]["bytes"].is_number(),
        "{part}"
    );
    let painted = base.run(&["status", "--color", "always"]);
    assert!(
        painted.stdout.starts_with("\u{1b}[32m●"),
        "{}",
        painted.stdout
    );
    assert_eq!(base.run(&["status", "nobody"]).code, 2);
    let one = base.run(&["status", "transport"]);
    assert!(
        one.code == 0 && !one.stdout.contains("broker"),
        "{}",
        one.stdout
    );
}

#[test]
fn a_status_that_nobody_waits_for_any_more_costs_nothing_that_stays() {
    let base = Base::new();
    let pid = base.up();
    let descriptors = || fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
    let before = descriptors();
    let transport = base.pid_of("transport");
    // Asked how it is, it lets everybody wait.
    suspend(transport);
    let mut most = before;
    for _ in 0..100 {
        for _ in 0..20 {
            let mut stream = UnixStream::connect(base.socket("falco-control.sock")).unwrap();
            stream.write_all(b"{\"op\":\"status.v1\"}\n").unwrap();
        }
        most = most.max(descriptors());
    }
    resume(transport);
    // What those who are served at once may need, and not what hundreds did.
    assert!(most < before + 128, "{before} became {most}");
}
