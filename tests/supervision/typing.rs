//! Commands that a person is told to type: as they stand they mean the instance
//! that tells them, whoever in the chain has made the sentence.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::base::{Base, Said};

#[test]
fn a_command_that_is_told_to_be_typed_means_the_instance_that_tells_it() {
    let base = Base::called("the base");
    let at = format!(" --base-dir '{}'", base.dir().display());
    let up = format!("falco up{at}");
    assert!(
        base.run(&["status"])
            .stdout
            .contains(&format!("start: {up}\n"))
    );
    for verb in [&["reload"][..], &["emit", "--event", "e"], &["logs"]] {
        let said = base.run(verb);
        assert!(said.stderr.contains(&up), "{verb:?} {}", said.stderr);
    }
    let told = base.run(&["up"]).stderr;
    for verb in ["tail", "emit", "status", "stop"] {
        assert!(told.contains(&format!("falco {verb}{at}")), "{verb} {told}");
    }
    let anew = format!("hint: falco stop{at}, then {up}");
    for (args, hint) in [
        (&["up", "--user-id", "somebody"][..], &anew),
        (
            &["up", "--foreground"],
            &format!("hint: falco stop{at}, then falco up --foreground{at}"),
        ),
    ] {
        let said = base.run(args);
        assert!(said.stderr.contains(hint), "{args:?} {}", said.stderr);
    }
    base.run(&["stop", "transport"]);
    let said = base.run(&["up"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let again = format!("falco restart PART{at} starts one again");
    assert!(said.stderr.contains(&again), "{}", said.stderr);
}

/// What `said` tells to type, by verb, and that it is told for `base` and as it is
/// to be typed.
fn assert_typed(base: &Base, said: &Said, verbs: &[&str]) {
    let at = format!(" --base-dir '{}'", base.dir().display());
    let told = format!("{}{}", said.stdout, said.stderr);
    for verb in verbs {
        let command = format!("falco {verb}{at}");
        assert!(told.contains(&command), "{command}: {told}");
        assert!(!told.contains(&format!("falco {verb};")), "{verb}: {told}");
    }
    assert!(!told.contains('`'), "{told}");
}

#[test]
fn what_the_chain_itself_says_to_type_means_its_instance_too() {
    let base = Base::called("the base");
    base.up();
    // While something else is there, it does not come back by itself.
    let aside = base.home().join("aside");
    fs::write(&aside, "").unwrap();
    fs::rename(&aside, base.socket("falco.sock")).unwrap();
    assert_typed(&base, &base.run(&["status"]), &["restart falco"]);
    assert_typed(&base, &base.run(&["status", "falco"]), &["restart falco"]);
    assert_typed(&base, &base.run(&["up"]), &["restart falco", "status"]);
    let looked = base.run(&["doctor"]);
    assert_typed(&base, &looked, &["restart falco", "status", "logs falco"]);
    let trouble = base.part("falco")["trouble"].clone();
    let at = format!("falco restart falco --base-dir '{}'", base.dir().display());
    assert!(trouble.as_str().unwrap().ends_with(&at), "{trouble}");
    fs::remove_file(base.socket("falco.sock")).unwrap();

    base.configure(
        "[[sidecar]]\nname = \"web\"\ncommand = \"/bin/false\"\nrestart = { when = \"never\" }\n",
    );
    assert_typed(&base, &base.run(&["reload"]), &["logs web"]);
    assert_typed(&base, &base.run(&["restart", "web"]), &["logs web"]);
    let wait = base.run(&["status", "--wait", "ready", "--timeout", "30"]);
    assert_typed(&base, &wait, &["restart web"]);
}

#[test]
fn what_mends_a_configuration_and_what_is_kept_of_a_login_means_their_instance() {
    let base = Base::called("the base");
    base.make();
    for toml in ["upstream = \"nowhere\"\n", "upstream = 1\nfalcon = 2\n"] {
        base.configure(toml);
        let said = base.run(&["up"]);
        assert_eq!(said.code, 78, "{}", said.stderr);
        assert_typed(&base, &said, &["config check"]);
        assert_typed(&base, &base.run(&["login"]), &["config check"]);
    }
    base.configure("[credentials]\napi_key = \"secret\"\n");
    assert_typed(&base, &base.run(&["config", "check"]), &["login"]);

    base.configure("upstream = \"ably\"\n");
    let kept = base.dir().join("credentials.json");
    fs::write(&kept, "{").unwrap();
    fs::set_permissions(&kept, fs::Permissions::from_mode(0o600)).unwrap();
    for verb in [&["config", "check"][..], &["config", "show"], &["up"]] {
        let said = base.run(verb);
        assert_eq!(said.code, 78, "{verb:?} {}", said.stderr);
        assert_typed(&base, &said, &["login", "logout"]);
    }
}
