//! Parts stopped and restarted by name, and a configuration read anew.

use std::process::Stdio;

use crate::base::{Base, eventually, kill};

#[test]
fn a_reload_of_the_same_configuration_keeps_every_part() {
    let base = Base::new();
    base.up();
    let before = base.pid_of("transport");
    let said = base.run(&["reload"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr
            .contains("kept       broker, emulator, transport, falco"),
        "{}",
        said.stderr
    );
    assert_eq!(base.pid_of("transport"), before);
}

#[test]
fn a_part_stopped_by_name_stays_so_until_it_is_restarted_by_name() {
    let base = Base::new();
    base.up();
    let said = base.run(&["stop", "transport"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let told = "what comes after it goes on without it: falco";
    assert!(said.stderr.contains(told), "{}", said.stderr);
    assert_eq!(base.part("transport")["state"], "stopped");
    assert_eq!(base.part("falco")["state"], "running");
    assert_eq!(base.run(&["status"]).code, 1);
    assert_eq!(base.run(&["stop", "transport"]).code, 0, "already so");

    let said = base.run(&["restart", "transport"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(base.run(&["status"]).code, 0);
    base.emit();
}

#[test]
fn a_name_that_is_nobodys_changes_nothing_and_says_which_there_are() {
    let base = Base::new();
    base.up();
    for verb in ["stop", "restart"] {
        let said = base.run(&[verb, "transport", "nobody"]);
        assert_eq!(said.code, 2, "{}", said.stderr);
        let known = r#"no part "nobody"; there are broker, emulator, transport, falco"#;
        assert!(said.stderr.contains(known), "{}", said.stderr);
    }
    assert_eq!(base.part("transport")["incarnation"], 1);
}

#[test]
fn what_cannot_be_done_as_things_are_is_no_wrong_usage() {
    let sidecar = |name: &str, more: &str| {
        format!("[[sidecar]]\nname = \"{name}\"\ncommand = \"sleep\"\nargs = [\"1000\"]\n{more}\n")
    };
    let base = Base::configured("");
    base.up();
    let slow = sidecar("slow", "readiness = { line = \"never\", within = \"60s\" }");
    base.configure(&(slow + &sidecar("web", "after = [\"slow\"]")));
    let reload = base.falco(&["reload"]).stderr(Stdio::null()).spawn();
    eventually("it waits", || base.part("web")["state"] == "waiting");
    let said = base.run(&["restart", "web"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stderr.contains("web waits for slow"),
        "{}",
        said.stderr
    );
    // Nobody waits for the reload any more.
    let mut reload = reload.unwrap();
    reload.kill().unwrap();
    reload.wait().unwrap();
}

#[test]
fn a_hangup_reloads_a_detached_chain_and_ends_nothing() {
    let base = Base::new();
    let pid = base.up();
    kill(pid, "HUP");
    let log = base.dir().join("logs/falco.log");
    eventually("it has reloaded", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("The configuration was reloaded.")
    });
    assert_eq!(base.run(&["status"]).code, 0);
}
