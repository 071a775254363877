//! Sidecars that fail, hang, or will not end.

use std::fs;

use super::{count_lines, file, shell};
use crate::base::{Base, eventually, kill};
use crate::suspended::{resume, suspend};

#[test]
fn a_sidecar_that_no_longer_answers_is_restarted_for_that() {
    let script = "touch alive; echo started >> starts; exec sleep 1000";
    let more = "liveness = { command = [\"test\", \"-e\", \"alive\"], every = \"50ms\", timeout = \"60s\", failures = 2 }\nrestart = { base = \"10ms\" }";
    let base = Base::configured(&shell("web", script, more));
    fs::write(file(&base, "alive"), "").unwrap();
    base.up();
    eventually("it runs", || count_lines(&file(&base, "starts")) == 1);
    fs::remove_file(file(&base, "alive")).unwrap();
    eventually("it was restarted", || {
        2 <= count_lines(&file(&base, "starts"))
    });
    base.wait_ready();
    eventually("the log says why", || {
        let log = fs::read_to_string(file(&base, "logs/falco.log")).unwrap();
        log.contains("not alive: exit 1")
    });
}

#[test]
fn a_sidecar_that_sends_no_watchdog_is_restarted() {
    let script = "echo started >> starts; exec sleep 1000";
    let more = "liveness = { watchdog = true, every = \"100ms\", failures = 2 }\nrestart = { base = \"10ms\" }";
    let base = Base::configured(&shell("web", script, more));
    base.up();
    eventually("it was restarted", || {
        2 <= count_lines(&file(&base, "starts"))
    });
}

#[test]
fn while_we_were_suspended_nobody_missed_a_question() {
    let script = "echo started >> starts; exec sleep 1000";
    let more = "liveness = { command = [\"test\", \"-e\", \"alive\"], every = \"100ms\", failures = 1, resume_grace = \"60s\" }";
    let base = Base::configured(&shell("web", script, more));
    fs::write(file(&base, "alive"), "").unwrap();
    let pid = base.up();
    eventually("it runs", || count_lines(&file(&base, "starts")) == 1);
    suspend(pid);
    // Whoever is being asked, or is about to be, is so before that.
    eventually("the last question is over", || {
        let all = base.processes();
        let asks = |line: &str| line.starts_with("test ");
        let ours = all.iter().filter(|(_, line)| line.contains("__daemon"));
        ours.count() == 1 && !all.iter().any(|(_, line)| asks(line))
    });
    fs::remove_file(file(&base, "alive")).unwrap();
    // Longer than any lateness of our own.
    std::thread::sleep(std::time::Duration::from_millis(2500));
    resume(pid);
    let log = file(&base, "logs/falco.log");
    eventually("it has noticed", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.contains("Time passed in which nothing ran")
    });
    assert_eq!(base.part("web")["incarnation"], 1);
    assert_eq!(count_lines(&file(&base, "starts")), 1);
}

