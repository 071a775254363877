//! `falco service` and a launchd that the test plays.

use std::fs;
use std::path::PathBuf;

use super::base::{Base, Said, said};

/// A `launchctl` that keeps its state in the home, writes down what it is
/// asked, and runs what the agent says. It refuses the first `eio` bootstraps.
const LAUNCHCTL: &str = r#"
state="$HOME/launchd"; mkdir -p "$state"
echo "$*" >> "$state/asked"
pid=$(cat "$state/pid" 2>/dev/null)
kill -0 "$pid" 2>/dev/null || pid=
case "$*" in
"print gui/"*/*)
  [ -e "$state/loaded" ] || exit 113
  [ -n "$pid" ] && echo "	state = running" && echo "	pid = $pid" || echo "	state = not running" ;;
"print gui/"*) [ -e "$state/nobody" ] && exit 1; exit 0 ;;
"bootstrap "*)
  left=$(cat "$state/eio" 2>/dev/null || echo 0)
  [ "$left" -gt 0 ] && { echo $((left - 1)) > "$state/eio"; echo "Bootstrap failed: 5: Input/output error" >&2; exit 5; }
  touch "$state/loaded"
  sed -n '/<array>/,/<\/array>/s/.*<string>\(.*\)<\/string>.*/\1/p' "$3" > "$state/words"
  setsid xargs -d '\n' -a "$state/words" sh -c 'echo $$ > "$HOME/launchd/pid"; exec "$@"' sh >/dev/null 2>&1 &
  until [ -s "$state/pid" ]; do sleep 0.02; done ;;
"kickstart "*) ;;
"bootout "*) rm -f "$state/loaded"; [ -z "$pid" ] || { kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done; } ;;
esac
exit 0
"#;

fn with_launchd() -> Base {
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

#[test]
fn an_agent_that_launchd_is_not_ready_for_is_tried_again_and_runs() {
    let base = with_launchd();
    fs::write(base.home().join("launchd/eio"), "1").unwrap();
    let said = service(&base, &["install"]);
    well(&said);
    assert_eq!(asked(&base, "bootstrap"), 2);
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
    assert_eq!(asked(&base, "bootstrap"), 3);

    well(&service(&base, &["uninstall"]));
    assert!(agents(&base).is_empty());
    assert_eq!(base.run(&["status"]).code, 3);
}

#[test]
fn without_a_session_nothing_is_written() {
    let base = with_launchd();
    fs::write(base.home().join("launchd/nobody"), "").unwrap();
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
