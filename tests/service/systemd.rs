//! `falco service` and a systemd that the test plays.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

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

#[test]
fn an_installed_service_runs_and_answers_as_the_managers_process() {
    let base = with_systemd();
    let said = base.run(&["service", "install", "--linger"]);
    well(&said);
    let pid = base.status()["pid"].as_u64().unwrap();
    assert!(
        said.stderr.contains(&format!("verified pid {pid}")),
        "{}",
        said.stderr
    );
    assert!(asked(&base).contains("--user --no-ask-password enable falco-"));
    let lingering = fs::read_to_string(base.home().join("loginctl")).unwrap();
    assert_eq!(lingering.trim(), "enable-linger");

    let status = base.run(&["service", "status", "--json"]);
    well(&status);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["state"], "active");
    assert_eq!(status["enabled"], true);
    assert_eq!(status["pid"].as_u64(), Some(pid));

    let again = base.run(&["service", "install"]);
    well(&again);
    assert!(
        again.stderr.contains("already installed"),
        "{}",
        again.stderr
    );
    assert_eq!(base.status()["pid"].as_u64(), Some(pid), "nothing changed");

    let file = unit(&base).display().to_string();
    let gone = uninstalled(&base, &["--dry-run"]);
    assert_eq!(
        (&gone["removed"], &gone["files"][0]),
        (&false.into(), &file.clone().into())
    );
    assert!(fs::exists(&file).unwrap());
    let gone = uninstalled(&base, &[]);
    assert_eq!(
        (&gone["removed"], &gone["files"][0]),
        (&true.into(), &file.into())
    );
    assert_eq!(fs::read_dir(units(&base)).unwrap().count(), 0);
    assert_eq!(base.run(&["status"]).code, 3);
    assert_eq!(base.run(&["service", "status"]).code, 3);
    let gone = uninstalled(&base, &[]);
    assert_eq!(
        (&gone["removed"], gone["files"].as_array().unwrap().len()),
        (&false.into(), 0)
    );
}

fn uninstalled(base: &Base, args: &[&str]) -> serde_json::Value {
    let args = [&["service", "uninstall", "--json"], args].concat();
    let said = base.run(&args);
    well(&said);
    serde_json::from_str(&said.stdout).unwrap()
}

#[test]
fn up_and_stop_go_through_the_service_and_only_one_owner_is_left() {
    let base = with_systemd();
    well(&base.run(&["service", "install", "--no-start"]));
    assert_eq!(base.run(&["service", "status"]).code, 3);
    let up = base.run(&["up", "--json"]);
    well(&up);
    let summary: serde_json::Value = serde_json::from_str(&up.stdout).unwrap();
    let managed = fs::read_to_string(base.home().join("systemd/pid")).unwrap();
    assert_eq!(summary["pid"].to_string(), managed.trim());
    well(&base.run(&["up"]));

    let stop = base.run(&["stop"]);
    well(&stop);
    assert!(stop.stderr.contains("stopped in"), "{}", stop.stderr);
    assert!(asked(&base).contains("stop --no-block falco-"));
    assert_eq!(base.run(&["status"]).code, 3);

    well(&base.run(&["up", "--no-service", "--json"]));
    assert_ne!(base.status()["pid"].to_string(), managed.trim());
    well(&base.run(&["stop", "--no-service"]));
}

#[test]
fn an_up_that_names_another_device_or_user_than_the_services_is_told_how_to_change_that() {
    let device = "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11";
    let base = with_systemd();
    let at = format!(" --base-dir {}", base.dir().display());
    well(&base.run(&["service", "install", "--no-start"]));
    for (flag, other) in [("--device-id", device), ("--user-id", "somebody")] {
        well(&base.run(&["stop"]));
        // Who starts the service, and who finds it running.
        for _ in 0..2 {
            let said = base.run(&["up", flag, other]);
            assert_eq!(said.code, 78, "{}", said.stderr);
            let status = base.status();
            let key = flag.trim_start_matches('-').replace('-', "_");
            let has = status[&key].as_str().unwrap();
            for words in [
                format!("the chain that runs is of {}", key.replace("_id", "")),
                format!("{has}, not of {other}"),
                format!("hint: falco service install{at} {flag} … with the other flags it has"),
                format!("falco stop{at}, then falco up --no-service{at} {flag} …"),
            ] {
                assert!(said.stderr.contains(&words), "{words}: {}", said.stderr);
            }
        }
    }
    well(&base.run(&["service", "install", "--device-id", device]));
    well(&base.run(&["up", "--device-id", device]));
    well(&base.run(&["stop"]));
    well(&base.run(&["up", "--device-id", device]));
    well(&base.run(&["service", "uninstall"]));
}

