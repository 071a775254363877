//! `falco status`: says what is true, and by its exit code too.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::base::{Base, Said, assert_quick, eventually, kill};
use super::suspended::{resume, suspend};

#[test]
fn status_of_nothing_is_not_running() {
    let base = Base::new();
    let said = base.run(&["status"]);
    assert_eq!(said.code, 3);
    assert!(said.stdout.contains("not running"), "{}", said.stdout);
    let status = base.status();
    assert_eq!(status["state"], "stopped");
    assert!(status.get("last").is_some_and(serde_json::Value::is_null));
    assert!(!base.dir().exists(), "asking makes nothing");
}

#[test]
fn status_shows_every_part_the_upstream_and_the_effects() {
    let base = Base::new();
    let pid = base.up();
    base.emit();
    let said = base.run(&["status"]);
    assert_eq!(said.code, 0);
    for word in [
        "● falco",
        "transport  running  yes",
        "connected",
        "1 published",
        &format!("pid {pid}"),
    ] {
        assert!(said.stdout.contains(word), "{word} in {}", said.stdout);
    }
    let status = base.status();
    assert_eq!(status["schema"], 1);
    assert_eq!(status["ingest"]["succeeded"], 1);
    assert_eq!(status["transport"]["connections"][0]["state"], "connected");
    assert!(status["parts"][1]["rss_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn a_part_that_keeps_failing_makes_the_status_degraded() {
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    std::os::unix::fs::symlink(falco, base.home().join("daemon-ably")).unwrap();
    let text = "test -e \"$HOME/broken\" && exit 1; exec \"$HOME/daemon-ably\" \"$@\"";
    let program = base.script("fragile", text);
    let base = base.with_env("DAEMON_ABLY_BINARY", program);
    base.up();
    base.emit();
    std::fs::write(base.home().join("broken"), "").unwrap();
    kill(base.pid_of("transport"), "KILL");
    eventually("it failed again", || {
        base.part("transport")["restarts"].as_u64() >= Some(1)
    });
    let said = base.run(&["status"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.contains("degraded"), "{}", said.stdout);
    assert!(
        base.processes()
            .iter()
            .any(|(_, line)| line.contains("__daemon"))
    );

    std::fs::remove_file(base.home().join("broken")).unwrap();
    assert_eq!(base.run(&["restart", "transport"]).code, 0);
    base.wait_ready();
    base.emit();
}

#[test]
fn a_replaced_socket_makes_the_status_degraded_and_a_restart_mends_it() {
    let base = Base::new();
    base.up();
    for (part, socket) in [
        ("falco", "falco.sock"),
        ("broker", "ably-auth.sock"),
        ("transport", "ably.sock"),
    ] {
        // While something else is there, it does not come back by itself.
        let aside = base.home().join("aside");
        std::fs::write(&aside, "").unwrap();
        std::fs::rename(&aside, base.socket(socket)).unwrap();
        let said = base.run(&["status"]);
        assert_eq!(said.code, 1, "{}", said.stdout);
        let advice = format!("falco restart {part}");
        assert!(
            said.stdout.contains("degraded") && said.stdout.contains(&advice),
            "{}",
            said.stdout
        );
        assert_eq!(base.status()["state"], "degraded");
        if part == "falco" {
            let up = base.run(&["up"]);
            assert_eq!(up.code, 1, "{}", up.stderr);
        }
        std::fs::remove_file(base.socket(socket)).unwrap();
        assert_eq!(base.run(&["restart", part]).code, 0);
        base.wait_ready();
        base.emit();
    }
    assert_eq!(base.run(&["stop"]).code, 0);
    base.assert_nothing_left();
}

/// What the status says while there is nothing where a socket was. That comes
/// back by itself, which may be before a busy machine has looked: then it is
/// removed once more.
fn look_without(base: &Base, socket: &str) -> Said {
    for _ in 0..10 {
        std::fs::remove_file(base.socket(socket)).unwrap();
        let said = base.run(&["status"]);
        if said.stdout.contains(&format!("! {socket} (gone)")) {
            return said;
        }
        base.wait_ready();
    }
    panic!("{socket} is never said to be gone");
}

#[test]
fn a_removed_socket_is_told_by_the_status_until_it_comes_back_by_itself() {
    let base = Base::new();
    base.up();
    for socket in ["falco.sock", "ably-auth.sock", "ably.sock"] {
        let said = look_without(&base, socket);
        assert_eq!(said.code, 1, "{}", said.stdout);
        let lost = format!("{} was removed or replaced", base.socket(socket).display());
        for word in ["degraded", &lost] {
            assert!(said.stdout.contains(word), "{word} in {}", said.stdout);
        }
    }
    base.wait_ready();
    assert_eq!(base.run(&["status"]).code, 0);
    base.emit();
}

#[test]
fn a_suspended_child_is_not_ready() {
    let base = Base::new();
    base.up();
    for part in ["transport", "emulator"] {
        let pid = base.pid_of(part);
        suspend(pid);
        let said = base.run(&["status"]);
        assert_eq!(said.code, 1, "{}", said.stdout);
        assert!(said.stdout.contains("no answer"), "{}", said.stdout);
        assert_eq!(base.part(part)["ready"], false);
        resume(pid);
        base.wait_ready();
    }
}

#[test]
fn a_key_that_is_refused_is_told_by_up_and_by_status() {
    let base = Base::new();
    let elsewhere = Base::called("elsewhere");
    elsewhere.up();
    let address = elsewhere.status()["emulator"]["address"].clone();
    let base = base
        .with_env("ABLY_API_KEY", "nobody.nothing:wrong")
        .with_env(
            "DAEMON_ABLY_ENDPOINT",
            format!("http://{}", address.as_str().unwrap()),
        );
    let up = base.run(&["up"]);
    assert_eq!(up.code, 0, "{}", up.stderr);
    assert!(up.stderr.contains("not connected to Ably"), "{}", up.stderr);
    eventually("it is broken", || base.status()["state"] == "degraded");
    let said = base.run(&["status"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(
        said.stdout.contains("! upstream") && said.stdout.contains("40"),
        "{}",
        said.stdout
    );
}

#[test]
fn a_status_during_a_start_or_a_stop_is_never_unknown() {
    let base = Base::new();
    let ask = |until: &mut dyn FnMut() -> bool| {
        while !until() {
            let said = base.run(&["status"]);
            assert_ne!(said.code, 4, "{}{}", said.stdout, said.stderr);
        }
    };
    for verb in ["up", "stop", "up", "stop"] {
        let mut child = base.falco(&[verb, "-q"]).spawn().unwrap();
        ask(&mut || child.try_wait().unwrap().is_some());
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_status_between_two_holders_of_the_lock_tells_what_is_under_way() {
    let base = Base::new();
    base.up();
    assert_eq!(base.run(&["stop"]).code, 0);
    let path = base.dir().join("falco.lock");
    let last = std::fs::read_to_string(&path).unwrap();
    assert!(last.contains(r#""phase":"stopping""#), "{last}");
    let held = std::fs::File::open(&path).unwrap();
    held.lock().unwrap();
    for (phase, state) in [("stopping", "stopping"), ("launching", "starting")] {
        std::fs::write(&path, last.replace("stopping", phase)).unwrap();
        let said = base.run(&["status", "--json"]);
        assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
        let status: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        assert_eq!(status["state"], state, "{status}");
    }
    drop(held);
    assert_eq!(base.run(&["status"]).code, 3);
}

#[test]
fn a_tail_without_a_chain_says_what_it_waits_for() {
    let base = Base::new();
    let mut tail = base
        .falco(&["tail", "a"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stderr = tail.stderr.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut line).unwrap();
    assert!(line.contains("falco up"), "{line}");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn a_tail_that_nobody_answers_says_so() {
    let base = Base::new();
    base.up();
    suspend(base.pid_of("transport"));
    let mut tail = base
        .falco(&["tail", "a"])
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stderr = tail.stderr.take().unwrap();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(stderr), &mut line).unwrap();
    let says_why = line.contains("No answer from the transport yet");
    assert!(says_why && line.contains("falco status"), "{line}");
    tail.kill().unwrap();
    tail.wait().unwrap();
}

#[test]
fn a_restart_of_the_chain_keeps_the_supervisor_and_its_sockets() {
    let base = Base::new();
    let pid = base.up();
    let inode = || std::fs::metadata(base.socket("falco.sock")).unwrap().ino();
    let before = (inode(), base.pid_of("transport"));
    let said = base.run(&["restart"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let status = base.status();
    assert_eq!(
        (status["state"].as_str(), status["pid"].as_u64()),
        (Some("running"), Some(pid.into()))
    );
    assert_eq!(inode(), before.0);
    assert_ne!(base.pid_of("transport"), before.1);
    base.emit();
}

#[test]
fn a_supervisor_that_does_not_answer_is_unknown_within_two_seconds() {
    let base = Base::new();
    let pid = base.up();
    suspend(pid);
    assert_quick(Duration::from_secs(2), || {
        let began = Instant::now();
        let said = base.run(&["status"]);
        let took = began.elapsed();
        assert_eq!(said.code, 4, "{}{}", said.stdout, said.stderr);
        let unknown = format!("unknown: unresponsive (lock held by pid {pid})");
        assert!(said.stdout.contains(&unknown), "{}", said.stdout);
        assert!(
            said.stderr.contains("suspended") && said.stderr.contains("kill -CONT"),
            "{}",
            said.stderr
        );
        took
    });
    assert_eq!(base.look()["state"], "unknown");
    resume(pid);
    base.wait_ready();
}

#[test]
fn logs_show_what_parts_wrote() {
    let base = Base::new();
    base.up();
    let said = base.run(&["logs", "-n", "50"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stdout.contains("transport ═ started, pid"),
        "{}",
        said.stdout
    );
    assert_eq!(base.run(&["logs", "nobody"]).code, 2);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let base = Base::new();
    base.up();
    let line = format!("'{}' logs -f | head -n 1", env!("CARGO_BIN_EXE_falco"));
    let output = std::process::Command::new("sh")
        .args(["-c", &line])
        .env("UNBOUND_BASE_DIR", base.dir())
        .output()
        .unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn a_tail_whose_reader_goes_away_ends_though_no_message_comes() {
    let base = Base::new();
    let mut tail = base
        .falco(&["tail", "a"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    drop(tail.stdout.take());
    let mut ended = None;
    eventually("it ends", || {
        ended = tail.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success());
}
