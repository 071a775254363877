//! The units that would be written, and what systemd itself says of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use super::{units, well, with_systemd};
use crate::base::Base;

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
        let said = crate::base::said(&command.output().unwrap());
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