#[test]
fn an_up_that_asks_a_service_of_the_emulator_for_ably_is_told_what_helps() {
    let base = with_systemd();
    let at = format!(" --base-dir {}", base.dir().display());
    let said_by = |upstream: &str| {
        let up = base.falco(&["up"]).env("FALCO_UPSTREAM", upstream).output();
        super::base::said(&up.unwrap())
    };
    let file = base.dir().join("falco.toml");
    let named = format!(
        "hint: upstream = \"ably\" in {}, then ",
        file.display()
            .to_string()
            .replace(base.home().to_str().unwrap(), "~")
    );
    let aside = format!("; or falco stop{at}, then falco up --no-service{at}\n");

    // A flag of the service's goes before the file.
    well(&base.run(&["service", "install", "--emulator"]));
    let said = said_by("ably");
    assert_eq!(said.code, 78, "{}", said.stderr);
    let install =
        format!("falco service install{at} without --emulator and with the other flags it has");
    let hint = format!("{named}{install}{aside}");
    assert!(said.stderr.contains(&hint), "{hint}: {}", said.stderr);
    fs::write(&file, "upstream = \"ably\"\n").unwrap();
    let said = base.run(&["up"]);
    well(&said);
    let change = format!("to change that: {install}\n");
    assert!(said.stderr.contains(&change), "{}", said.stderr);
    well(&base.run(&["service", "install"]));
    well(&said_by("ably"));

    fs::write(&file, "").unwrap();
    well(&base.run(&["stop"]));
    well(&base.run(&["up"]));
    let said = said_by("ably");
    assert_eq!(said.code, 78, "{}", said.stderr);
    let hint = format!("{named}falco reload{at}{aside}");
    assert!(said.stderr.contains(&hint), "{hint}: {}", said.stderr);
    fs::write(&file, "upstream = \"ably\"\n").unwrap();
    well(&base.run(&["reload"]));
    well(&said_by("ably"));
    well(&base.run(&["service", "uninstall"]));
}

#[test]
fn who_names_anything_to_a_service_that_starts_hears_how_to_change_its_flags() {
    let base = with_systemd();
    well(&base.run(&["service", "install", "--no-start"]));
    let dir = base.dir();
    let at = dir.display();
    let words = format!(
        "has the flags it was installed with; falco service install --base-dir {at} with all it is to have changes them"
    );
    // Blank means unset.
    for (filter, is_told) in [("falco=info", true), ("", false)] {
        let mut up = base.falco(&["up"]);
        up.env("FALCO_LOG", filter);
        up.env("UNBOUND_USER_ID", "").env("UNBOUND_DEVICE_ID", " ");
        let said = super::base::said(&up.output().unwrap());
        well(&said);
        assert_eq!(said.stderr.contains(&words), is_told, "{}", said.stderr);
        let any = said.stderr.contains("it was installed with");
        assert_eq!(any, is_told, "{}", said.stderr);
        well(&base.run(&["stop"]));
    }
    well(&base.run(&["service", "uninstall"]));
}

#[test]
fn a_chain_that_was_started_by_hand_is_taken_over() {
    let base = with_systemd();
    well(&base.run(&["up"]));
    let before = base.status()["pid"].clone();
    let said = base.run(&["service", "install"]);
    well(&said);
    assert!(
        said.stderr.contains("the service takes over"),
        "{}",
        said.stderr
    );
    assert_ne!(base.status()["pid"], before);
    well(&base.run(&["service", "uninstall"]));
}

#[test]
fn a_file_that_is_not_ours_is_left_alone() {
    let base = with_systemd();
    well(&base.run(&["service", "install", "--no-start"]));
    let unit = unit(&base);
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").unwrap();
    for verb in ["install", "uninstall"] {
        let said = base.run(&["service", verb]);
        assert_eq!(said.code, 73, "{}", said.stderr);
        assert!(said.stderr.contains("not made by falco"), "{}", said.stderr);
    }
    assert!(fs::read_to_string(&unit).unwrap().contains("/bin/true"));
    // And it owns nothing of ours.
    let asked_before = asked(&base);
    well(&base.run(&["up"]));
    assert_eq!(asked(&base), asked_before);
}

#[test]
fn nothing_is_half_done_without_a_manager() {
    let base = with_systemd();
    set(&base, "broken");
    let said = base.run(&["service", "install"]);
    assert_eq!(said.code, 69, "{}", said.stderr);
    assert!(said.stderr.contains("cannot be reached"), "{}", said.stderr);
    assert!(said.stderr.contains("XDG_RUNTIME_DIR"), "{}", said.stderr);
    let typed = |verb: &str| format!("{verb} --base-dir {}", base.dir().display());
    let without = typed("without it: falco up --no-service");
    assert!(said.stderr.contains(&without), "{}", said.stderr);
    assert!(!units(&base).exists());

    let mut bare = base.falco(&["service", "install"]);
    let said = super::base::said(&bare.env("PATH", "/nowhere").output().unwrap());
    assert_eq!(said.code, 69, "{}", said.stderr);
    assert!(said.stderr.contains("no systemctl"), "{}", said.stderr);
    let foreground = typed("run: falco up --foreground");
    assert!(said.stderr.contains(&foreground), "{}", said.stderr);
    assert!(!units(&base).exists());
}

