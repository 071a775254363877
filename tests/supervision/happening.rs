//! `falco events`: what happened, by whom, also when nothing runs.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use super::base::{Base, eventually, kill};
use super::suspended::suspend;

fn events(base: &Base) -> Vec<Value> {
    let said = base.run(&["events", "--json", "-n", "100000"]);
    let lines = said.stdout.lines();
    lines.map(|l| serde_json::from_str(l).unwrap()).collect()
}

fn has(base: &Base, wanted: &[(&str, Value)]) -> bool {
    let fits = |event: &Value| wanted.iter().all(|(name, value)| event[*name] == *value);
    events(base).iter().any(fits)
}

#[test]
fn the_journal_tells_every_life_from_its_start_to_its_end_and_who_asked() {
    let base = Base::new();
    assert_eq!(base.run(&["events"]).code, 1, "there is none yet");
    let supervisor = base.up();
    kill(base.pid_of("transport"), "KILL");
    eventually("it lives again", || {
        base.part("transport")["incarnation"] == 2
    });
    base.wait_ready();
    let second = base.pid_of("transport");
    let stop = base.falco(&["stop", "-q"]).spawn().unwrap();
    let stopper = stop.id();
    assert!(stop.wait_with_output().unwrap().status.success());

    let transport = |event: &'static str, rest: &[(&'static str, Value)]| {
        let about = [("event", event.into()), ("part", "transport".into())];
        [&about[..], rest].concat()
    };
    for wanted in [
        vec![
            ("event", "supervisor_started".into()),
            ("pid", supervisor.into()),
        ],
        transport(
            "ended",
            &[
                ("incarnation", 1.into()),
                ("signal", 9.into()),
                ("cause", "crash".into()),
            ],
        ),
        transport(
            "state",
            &[("incarnation", 1.into()), ("state", "backoff".into())],
        ),
        transport(
            "state",
            &[
                ("incarnation", 2.into()),
                ("state", "running".into()),
                ("pid", second.into()),
            ],
        ),
        transport(
            "signaled",
            &[("group", second.into()), ("signal", "SIGTERM".into())],
        ),
        transport(
            "ended",
            &[("incarnation", 2.into()), ("cause", "requested".into())],
        ),
        vec![("event", "asked".into()), ("request", "stop".into())],
        vec![("event", "supervisor_stopped".into())],
    ] {
        assert!(has(&base, &wanted), "{wanted:?} in {:#?}", events(&base));
    }
    let asked = events(&base)
        .into_iter()
        .find(|e| e["event"] == "asked")
        .unwrap();
    assert_eq!(asked["by"]["pid"], stopper);
    let uid = asked["by"]["uid"].as_u64().unwrap();
    let status = base.run(&["status"]);
    assert_eq!(status.code, 3);
    let by = format!("by falco stop (uid {uid})");
    assert!(
        status.stdout.contains("last stopped") && status.stdout.contains(&by),
        "{}",
        status.stdout
    );
    let last = &base.look()["last"];
    assert_eq!(last["how"], "stopped");
    assert_eq!(
        (&last["by"]["verb"], &last["by"]["uid"]),
        (&"stop".into(), &asked["by"]["uid"])
    );
    let stopped = events(&base).pop().unwrap();
    assert_eq!(
        (&stopped["event"], &stopped["ts"]),
        (&"supervisor_stopped".into(), &last["at"])
    );
    let people = base.run(&["events", "transport"]).stdout;
    assert!(people.contains("ended: signal KILL after"), "{people}");
    assert!(!people.contains("supervisor started"), "of one part only");
}

#[test]
fn of_a_chain_that_did_not_tell_its_end_only_that_is_said_until_the_next_one_is_stopped() {
    let base = Base::new();
    let ended = || {
        let said = base.run(&["status"]);
        assert_eq!(said.code, 3, "{}", said.stdout);
        let untold = said.stdout.contains("nothing tells how the last one");
        assert!(untold, "{}", said.stdout);
        assert!(!said.stdout.contains("was not stopped"), "{}", said.stdout);
        let last = base.look()["last"].clone();
        assert_eq!(last["how"], "untold", "{last}");
        assert!(
            last["since"].as_str() <= last["told_until"].as_str(),
            "{last}"
        );
    };
    kill(base.up(), "KILL");
    eventually("nothing runs", || base.run(&["status"]).code == 3);
    ended();
    assert_eq!(base.run(&["stop"]).code, 0);
    ended();
    // It was stopped, and could not say so.
    suspend(base.up());
    assert_eq!(base.run(&["stop", "--now"]).code, 0);
    ended();
    base.up();
    base.run(&["stop"]);
    let said = base.run(&["status"]);
    assert!(said.stdout.contains("by falco stop"), "{}", said.stdout);
}

