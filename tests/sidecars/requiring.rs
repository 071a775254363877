//! What the chain is up without, and what not.

use std::fs;

use super::{file, shell};
use crate::base::{Base, PATIENCE, eventually};

const FOREVER: &str = "exec sleep 1000";

#[test]
fn a_sidecar_that_is_not_required_fails_and_the_chain_is_up_without_it() {
    let script = "test -e mended && exec sleep 1000; echo what a pity >&2; exit 78";
    let base = Base::configured(&shell("web", script, ""));
    let said = base.run(&["up"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    for text in ["up, but without web (exit 78)", "what a pity", "up in "] {
        assert!(said.stderr.contains(text), "{text}: {}", said.stderr);
    }
    base.emit();
    assert_eq!(base.status()["state"], "degraded");
    assert_eq!(base.part("web")["state"], "failed");
    assert_eq!(base.part("web")["optional"], true);
    assert_eq!(base.part("falco")["optional"], false);
    let again = base.run(&["up"]);
    assert_eq!(again.code, 1, "{}", again.stderr);
    assert!(again.stderr.contains("already running"), "{}", again.stderr);
    assert!(
        again.stderr.contains("without web (exit 78)"),
        "{}",
        again.stderr
    );

    fs::write(file(&base, "mended"), "").unwrap();
    assert_eq!(base.run(&["restart", "web"]).code, 0);
    assert_eq!(base.run(&["up"]).code, 0);
    assert_eq!(base.status()["state"], "running");
}

#[test]
fn one_that_fails_again_and_again_is_waited_for_no_longer_and_tried_further() {
    let script = "echo started >> starts; test -e mended && exec sleep 1000; exit 1";
    let more = "restart = { base = \"10ms\", cap = \"50ms\" }\nreadiness = { runs = \"10ms\" }";
    let base = Base::configured(&shell("web", script, more));
    let said = base.run(&["up"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stderr.contains("without web (exit 1)"),
        "{}",
        said.stderr
    );
    fs::write(file(&base, "mended"), "").unwrap();
    base.wait_ready();
}

#[test]
fn one_that_is_late_holds_up_the_start_as_long_as_it_may_take() {
    let never = "readiness = { line = \"never\", within = \"300ms\" }";
    let text = [
        shell("slow", FOREVER, never),
        shell("web", FOREVER, "after = [\"slow\"]"),
    ];
    let base = Base::configured(&text.concat());
    let began = std::time::Instant::now();
    let said = base.run(&["up"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(began.elapsed() < PATIENCE);
    let without = "without slow (not ready in time), web (waits for slow)";
    assert!(said.stderr.contains(without), "{}", said.stderr);
    base.emit();
}

#[test]
fn what_a_required_sidecar_comes_after_is_required_too() {
    let text = [
        shell("db", "exit 78", ""),
        shell("web", FOREVER, "after = [\"db\"]\nrequired = true"),
    ];
    let base = Base::configured(&text.concat());
    let said = base.run(&["up"]);
    assert_eq!(said.code, 69, "{}", said.stderr);
    assert!(
        said.stderr.contains("db never became ready: exit 78"),
        "{}",
        said.stderr
    );
    base.assert_nothing_left();
}

#[test]
fn a_chain_in_the_foreground_says_what_it_is_up_without() {
    let base = Base::configured(&shell("web", "exit 78", ""));
    let log = base.home().join("said");
    let mut up = base.falco(&["up", "--foreground"]);
    up.stderr(fs::File::create(&log).unwrap());
    let mut up = up.spawn().unwrap();
    eventually("it says so", || {
        fs::read_to_string(&log)
            .unwrap()
            .contains("without web: exit 78")
    });
    base.emit();
    assert_eq!(base.run(&["stop"]).code, 0);
    assert!(up.wait().unwrap().success());
}