#[test]
fn a_permanent_exit_code_is_not_retried_and_the_others_go_on() {
    let script = "echo started >> starts; if test -e broken; then exit 78; fi; exec sleep 1000";
    let base = Base::configured(&shell("web", script, ""));
    base.up();
    eventually("it runs", || count_lines(&file(&base, "starts")) == 1);
    fs::write(file(&base, "broken"), "").unwrap();
    kill(base.pid_of("web"), "KILL");
    eventually("it gave up", || base.part("web")["state"] == "failed");
    assert_eq!(count_lines(&file(&base, "starts")), 2);
    let said = base.run(&["status"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    base.emit();

    fs::remove_file(file(&base, "broken")).unwrap();
    assert_eq!(base.run(&["restart", "web"]).code, 0);
    assert_eq!(base.run(&["status"]).code, 0);
}

#[test]
fn a_crash_loop_is_shown_as_one_and_goes_on_being_tried() {
    let script = "if test -e broken; then echo no database; exit 1; fi; exec sleep 1000";
    let more = "restart = { base = \"10ms\", cap = \"50ms\" }\nreadiness = { runs = \"10ms\" }";
    let base = Base::configured(&shell("web", script, more));
    base.up();
    fs::write(file(&base, "broken"), "").unwrap();
    kill(base.pid_of("web"), "KILL");
    eventually("it loops", || base.part("web")["state"] == "crash-loop");
    let said = base.run(&["status"]);
    assert_eq!(said.code, 1);
    assert!(said.stdout.contains("crash-loop"), "{}", said.stdout);
    // Between two lives it has said it; a life that has just begun may not have.
    eventually("what it wrote is told", || {
        base.part("web")["said_last"] == "no database"
    });
    eventually("people are told, too", || {
        let said = base.run(&["status"]);
        said.stdout.contains("! web said last: no database; ")
    });
    fs::remove_file(file(&base, "broken")).unwrap();
    base.wait_ready();
}

#[test]
fn a_required_sidecar_that_cannot_start_fails_the_start_and_nothing_stays() {
    let web = "[[sidecar]]\nname = \"web\"\ncommand = \"no-such-program\"\nrequired = true\n";
    let base = Base::configured(web);
    let said = base.run(&["up"]);
    assert_eq!(said.code, 69, "{}", said.stderr);
    assert!(
        said.stderr.contains("no program no-such-program"),
        "{}",
        said.stderr
    );
    base.assert_nothing_left();
}

#[test]
fn a_sidecar_that_has_finished_is_well() {
    let text = [
        shell(
            "migrate",
            "echo done >> migrated",
            "restart = { when = \"on-failure\" }",
        ),
        shell(
            "web",
            "test -e migrated && exec sleep 1000",
            "after = [\"migrate\"]",
        ),
    ];
    let base = Base::configured(&text.concat());
    base.up();
    assert_eq!(base.part("migrate")["state"], "finished");
    assert_eq!(base.run(&["status"]).code, 0);
    assert_eq!(count_lines(&file(&base, "migrated")), 1);
}

#[test]
fn those_after_a_sidecar_go_with_it_only_if_its_policy_says_so() {
    let text = [
        shell(
            "db",
            "exec sleep 1000",
            "restart = { base = \"10ms\", scope = \"dependents\" }",
        ),
        shell(
            "app",
            "exec sleep 1000",
            "after = [\"db\"]\nrestart = { base = \"10ms\" }",
        ),
        shell("web", "exec sleep 1000", "after = [\"app\"]"),
    ];
    let base = Base::configured(&text.concat());
    base.up();
    let (app, web) = (base.pid_of("app"), base.pid_of("web"));
    kill(app, "KILL");
    eventually("app is back", || {
        let part = base.part("app");
        part["state"] == "running" && part["pid"] != app
    });
    assert_eq!(base.pid_of("web"), web, "app takes nobody with it");

    kill(base.pid_of("db"), "KILL");
    eventually("all are back", || {
        let web = base.part("web");
        web["state"] == "running" && web["incarnation"] == 2
    });
    assert_eq!(base.part("app")["incarnation"], 3);
}

#[test]
fn a_sidecar_is_stopped_with_its_signal_and_killed_after_its_grace() {
    let polite = "trap 'echo int > ended; exit 0' INT; echo ready; while :; do sleep 0.01; done";
    let deaf = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    let line = "readiness = { line = \"ready\" }\n";
    let text = [
        shell(
            "polite",
            polite,
            &format!("{line}stop = {{ signal = \"INT\" }}"),
        ),
        shell(
            "deaf",
            deaf,
            &format!("{line}stop = {{ grace = \"100ms\" }}"),
        ),
    ];
    let base = Base::configured(&text.concat());
    base.up();
    let said = base.run(&["stop"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("deaf       killed"), "{}", said.stderr);
    assert_eq!(fs::read_to_string(file(&base, "ended")).unwrap(), "int\n");
    base.assert_nothing_left();
}