#[test]
fn a_unit_that_cannot_be_enabled_is_taken_back() {
    let base = with_systemd();
    set(&base, "refuses");
    let said = base.run(&["service", "install"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert_eq!(fs::read_dir(units(&base)).unwrap().count(), 0);
}

#[test]
fn a_manager_that_cannot_be_asked_is_unknown_and_up_says_what_to_do() {
    let base = with_systemd();
    well(&base.run(&["service", "install", "--no-start"]));
    set(&base, "broken");
    let said = base.run(&["service", "status"]);
    assert_eq!(said.code, 4, "{}", said.stderr);
    assert!(!said.stderr.contains('`'), "{}", said.stderr);
    let up = base.run(&["up"]);
    assert_eq!(up.code, 69, "{}", up.stderr);
    assert!(up.stderr.contains("--no-service"), "{}", up.stderr);
    assert_eq!(base.run(&["status"]).code, 3, "nothing was started");
}

#[test]
fn a_dry_run_prints_the_unit_and_the_commands_and_does_nothing() {
    let base = with_systemd();
    let said = base.run(&["service", "install", "--dry-run", "--linger"]);
    well(&said);
    for line in [
        "Type=notify",
        "NotifyAccess=main",
        " reload --base-dir ",
        "KillMode=mixed",
        "WatchdogSec=30",
        "UMask=0077",
        "RestartPreventExitStatus=2 64 77 78",
        "RestartSec=10",
        "$ loginctl enable-linger",
        "$ systemctl --user start",
    ] {
        assert!(said.stdout.contains(line), "{line}\n{}", said.stdout);
    }
    assert!(!said.stdout.contains("{{"), "{}", said.stdout);
    assert!(!units(&base).exists());
    // Delays grow where systemd can let them.
    let newer = base
        .falco(&["service", "install", "--dry-run"])
        .env("SYSTEMD", "256")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&newer.stdout).contains("RestartSteps=5"));
}

#[test]
fn a_key_is_handed_over_as_a_credential_and_never_written_into_the_unit() {
    let base = with_systemd();
    let key = base.home().join("the key");
    fs::write(&key, "app.key:s3cret").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let credential = format!("ably-api-key:{}", key.display());
    let said = base.run(&[
        "service",
        "install",
        "--dry-run",
        "--load-credential",
        &credential,
    ]);
    well(&said);
    assert!(
        said.stdout
            .contains(&format!("LoadCredential={credential}")),
        "{}",
        said.stdout
    );
    let said = base.run(&[
        "service",
        "install",
        "--dry-run",
        "--load-credential-encrypted",
        &credential,
    ]);
    assert!(
        said.stdout
            .contains(&format!("LoadCredentialEncrypted={credential}"))
    );
    assert!(!said.stdout.contains("s3cret"));
    assert_eq!(
        base.run(&["service", "install", "--load-credential", "key:/"])
            .code,
        2
    );
}

/// What systemd itself says of every unit we can write, where it is installed.
#[test]
fn systemd_takes_every_unit() {
    let analyze = "/usr/bin/systemd-analyze";
    if !std::path::Path::new(analyze).exists() {
        return;
    }
    let base = Base::new();
    let dir = base.home().join("units");
    fs::create_dir(&dir).unwrap();
    let directory = base.home().join("a base $HOME 50%");
    for scope in [
        &["--socket"][..],
        &["--system", "--run-as", "root", "--socket"][..],
    ] {
        let mut command = base.falco(&["service", "install", "--dry-run", "--json"]);
        command
            .args(scope)
            .args(["--manager", "systemd", "--base-dir"])
            .arg(&directory);
        let said = super::base::said(&command.output().unwrap());
        well(&said);
        let told: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let files = told["files"].as_array().unwrap();
        assert_eq!(files.len(), 2);
        let mut verify = Command::new(analyze);
        verify
            .args(["verify", "--man=no"])
            .env("XDG_RUNTIME_DIR", base.home());
        if scope.len() == 1 {
            verify.arg("--user");
        }
        for file in files {
            let name = PathBuf::from(file["path"].as_str().unwrap());
            let path = dir.join(name.file_name().unwrap());
            fs::write(&path, file["text"].as_str().unwrap()).unwrap();
            verify.arg(path);
        }
        let output = verify.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        let ours: Vec<_> = said.lines().filter(|l| l.contains("falco")).collect();
        assert!(ours.is_empty(), "{scope:?} {ours:?}");
    }
}

#[test]
fn who_brings_the_chain_up_again_has_systemd_listen_again() {
    let base = with_systemd();
    well(&base.run(&["service", "install", "--socket"]));
    well(&base.run(&["stop"]));
    fs::write(base.home().join("systemd/asked"), "").unwrap();
    well(&base.run(&["up"]));
    let asked = asked(&base);
    let starts = asked.lines().filter(|line| line.contains(" start "));
    let starts: Vec<&str> = starts.collect();
    assert!(
        matches!(starts.as_slice(), [socket, service] if socket.ends_with(".socket") && service.ends_with(".service")),
        "{starts:?}"
    );
}