#[test]
fn of_a_life_that_the_journal_did_not_take_the_end_of_the_one_before_is_not_told() {
    let base = Base::new();
    let (journal, aside) = (
        base.dir().join("logs/events.jsonl"),
        base.home().join("aside"),
    );
    base.up();
    base.run(&["stop"]);
    let before = base.look()["last"].clone();
    assert_eq!(before["how"], "stopped");
    fs::rename(&journal, &aside).unwrap();
    fs::create_dir(&journal).unwrap();
    base.up();
    base.run(&["stop"]);
    fs::remove_dir(&journal).unwrap();
    for is_there in [false, true] {
        if is_there {
            fs::rename(&aside, &journal).unwrap();
        }
        let said = base.run(&["status"]);
        let untold = said.stdout.contains("nothing tells how the last one");
        assert!(
            untold && !said.stdout.contains("last stopped"),
            "{}",
            said.stdout
        );
        let last = base.look()["last"].clone();
        assert_eq!(
            (&last["how"], &last["told_until"]),
            (&"untold".into(), &Value::Null)
        );
        assert!(before["at"].as_str() < last["since"].as_str(), "{last}");
    }
    // Who only tried and had no life has not been there.
    base.up();
    base.run(&["stop"]);
    base.configure("x = [");
    assert_eq!(base.run(&["up"]).code, 78);
    assert_eq!(base.look()["last"]["how"], "stopped");
}

#[test]
fn a_start_that_failed_before_any_part_was_not_killed() {
    let base = Base::new();
    base.make();
    fs::write(base.socket("falco.sock"), "").unwrap();
    assert_ne!(base.run(&["up"]).code, 0);
    let said = base.run(&["status"]);
    assert_eq!(said.code, 3);
    assert!(
        said.stdout.contains("its last start failed"),
        "{}",
        said.stdout
    );
    let last = &base.look()["last"];
    assert_eq!(last["how"], "start_failed");
    assert!(last["at"].is_string() && last["why"].is_null(), "{last}");
}

#[test]
fn who_asks_for_a_part_that_there_never_was_hears_which_there_are() {
    let base = Base::configured("[[sidecar]]\nname = \"web\"\ncommand = \"true\"\n");
    base.run(&["up"]);
    base.configure("");
    assert_eq!(base.run(&["reload"]).code, 0);
    for name in ["broker", "falco", "web"] {
        let told = base.run(&["events", name]);
        assert!(told.code == 0 && told.stdout.contains(name), "{name}");
    }
    let told = base.run(&["events", "transport", "nobody"]);
    assert_eq!(told.code, 2, "{}", told.stdout);
    let all = "there are broker, emulator, falco, transport, web";
    assert!(told.stderr.contains("\"nobody\""), "{}", told.stderr);
    assert!(told.stderr.contains(all), "{}", told.stderr);
}

