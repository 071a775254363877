//! `falco status`: says what is true, and by its exit code too.

use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use super::base::{Base, eventually, kill};

#[test]
fn status_of_nothing_is_not_running() {
    let base = Base::new();
    let said = base.run(&["status"]);
    assert_eq!(said.code, 3);
    assert!(said.stdout.contains("not running"), "{}", said.stdout);
    assert_eq!(base.status()["state"], "stopped");
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
    assert_eq!(base.status()["state"], "running");
    base.emit();
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
fn a_supervisor_that_does_not_answer_is_unknown_in_bounded_time() {
    let base = Base::new();
    let pid = base.up();
    kill(pid, "STOP");
    let began = Instant::now();
    let said = base.run(&["status"]);
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(said.code, 4, "{}{}", said.stdout, said.stderr);
    assert!(
        said.stderr.contains("suspended") && said.stderr.contains("kill -CONT"),
        "{}",
        said.stderr
    );
    assert_eq!(base.status()["state"], "unknown");
    kill(pid, "CONT");
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
