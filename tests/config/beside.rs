//! `falco up` beside a chain that runs and is not what is asked for.

use std::fs;

use super::base::{Base, said};

const DEVICE: &str = "8c0e3d0c-9f6b-4a52-9c15-2d7f1f0a7c11";

/// One whose chain ends at an Ably that does not answer.
fn on_ably() -> Base {
    let base = Base::new().with_env("DAEMON_ABLY_ENDPOINT", "http://127.0.0.1:9");
    base.with_env("ABLY_API_KEY", "app.key:secret")
}

#[test]
fn an_up_that_asks_for_the_emulator_is_told_that_the_chain_ends_at_ably() {
    let base = on_ably();
    base.up();
    let pid = base.status()["pid"].clone();
    let by_variable = |upstream| {
        let up = base.falco(&["up"]).env("FALCO_UPSTREAM", upstream).output();
        said(&up.unwrap())
    };
    for said in [base.run(&["up", "--emulator"]), by_variable("emulator")] {
        assert_eq!(said.code, 78, "{}", said.stderr);
        let words = "error: the chain that runs ends at Ably, not at the emulator";
        assert!(said.stderr.contains(words), "{}", said.stderr);
        assert!(said.stderr.contains("hint: falco stop"), "{}", said.stderr);
    }
    assert_eq!(base.status()["pid"], pid, "it is left alone");
    for same in ["ably", "auto"] {
        assert_eq!(by_variable(same).code, 0);
    }
    assert_eq!(base.run(&["up"]).code, 0);

    base.run(&["logout"]);
    base.run(&["stop"]);
    let up = base.falco(&["up"]).env_remove("ABLY_API_KEY").output();
    assert_eq!(said(&up.unwrap()).code, 0);
    let said = base.run(&["up", "--emulator"]);
    assert_eq!(said.code, 78, "{}", said.stderr);
    assert!(
        said.stderr.contains("nobody is logged in"),
        "{}",
        said.stderr
    );
}

#[test]
fn an_up_that_asks_for_ably_is_told_that_the_chain_ends_at_the_emulator() {
    let base = Base::new();
    base.up();
    assert_eq!(base.run(&["up", "--emulator"]).code, 0);
    let up = base.falco(&["up"]).env("FALCO_UPSTREAM", "ably").output();
    let said = said(&up.unwrap());
    assert_eq!(said.code, 78, "{}", said.stderr);
    let words = "error: the chain that runs ends at the emulator, not at Ably";
    assert!(said.stderr.contains(words), "{}", said.stderr);
    let at = format!(" --base-dir {}", base.dir().display());
    let hint = format!("hint: falco stop{at}, then falco up{at}; or another --base-dir");
    assert!(said.stderr.contains(&hint), "{}", said.stderr);
}

#[test]
fn an_up_whose_file_names_another_end_than_the_chains_says_so_and_leaves_the_chain_alone() {
    for (base, other, at_other) in [
        (Base::new(), "ably", "at Ably"),
        (on_ably(), "emulator", "at the emulator"),
    ] {
        base.up();
        let pid = base.status()["pid"].clone();
        let up = |text: &str| {
            fs::write(base.dir().join("falco.toml"), text).unwrap();
            let said = base.run(&["up"]);
            assert_eq!(said.code, 0, "{}", said.stderr);
            said.stderr
        };
        let told = up(&format!("upstream = \"{other}\"\n"));
        let words = format!("falco.toml has the chain end {at_other}, and the one that runs ends");
        assert!(told.contains(&words), "{told}");
        let at = format!(" --base-dir {}", base.dir().display());
        let anew = format!("falco stop{at}, then falco up{at}\n");
        let reload = format!("to change that: falco reload{at}; or, if ");
        assert!(told.contains(&reload) && told.contains(&anew), "{told}");
        for text in ["", "upstream = \"auto\"\n"] {
            let told = up(text);
            assert!(!told.contains("falco.toml"), "{told}");
        }
        up(&format!("upstream = \"{other}\"\n"));
        let said = base.run(&["reload"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let told = up(&format!("upstream = \"{other}\"\n"));
        assert!(!told.contains("falco.toml"), "{told}");
        assert_eq!(base.status()["pid"], pid);
    }
}

#[test]
fn a_flag_that_goes_before_the_file_is_no_reason_to_speak_of_it() {
    let base = Base::new();
    base.up();
    fs::write(base.dir().join("falco.toml"), "upstream = \"ably\"\n").unwrap();
    let said = base.run(&["up", "--emulator"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!said.stderr.contains("falco.toml"), "{}", said.stderr);
}

#[test]
fn an_up_whose_file_names_another_device_or_user_says_so_and_leaves_the_chain_alone() {
    let base = Base::new();
    base.up();
    let before = base.status();
    for (what, other) in [("device", DEVICE), ("user", "somebody")] {
        let key = format!("{what}_id");
        let has = before[&key].as_str().unwrap();
        let says = |text: &str| {
            fs::write(base.dir().join("falco.toml"), text).unwrap();
            let said = base.run(&["up"]);
            assert_eq!(said.code, 0, "{}", said.stderr);
            let words =
                format!("falco.toml names {what} {other}, and the chain that runs is of {has}");
            (
                said.stderr.contains(&words),
                said.stderr.contains("falco.toml"),
            )
        };
        assert_eq!(says(&format!("{key} = \"{other}\"\n")), (true, true));
        assert_eq!(
            says(&format!("{key} = \"{}\"\n", has.to_uppercase())),
            (false, false)
        );
        assert_eq!(says(""), (false, false));
    }
    assert_eq!(base.status()["pid"], before["pid"]);
}
