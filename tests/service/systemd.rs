//! `falco service` and a systemd that the test plays.

mod flags;
mod life;
mod trouble;
mod units;

use std::fs;
use std::path::PathBuf;

use super::base::{Base, Said};

/// A `systemctl` that keeps its state in the home, writes down what it is
/// asked, and runs what the unit says.
const SYSTEMCTL: &str = r#"
state="$HOME/systemd"; mkdir -p "$state"
echo "$*" >> "$state/asked"
units="$HOME/.config/systemd/user"
[ -e "$state/broken" ] && { echo "Failed to connect to bus: No medium found" >&2; exit 1; }
pid=$(cat "$state/pid" 2>/dev/null)
kill -0 "$pid" 2>/dev/null || pid=0
case "$*" in
--version) echo "systemd ${SYSTEMD:-252} (test)" ;;
*property=Version*) echo Version=252 ;;
*" show "*)
  [ "$pid" = 0 ] && echo ActiveState=inactive || echo ActiveState=active
  echo SubState=test; echo MainPID=$pid; echo NeedDaemonReload=no
  [ -e "$state/enabled" ] && echo UnitFileState=enabled ;;
*" disable "*.service*) rm -f "$state/enabled"; [ "$pid" = 0 ] || kill "$pid"
  while kill -0 "$pid" 2>/dev/null && [ "$pid" != 0 ]; do sleep 0.02; done ;;
*" enable "*) [ -e "$state/refuses" ] && { echo "Failed to enable: no" >&2; exit 1; }; touch "$state/enabled" ;;
*" start "*.socket) ;;
*" start "*|*" restart "*)
  [ "$pid" = 0 ] || { kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.02; done; }
  command=$(sed -n 's/^ExecStart=//p' "$units/${5:-$4}" 2>/dev/null || sed -n 's/^ExecStart=//p' "$units"/falco-*.service)
  eval "setsid $command >/dev/null 2>&1 & echo \$! > '$state/pid'"
  until "$FALCO" status >/dev/null 2>&1; do kill -0 "$(cat "$state/pid")" 2>/dev/null || { echo "Job for it failed." >&2; exit 1; }; sleep 0.02; done ;;
*" stop "*) [ "$pid" = 0 ] || kill "$pid" ;;
esac
exit 0
"#;

pub fn with_systemd() -> Base {
    let base = Base::new();
    let falco = env!("CARGO_BIN_EXE_falco");
    base.fake(
        "systemctl",
        &format!("FALCO={falco}; export FALCO\n{SYSTEMCTL}"),
    );
    base.fake("loginctl", "echo \"$*\" >> \"$HOME/loginctl\"");
    base.fake("systemd-analyze", "exit 0");
    base
}

fn units(base: &Base) -> PathBuf {
    base.home().join(".config/systemd/user")
}

fn unit(base: &Base) -> PathBuf {
    let mut entries = fs::read_dir(units(base)).unwrap();
    let found = entries.find_map(|entry| {
        let path = entry.unwrap().path();
        (path.extension()? == "service").then_some(path)
    });
    found.expect("a unit")
}

fn asked(base: &Base) -> String {
    fs::read_to_string(base.home().join("systemd/asked")).unwrap_or_default()
}

fn set(base: &Base, state: &str) {
    fs::create_dir_all(base.home().join("systemd")).unwrap();
    fs::write(base.home().join("systemd").join(state), "").unwrap();
}

fn well(said: &Said) {
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}
