//! `falco env`: what a shell makes of it.

use serde_json::Value;

use super::base::{Base, said};

/// What `script` prints in a shell, with the instance at `dir`.
fn shell(base: &Base, dir: &str, script: &str) -> String {
    let falco = env!("CARGO_BIN_EXE_falco");
    let whole = format!("eval \"$('{falco}' env)\" && {script}");
    let mut sh = std::process::Command::new("sh");
    sh.args(["-c", &whole]).env_clear().env("HOME", base.home());
    let said = said(&sh.env("UNBOUND_BASE_DIR", dir).output().unwrap());
    assert_eq!(said.code, 0, "{}", said.stderr);
    said.stdout
}

#[test]
fn a_shell_gets_the_places_whatever_the_directory_is_called() {
    let base = Base::new();
    for name in ["plain", "it's $HOME `id` \"x\"\\", "two\nlines ; exit 9"] {
        let dir = base.home().join(name);
        let dir = dir.to_str().unwrap();
        let got = shell(
            &base,
            dir,
            "printf '%s|%s' \"$UNBOUND_BASE_DIR\" \"$FALCO_SOCKET\"",
        );
        assert_eq!(got, format!("{dir}|{dir}/falco.sock"));
    }
}

#[test]
fn programs_that_the_shell_starts_get_the_variables() {
    let base = Base::new();
    let dir = base.dir();
    let got = shell(&base, dir.to_str().unwrap(), "env");
    for line in ["UNBOUND_ABLY_SOCKET=", "UNBOUND_ABLY_BROKER_SOCKET="] {
        assert!(got.contains(line), "{got}");
    }
    assert!(!dir.exists(), "nothing is made");
}

#[test]
fn the_json_says_the_same() {
    let base = Base::new();
    let said = base.run(&["env", "--json"]);
    let object: Value = serde_json::from_str(&said.stdout).unwrap();
    let socket = base.dir().join("falco.sock");
    assert_eq!(
        object["variables"]["FALCO_SOCKET"],
        socket.to_str().unwrap()
    );
}

#[test]
fn a_variable_that_is_empty_is_none() {
    let base = Base::new();
    let run = |args: &[&str]| {
        let mut falco = std::process::Command::new(env!("CARGO_BIN_EXE_falco"));
        falco.args(args).env_clear().env("HOME", base.home());
        for name in ["UNBOUND_BASE_DIR", "FALCO_SOCKET", "UNBOUND_ABLY_SOCKET"] {
            falco.env(name, "");
        }
        said(&falco.output().unwrap())
    };
    let place = base.home().join(".unbound");
    let told = run(&["env"]).stdout;
    assert!(told.contains(place.to_str().unwrap()), "{told}");
    let socket = place.join("falco.sock").display().to_string();
    for verb in [
        &["status"][..],
        &["lane", "list"],
        &["outbox", "list"],
        &["emit", "--event", "e"],
    ] {
        let told = run(verb);
        assert_eq!(told.code, 3, "{verb:?} {}", told.stderr);
    }
    assert!(run(&["emit", "--event", "e"]).stderr.contains(&socket));
    for verb in [
        &["stop", "--base-dir", ""][..],
        &["emit", "--event", "e", "--socket", ""],
    ] {
        assert_eq!(run(verb).code, 2, "{verb:?}: no other chain is meant");
    }
}
