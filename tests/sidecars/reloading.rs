//! Another configuration for a chain that runs.

use std::fs;

use super::{file, shell};
use crate::base::{Base, Said, eventually};

const FOREVER: &str = "exec sleep 1000";

fn reload(base: &Base, text: &str) -> Said {
    base.configure(text);
    base.run(&["reload"])
}

#[test]
fn a_reload_starts_what_is_new_stops_what_is_gone_and_restarts_what_changed() {
    let (old, same) = (shell("old", FOREVER, ""), shell("same", FOREVER, ""));
    let before = [old, same.clone(), shell("web", FOREVER, "")];
    let base = Base::configured(&before.concat());
    base.up();
    let pids = ["same", "transport"].map(|name| base.pid_of(name));
    let web = base.pid_of("web");

    let changed = shell("web", FOREVER, "env = { A = \"1\" }");
    let after = [same, changed, shell("new", FOREVER, "after = [\"web\"]")];
    let said = reload(&base, &after.concat());
    assert_eq!(said.code, 0, "{}", said.stderr);
    for line in [
        "started    new",
        "restarted  web",
        "stopped    old",
        "kept       broker, emulator, transport, falco, same",
    ] {
        assert!(said.stderr.contains(line), "{line}: {}", said.stderr);
    }
    assert_eq!(["same", "transport"].map(|name| base.pid_of(name)), pids);
    assert_ne!(base.pid_of("web"), web);
    assert_eq!(base.part("new")["state"], "running");
    assert!(base.part("old").is_null());
    assert_eq!(base.run(&["status"]).code, 0);
}

#[test]
fn rules_that_are_no_part_of_what_a_sidecar_is_given_change_without_a_restart() {
    let base = Base::configured(&shell("web", FOREVER, ""));
    base.up();
    let web = base.pid_of("web");
    let said = reload(
        &base,
        &shell(
            "web",
            FOREVER,
            "restart = { base = \"1s\" }\nstop = { grace = \"1s\" }",
        ),
    );
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(base.pid_of("web"), web);
}

#[test]
fn another_content_of_its_env_file_restarts_a_sidecar() {
    let base = Base::configured(&shell("web", FOREVER, "env_file = \"web.env\""));
    fs::write(file(&base, "web.env"), "A=1\n").unwrap();
    base.up();
    fs::write(file(&base, "web.env"), "A=2\n").unwrap();
    let said = base.run(&["reload"]);
    assert!(said.stderr.contains("restarted  web"), "{}", said.stderr);
}

#[test]
fn a_file_with_a_mistake_changes_nothing_and_says_where_it_is() {
    let base = Base::configured(&shell("web", FOREVER, ""));
    base.up();
    let web = base.pid_of("web");
    let said = reload(
        &base,
        "[[sidecar]]\nname = \"web\"\ncommand = \"sh\"\nargz = []\n",
    );
    assert_eq!(said.code, 78);
    for word in ["falco.toml:4:", "argz", "hint: mend it; falco config check"] {
        assert!(said.stderr.contains(word), "{word}: {}", said.stderr);
    }
    assert_eq!(base.pid_of("web"), web);
    assert_eq!(base.run(&["status"]).code, 0);
}

#[test]
fn clients_of_falco_notice_nothing_of_a_reload() {
    let base = Base::configured("");
    base.up();
    let inode = |base: &Base| {
        use std::os::unix::fs::MetadataExt;
        fs::metadata(base.socket("falco.sock")).unwrap().ino()
    };
    let before = inode(&base);
    let said = reload(&base, "[falco]\npublish_timeout = \"4s\"\n");
    assert!(said.stderr.contains("restarted  falco"), "{}", said.stderr);
    assert_eq!(inode(&base), before, "the same listening socket");
    base.emit();
}

#[test]
fn a_reload_puts_effects_on_disk_and_names_further_transports() {
    let base = Base::configured("");
    base.up();
    let said = reload(&base, "[delivery]\nmode = \"outbox\"\n");
    assert!(said.stderr.contains("restarted  falco"), "{}", said.stderr);
    assert!(base.dir().join("outbox").is_dir());
    base.emit();
    let route = "[[route]]\nname = \"other\"\nsocket = \"other.sock\"\n";
    let said = reload(&base, &format!("[delivery]\nmode = \"outbox\"\n{route}"));
    assert!(said.stderr.contains("restarted  falco"), "{}", said.stderr);
    base.emit();
}

#[test]
fn a_sidecar_that_does_not_come_up_degrades_the_chain_and_fails_the_reload() {
    let base = Base::configured("");
    base.up();
    let said = reload(&base, &shell("web", "exit 78", ""));
    assert_eq!(said.code, 69, "{}", said.stderr);
    assert!(
        said.stderr.contains("web never became ready: exit 78"),
        "{}",
        said.stderr
    );
    assert_eq!(base.part("web")["state"], "failed");
    base.emit();
    assert_eq!(reload(&base, "").code, 0);
    assert_eq!(base.run(&["status"]).code, 0);
}

#[test]
fn what_the_supervisor_logs_follows_a_reload() {
    let filtered = |filter| {
        format!(
            "[log]\nfilter = \"{filter}\"\n{}",
            shell("web", "sleep 100", "")
        )
    };
    let base = Base::configured(&filtered("warn"));
    let pid = base.up();
    let web = base.part("web")["pid"].clone();
    let log = || fs::read_to_string(file(&base, "logs/falco.log")).unwrap_or_default();
    assert!(!log().contains("INFO"), "{}", log());
    let said = reload(&base, &filtered("falco=info"));
    assert_eq!(said.code, 0, "{}", said.stderr);
    eventually("it is in the log", || {
        log().contains("The configuration was reloaded.")
    });
    assert_eq!(reload(&base, &filtered("warn")).code, 0);
    for _ in 0..3 {
        assert_eq!(base.run(&["reload"]).code, 0);
    }
    assert_eq!(base.part("web")["pid"], web, "a filter of ours is not its");
    assert_eq!(base.pid_of_supervisor(), pid);
    // A stop waits for the log.
    assert_eq!(base.run(&["stop"]).code, 0);
    let told = log().matches("The configuration was reloaded.").count();
    assert!(told <= 2, "quiet again: {told}");
}

#[test]
fn who_is_only_treated_in_another_way_goes_on_and_is_named() {
    let script = "exec sleep 1000";
    let base = Base::configured(&shell("web", script, "stop = { grace = \"1s\" }"));
    base.up();
    let before = base.pid_of("web");
    let said = reload(&base, &shell("web", script, "stop = { grace = \"2s\" }"));
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("updated    web"), "{}", said.stderr);
    let kept = "kept       broker, emulator, transport, falco\n";
    assert!(said.stderr.contains(kept), "{}", said.stderr);
    assert_eq!(base.pid_of("web"), before);
}
