//! `falco service install` over a service that is installed already.

use std::fs;

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
