//! Sidecars that end by themselves and were meant to; and waiting for what
//! comes, or never will.

use std::time::Instant;

use super::shell;
use crate::base::{Base, PATIENCE};

const ONCE: &str = "restart = { when = \"never\" }";

#[test]
fn one_that_has_done_what_it_was_for_is_well_by_name_and_in_the_whole() {
    let base = Base::configured(&shell("once", "exit 0", ONCE));
    base.up();
    assert_eq!(base.run(&["status", "--wait", "ready"]).code, 0);
    let said = base.run(&["status", "once"]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    let row = said.stdout.lines().nth(1).unwrap();
    assert!(row.contains("finished") && row.contains("done"), "{row}");
    let wait = ["status", "once", "--wait", "ready", "--timeout", "20"];
    assert_eq!(base.run(&wait).code, 0);
    let wait = ["status", "once", "--wait", "stopped", "--timeout", "20"];
    assert_eq!(base.run(&wait).code, 0, "it is over");
}

#[test]
fn one_that_failed_for_good_is_not_waited_for() {
    let base = Base::configured("");
    base.up();
    base.configure(&shell("once", "exit 3", ONCE));
    assert_eq!(base.run(&["reload"]).code, 69);
    let said = base.run(&["status", "once"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    for names in [&["once"][..], &[]] {
        let began = Instant::now();
        let wait = ["--wait", "ready", "--timeout", "600"];
        let said = base.run(&[&["status"], names, &wait].concat());
        assert_eq!(said.code, 1, "{}", said.stderr);
        for text in ["once has failed for good: exit 3", "falco restart once"] {
            assert!(said.stderr.contains(text), "{text}: {}", said.stderr);
        }
        assert!(began.elapsed() < PATIENCE, "it waited");
    }
}

#[test]
fn a_wait_for_what_does_not_come_ends_in_time_and_says_what_there_is() {
    let base = Base::configured("");
    let late = |args: &[&str], why: &str| {
        let wait = ["--timeout", "2"];
        let said = base.run(&[&["status"], args, &wait].concat());
        assert_eq!(said.code, 75, "{args:?} {}", said.stderr);
        assert!(said.stderr.contains(why), "{why}: {}", said.stderr);
    };
    late(&["--wait", "ready"], "nothing runs");
    base.up();
    late(&["--wait", "stopped"], "falco is running");
    late(&["transport", "--wait", "stopped"], "transport is running");
    assert_eq!(base.run(&["stop", "transport"]).code, 0);
    late(&["transport", "--wait", "ready"], "transport is stopped");
    let wait = ["status", "transport", "--wait", "stopped"];
    assert_eq!(base.run(&wait).code, 0);
    assert_eq!(base.run(&["status", "nobody", "--wait", "ready"]).code, 2);
}