#[test]
fn events_are_followed_as_they_happen() {
    let base = Base::new();
    base.up();
    let mut follow = base
        .falco(&["events", "-f", "-n", "0", "transport"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = std::io::BufReader::new(follow.stdout.take().unwrap());
    let mut lines = std::io::BufRead::lines(stdout);
    // The follower may not have begun yet: a life after it has is told.
    std::thread::scope(|scope| {
        let heard = scope.spawn(move || lines.any(|l| l.unwrap().contains("ended: signal KILL")));
        eventually("it was told", || {
            if let Some(pid) = base.part("transport")["pid"].as_u64() {
                kill(u32::try_from(pid).unwrap(), "KILL");
            }
            // Sooner than one that keeps failing would be.
            base.run(&["restart", "transport"]);
            heard.is_finished()
        });
        assert!(heard.join().unwrap());
    });
    follow.kill().unwrap();
    follow.wait().unwrap();
}

#[test]
fn what_a_crash_left_is_an_event_of_the_next_start() {
    let base = Base::new();
    kill(base.up(), "KILL");
    eventually("the children are gone", || base.processes().is_empty());
    base.up();
    let path = base.socket("falco.sock").display().to_string();
    let cleared = [("event", "stale_cleared".into()), ("path", path.into())];
    eventually("it is told", || has(&base, &cleared));
}

#[test]
fn a_crash_loop_is_an_event_when_it_begins_and_when_it_ends() {
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    std::os::unix::fs::symlink(falco, base.home().join("daemon-ably")).unwrap();
    let text = "test -e \"$HOME/broken\" && exit 1; exec \"$HOME/daemon-ably\" \"$@\"";
    let program = base.script("fragile", text);
    let base = base.with_env("DAEMON_ABLY_BINARY", program);
    base.up();
    fs::write(base.home().join("broken"), "").unwrap();
    kill(base.pid_of("transport"), "KILL");
    eventually("it is a crash loop", || {
        has(&base, &[("event", "crash_loop".into())])
    });
    eventually("the status says so between two tries", || {
        let status = base.run(&["status"]).stdout;
        status.contains("crash-loop") && status.contains("retry in")
    });
    assert_eq!(base.run(&["status", "transport"]).code, 1);
    assert_eq!(base.run(&["status", "falco"]).code, 0);
    fs::remove_file(base.home().join("broken")).unwrap();
    assert_eq!(base.run(&["restart", "transport"]).code, 0);
    eventually("its end is told", || {
        has(&base, &[("event", "crash_loop_over".into())])
    });
}

#[test]
fn a_socket_that_is_taken_away_is_noticed_and_bound_again_where_the_path_is_free() {
    let base = Base::new();
    base.up();
    let lives = || {
        (
            base.part("falco")["incarnation"].clone(),
            base.part("broker")["incarnation"].clone(),
        )
    };
    let before = lives();
    let (free, taken) = (base.socket("falco.sock"), base.socket("ably-auth.sock"));
    fs::remove_file(&free).unwrap();
    let theirs = base.home().join("theirs");
    fs::write(&theirs, "somebody's").unwrap();
    fs::rename(&theirs, &taken).unwrap();
    let lost = |path: &std::path::Path| {
        let path = path.display().to_string();
        has(
            &base,
            &[("event", "socket_lost".into()), ("path", path.into())],
        )
    };
    eventually("it is noticed", || lost(&free) && lost(&taken));
    assert_eq!(base.run(&["status"]).code, 1);
    eventually("it is bound again", || free.exists());
    base.emit();
    assert_eq!(fs::read_to_string(&taken).unwrap(), "somebody's");
    eventually("that is told", || {
        has(&base, &[("event", "socket_back".into())])
    });
    fs::remove_file(&taken).unwrap();
    base.wait_ready();
    assert_eq!(lives(), before, "nobody was restarted for it");
    assert_eq!(base.run(&["stop"]).code, 0);
    base.assert_nothing_left();
}

#[test]
fn that_the_connection_to_ably_comes_and_goes_is_an_event() {
    let base = Base::new();
    base.up();
    let count = |state: &str| {
        let about = |e: &&Value| e["event"] == "upstream" && e["state"] == state;
        events(&base).iter().filter(about).count()
    };
    eventually("it is connected", || 0 < count("connected"));
    kill(base.pid_of("emulator"), "KILL");
    eventually("it was lost and came back", || {
        0 < count("disconnected") && 1 < count("connected")
    });
    let text = base.run(&["events", "falco"]).stdout;
    assert!(text.contains("daemon_falco is connected"), "{text}");
}

/// Whether the kernel keeps an image of who crashes here, as it would for a part.
fn keeps_cores(script: &str) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let dir = tempfile::tempdir().unwrap();
    let mut shell = std::process::Command::new("sh");
    let crashed = shell.args(["-c", script]).current_dir(&dir).status();
    crashed.unwrap().core_dumped()
}

#[test]
fn a_crash_that_left_a_core_says_so() {
    let script = "ulimit -S -c unlimited; kill -SEGV $$";
    let kept = keeps_cores(script);
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    std::os::unix::fs::symlink(falco, base.home().join("daemon-ably")).unwrap();
    let text = format!(
        "cd \"$HOME\"; test -e broken && {{ rm broken; {script}; }}; exec ./daemon-ably \"$@\""
    );
    let program = base.script("crashing", &text);
    let base = base.with_env("DAEMON_ABLY_BINARY", program);
    base.up();
    fs::write(base.home().join("broken"), "").unwrap();
    kill(base.pid_of("transport"), "KILL");
    eventually("it crashed and lives again", || {
        let part = base.part("transport");
        part["incarnation"] == 3 && part["ready"] == true
    });
    let exit = &base.part("transport")["last_exit"];
    assert_eq!(exit["signal"], 11, "{exit}");
    assert_eq!(exit["core_dumped"], kept, "{exit}");
    let status = base.run(&["status"]).stdout;
    assert_eq!(
        status.contains("signal SEGV, core dumped"),
        kept,
        "{status}"
    );
    if kept {
        let about = [("event", "ended".into()), ("core_dumped", true.into())];
        eventually("it is told", || has(&base, &about));
    }
}

#[test]
fn a_reload_that_is_refused_is_an_event_also_when_a_signal_asked_for_it() {
    let base = Base::new();
    let pid = base.up();
    base.configure("dance = 1\n");
    kill(pid, "HUP");
    let refused = || {
        let mut events = events(&base).into_iter();
        events.find(|e| e["event"] == "reload_refused")
    };
    eventually("it is told", || refused().is_some());
    let error = refused().unwrap()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("dance"), "{error}");
    let text = base.run(&["events"]).stdout;
    assert!(
        text.contains("the configuration was not reloaded"),
        "{text}"
    );
    base.emit();
}
