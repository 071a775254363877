//! A service from its installation to its end, and the chain that it runs.

use std::fs;

use super::{asked, unit, units, well, with_systemd};
use crate::base::Base;

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
