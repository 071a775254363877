//! What is in the way of a service, and what is left as it was.

use std::fs;

use super::{asked, set, unit, units, well, with_systemd};

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
    let said = crate::base::said(&bare.env("PATH", "/nowhere").output().unwrap());
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
