//! `falco service` and a launchd that the test plays.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::base::{Base, Said, said};

/// A `launchctl` that keeps its state in the home, writes down what it is
/// asked, and runs what the agent says. It refuses the first `eio` bootstraps,
/// forgets an agent late if it is `slow`, and runs one that `dies` in vain.
const LAUNCHCTL: &str = r#"
state="$HOME/launchd"; mkdir -p "$state"
echo "$*" >> "$state/asked"
pid=$(cat "$state/pid" 2>/dev/null)
kill -0 "$pid" 2>/dev/null || pid=
case "$*" in
"print gui/"*/*)
  [ -e "$state/loaded" ] || exit 113
  [ -n "$pid" ] && echo "	state = running" && echo "	pid = $pid" || echo "	state = not running"
  [ ! -e "$state/dies" ] && echo "	last exit code = (never exited)" || echo "	last exit code = 69" ;;
"print gui/"*) [ -e "$state/nobody" ] && exit 1; exit 0 ;;
"bootstrap "*)
  left=$(cat "$state/eio" 2>/dev/null || echo 0)
  [ "$left" -gt 0 ] && { echo $((left - 1)) > "$state/eio"; echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }
  [ -e "$state/loaded" ] && { echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }
  touch "$state/loaded"
  [ -e "$state/dies" ] && exit 0
  sed -n '/<array>/,/<\/array>/s/.*<string>\(.*\)<\/string>.*/\1/p' "$3" > "$state/words"
  setsid xargs -d '\n' -a "$state/words" sh -c 'echo $$ > "$HOME/launchd/pid"; exec "$@"' sh >/dev/null 2>&1 &
  until [ -s "$state/pid" ]; do sleep 0.02; done ;;
"kickstart "*) ;;
"bootout "*) [ -z "$pid" ] || { kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done; }
  rm -f "$state/pid"
  [ -e "$state/slow" ] && { (sleep 1; rm -f "$state/loaded") >/dev/null 2>&1 & exit 36; }
  rm -f "$state/loaded" ;;
esac
exit 0
"#;

pub fn with_launchd() -> Base {
    let base = Base::new();
    base.fake("launchctl", LAUNCHCTL);
    fs::create_dir_all(base.home().join("launchd")).unwrap();
    base
}

fn service(base: &Base, args: &[&str]) -> Said {
    let all = [&["service"], args, &["--manager", "launchd"]].concat();
    base.run(&all)
}

fn well(said: &Said) {
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}

fn agents(base: &Base) -> Vec<PathBuf> {
    let entries = fs::read_dir(base.home().join("Library/LaunchAgents"));
    entries.map_or(Vec::new(), |e| e.map(|e| e.unwrap().path()).collect())
}

fn asked(base: &Base, word: &str) -> usize {
    let asked = fs::read_to_string(base.home().join("launchd/asked")).unwrap_or_default();
    asked.lines().filter(|line| line.starts_with(word)).count()
}

fn set(base: &Base, state: &str, text: &str) {
    fs::write(base.home().join("launchd").join(state), text).unwrap();
}

#[test]
fn an_agent_that_launchd_is_not_ready_for_is_tried_again_and_runs() {
    let base = with_launchd();
    set(&base, "eio", "2");
    let said = service(&base, &["install"]);
    well(&said);
    assert_eq!(asked(&base, "bootstrap"), 3);
    let pid = base.status()["pid"].as_u64().unwrap();
    assert!(
        said.stderr.contains(&format!("verified pid {pid}")),
        "{}",
        said.stderr
    );
    well(&service(&base, &["status"]));

    well(&base.run(&["stop"]));
    assert_eq!(asked(&base, "bootout"), 1, "it tries nothing again");
    assert_eq!(base.run(&["status"]).code, 3);
    well(&base.run(&["up"]));
    assert_eq!(asked(&base, "bootstrap"), 4);

    well(&service(&base, &["uninstall"]));
    assert!(agents(&base).is_empty());
    assert_eq!(base.run(&["status"]).code, 3);
}

#[test]
fn an_agent_that_launchd_never_gets_ready_for_is_told() {
    let base = with_launchd();
    set(&base, "eio", "99");
    let said = service(&base, &["install"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert_eq!(asked(&base, "bootstrap"), 3, "not for ever");
    assert!(
        said.stderr.contains("Input/output error"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_agent_is_loaded_again_only_once_launchd_has_forgotten_it() {
    let base = with_launchd();
    well(&service(&base, &["install"]));
    set(&base, "slow", "");
    well(&service(&base, &["install", "--debug"]));
    assert_eq!(asked(&base, "bootout"), 1);
    assert_eq!(asked(&base, "bootstrap"), 2, "none in vain");
    well(&service(&base, &["status"]));
}

#[test]
fn an_agent_that_dies_at_once_is_not_called_installed_and_running() {
    let base = with_launchd();
    set(&base, "dies", "");
    let said = service(&base, &["install"]);
    assert_eq!(said.code, 69, "{}", said.stderr);
    let end = "ended as soon as it was started: exit code 69";
    assert!(said.stderr.contains(end), "{}", said.stderr);
    assert!(!said.stderr.contains("verified"), "{}", said.stderr);
}

#[test]
fn the_agent_is_what_launchd_reads_and_outlives_no_stop() {
    let base = with_launchd();
    let said = service(&base, &["install", "--dry-run"]);
    well(&said);
    let (_, text) = said.stdout.split_once('\n').unwrap();
    let (text, _) = text.split_once("$ launchctl").unwrap();
    let read = "import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read().strip())))";
    let mut python = Command::new("python3")
        .args(["-c", read])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = python.wait_with_output().unwrap();
    let agent: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(agent["KeepAlive"], json!({"SuccessfulExit": false}));
    assert_eq!(agent["RunAtLoad"], true);
    // Stopping may take 30 s; launchd kills after 20 s unless told.
    assert!(30 < agent["ExitTimeOut"].as_u64().unwrap());
    assert_eq!(agent["Umask"], 0o077);
    assert_eq!(agent["ProcessType"], "Interactive");
    assert!(agent["EnvironmentVariables"]["PATH"].is_string());
    for absent in ["AbandonProcessGroup", "Sockets", "StartInterval"] {
        assert!(agent.get(absent).is_none(), "{absent}");
    }
    let words = agent["ProgramArguments"].as_array().unwrap();
    assert!(words[0].as_str().unwrap().starts_with('/'), "{words:?}");
    assert!(words.contains(&json!("--manager=launchd")));
}

#[test]
fn without_a_session_nothing_is_written() {
    let base = with_launchd();
    set(&base, "nobody", "");
    let said = service(&base, &["install"]);
    assert_eq!(said.code, 69, "{}", said.stderr);
    assert!(agents(&base).is_empty());
    assert_eq!(service(&base, &["install", "--system"]).code, 2);
}

#[test]
fn launchd_is_not_made_to_try_again_what_cannot_heal() {
    let base = Base::new();
    let wrong = |args: &[&str]| {
        let mut command = base.falco(args);
        said(&command.env("ABLY_API_KEY", "no-key").output().unwrap())
    };
    let told = wrong(&["up", "--foreground", "--manager", "launchd"]);
    assert_eq!(told.code, 0);
    assert!(told.stderr.contains("ABLY_API_KEY"), "{}", told.stderr);
    assert_eq!(wrong(&["up", "--foreground"]).code, 78);
}
