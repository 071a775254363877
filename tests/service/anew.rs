//! `falco service install` over a service that is installed already.

use std::fs;
use std::path::PathBuf;

use super::base::Base;
use super::{launchd, systemd};

const DEVICE: &str = "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11";

/// What installing it with `flags` says of flags that it had.
fn missed(base: &Base, flags: &[&str]) -> Option<String> {
    let said = base.run(&[&["service", "install", "--no-start"], flags].concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let lines = said
        .stderr
        .lines()
        .filter(|line| line.contains("which it had"));
    let lines: Vec<_> = lines.map(str::to_owned).collect();
    assert!(lines.len() <= 1, "{lines:?}");
    lines.into_iter().next()
}

#[test]
fn who_installs_a_service_anew_hears_which_flags_it_has_no_more() {
    let base = systemd::with_systemd();
    let key = base.home().join("the 50% \"key\"");
    fs::write(&key, "app.key:s3cret").unwrap();
    let credential = format!("ably-api-key:{}", key.display());
    let device = format!("--device-id={DEVICE}");
    let all = [
        &device,
        "--user-id=it's $HOME 50% \"x\\",
        "--debug",
        "--load-credential",
        &credential,
    ];
    assert_eq!(missed(&base, &all), None);
    assert_eq!(missed(&base, &all), None);
    // What is another now is not missed.
    let others = ["--device-id", "1c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11"];
    let told = missed(&base, &[&others[..], &["--emulator"]].concat()).unwrap();
    let user = r#"'--user-id=it'\''s $HOME 50% "x\'"#;
    let words = format!("without {user} --debug '--load-credential={credential}', which it had");
    assert!(told.contains(&words), "{words}: {told}");
    let told = missed(&base, &[&others[..], &["--dry-run"]].concat()).unwrap();
    assert!(told.contains("without --emulator, which"), "{told}");
    let told = missed(&base, &others).unwrap();
    assert!(told.contains("without --emulator, which"), "{told}");
    assert_eq!(missed(&base, &others), None);
}

#[test]
fn of_an_agent_it_is_told_too() {
    let base = launchd::with_launchd();
    let manager = ["--manager", "launchd"];
    let flags = ["--user-id=<a & b>", "--log-filter=falco=info"];
    assert_eq!(missed(&base, &[&manager[..], &flags].concat()), None);
    let told = missed(&base, &manager).unwrap();
    let words = "without '--user-id=<a & b>' --log-filter=falco=info, which it had";
    assert!(told.contains(words), "{told}");
    assert_eq!(missed(&base, &manager), None);
}

/// The socket units that are installed.
fn sockets(base: &Base) -> Vec<PathBuf> {
    let units = fs::read_dir(base.home().join(".config/systemd/user")).unwrap();
    let units = units.map(|unit| unit.unwrap().path());
    units
        .filter(|unit| unit.extension().is_some_and(|e| e == "socket"))
        .collect()
}

fn pid(base: &Base) -> serde_json::Value {
    base.status()["pid"].clone()
}

/// What systemd was asked since the last time.
fn asked(base: &Base) -> String {
    let file = base.home().join("systemd/asked");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, "").unwrap();
    text
}

#[test]
fn a_service_that_is_installed_anew_without_its_socket_has_none_any_more_and_says_so() {
    let base = systemd::with_systemd();
    let install = |flags: &[&str]| {
        let said = base.run(&[&["service", "install"], flags].concat());
        assert_eq!(said.code, 0, "{}", said.stderr);
        said
    };
    install(&["--socket"]);
    let [socket] = &sockets(&base)[..] else {
        panic!("no socket")
    };
    let (before, name) = (pid(&base), socket.file_name().unwrap().to_str().unwrap());
    let disable = format!("disable --now {name}\n");
    let words = "without --socket, which it had";

    asked(&base);
    let said = install(&["--dry-run"]);
    assert!(said.stderr.contains(words), "{}", said.stderr);
    let commands = format!("$ systemctl --user {disable}$ rm {}\n", socket.display());
    assert!(said.stdout.contains(&commands), "{}", said.stdout);
    assert!(socket.exists());
    assert!(!asked(&base).contains(" disable "));

    let said = install(&["--json"]);
    assert!(said.stderr.contains(words), "{}", said.stderr);
    let removed = format!("removed ~/.config/systemd/user/{name}: systemd listens on falco.sock");
    assert!(said.stderr.contains(&removed), "{}", said.stderr);
    let told: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(told["removed"], socket.to_str().unwrap());
    assert_eq!(told["changed"], true);
    assert!(sockets(&base).is_empty());
    let asked_for = asked(&base);
    assert!(asked_for.contains(&disable), "{asked_for}");
    assert_ne!(pid(&base), before, "it has to listen itself");

    let before = pid(&base);
    let said = install(&[]);
    assert!(!said.stderr.contains(words), "{}", said.stderr);
    assert_eq!(pid(&base), before);
    base.run(&["service", "uninstall"]);
}

#[test]
fn a_service_that_runs_is_stopped_before_systemd_begins_to_listen_for_it() {
    let base = systemd::with_systemd();
    let said = base.run(&["service", "install"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    asked(&base);
    let said = base.run(&["service", "install", "--socket"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let asked = asked(&base);
    let verbs = asked.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(2);
        let (verb, unit) = (words.next()?, words.next()?);
        let is_one = ["start", "stop", "restart"].contains(&verb);
        is_one.then(|| (verb, unit.rsplit('.').next().unwrap()))
    });
    let verbs: Vec<_> = verbs.collect();
    let order = [
        ("stop", "service"),
        ("start", "socket"),
        ("start", "service"),
    ];
    assert_eq!(verbs, order, "{asked}");
    base.run(&["service", "uninstall"]);
}

#[test]
fn a_socket_that_is_not_ours_is_left_alone() {
    let base = systemd::with_systemd();
    let said = base.run(&["service", "install", "--socket", "--no-start"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let socket = sockets(&base).remove(0);
    fs::write(&socket, "[Socket]\nListenStream=/run/theirs\n").unwrap();
    assert_eq!(missed(&base, &[]), None);
    assert!(fs::read_to_string(&socket).unwrap().contains("theirs"));
}
