//! `falco.toml`: read, checked, shown, and obeyed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::Value;

use super::base::Base;

fn with_file(toml: &str) -> Base {
    let base = Base::new();
    fs::create_dir(base.dir()).unwrap();
    fs::write(base.dir().join("falco.toml"), toml).unwrap();
    base
}

#[test]
fn check_tells_every_mistake_with_its_place_and_ends_with_78() {
    let base = with_file("[transport]\nformt = \"json\"\npublish_timeout = 5\n");
    let said = base.run(&["config", "check"]);
    assert_eq!(said.code, 78);
    let place = format!("error: {}/falco.toml:", base.dir().display());
    let lines: Vec<_> = said.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{}", said.stderr);
    assert!(
        lines[0].starts_with(&format!("{place}2:1: transport.formt: ")),
        "{}",
        lines[0]
    );
    assert!(
        lines[0].ends_with("did you mean \"format\"?"),
        "{}",
        lines[0]
    );
    assert!(
        lines[1].starts_with(&format!("{place}3:19: ")),
        "{}",
        lines[1]
    );
}

#[test]
fn check_tells_of_what_is_named_and_not_there_wherever_that_is() {
    let credentials = "[credentials]\ntoken_endpoint = \"https://example.com/token\"\n\
                       token_bearer_file = \"no-bearer\"\n";
    let sidecar = "[[sidecar]]\nname = \"web\"\ncommand = \"/no/such/program\"\n";
    let base = with_file(&format!("{credentials}{sidecar}"));
    let said = base.run(&["config", "check"]);
    assert_eq!(said.code, 78, "{}", said.stderr);
    for name in ["no-bearer", "/no/such/program"] {
        assert!(said.stderr.contains(name), "{name}: {}", said.stderr);
    }
}

#[test]
fn wrong_names_and_credentials_that_cannot_be_read_are_told_together_as_a_wrong_configuration() {
    let base = with_file("[[sidecar]]\nname = \"a\"\ncommand = \"no-such-program\"\n");
    let credentials = base.dir().join("credentials.json");
    std::os::unix::fs::symlink(base.dir().join("elsewhere"), &credentials).expect("links");
    let said = base.run(&["config", "check"]);
    assert_eq!(said.code, 78, "{}", said.stderr);
    let names = said.stderr.find("no-such-program");
    let secrets = said.stderr.find("credentials.json");
    assert!(names.is_some() && names < secrets, "{}", said.stderr);

    fs::write(base.dir().join("falco.toml"), "").expect("writes");
    let said = base.run(&["config", "check"]);
    assert_eq!(said.code, 73, "{}", said.stderr);
}

#[test]
fn up_starts_nothing_with_a_file_that_is_wrong() {
    let base = with_file("upstream = \"nowhere\"\n");
    let said = base.run(&["up"]);
    assert_eq!(said.code, 78, "{}", said.stderr);
    assert!(
        said.stderr.contains("falco.toml:1:12: upstream: "),
        "{}",
        said.stderr
    );
    assert!(!base.dir().join("falco.pid").exists());
    assert!(!base.dir().join("identity.json").exists());
    base.assert_nothing_left();
}

#[test]
fn a_file_that_others_can_write_is_not_read() {
    let base = with_file("");
    let file = base.dir().join("falco.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    for verb in [&["up"][..], &["config", "check"], &["config", "show"]] {
        let said = base.run(verb);
        assert_eq!(said.code, 78, "{}", said.stderr);
        assert!(said.stderr.contains("chmod go-w"), "{}", said.stderr);
    }
}

#[test]
fn show_says_who_decided_each_value() {
    let base = with_file("user_id = \"ann\"\n[falco]\npublish_timeout = \"7s\"\n");
    let base = base.with_env("DAEMON_ABLY_FORMAT", "json");
    let said = base.run(&["config", "show", "--origin", "--user-id", "bob"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let line = |key: &str| {
        let found = said.stdout.lines().find(|line| line.starts_with(key));
        found
            .unwrap()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("user_id"), "user_id = \"bob\" # flag --user-id");
    let timeout = "falco.publish_timeout = \"7s\" # falco.toml:3";
    assert_eq!(line("falco.publish_timeout"), timeout);
    let format = "transport.format = \"json\" # env DAEMON_ABLY_FORMAT";
    assert_eq!(line("transport.format"), format);
    assert_eq!(line("upstream"), "upstream = \"auto\" # default");

    let said = base.run(&["config", "show", "--json"]);
    let rows: Vec<Value> = serde_json::from_str(&said.stdout).unwrap();
    let row = rows.iter().find(|row| row["key"] == "user_id").unwrap();
    assert_eq!((&row["origin"], &row["line"]), (&"file".into(), &1.into()));
}

#[test]
fn the_chain_obeys_the_file_and_the_environment_more() {
    const DEVICE: &str = "7c9e6679-7425-40de-944b-e07fc1f90ae7";
    let toml = format!(
        "device_id = \"{DEVICE}\"\nuser_id = \"ann\"\n[log]\nfilter = \"falco=debug\"\nfiles = 2\n"
    );
    let base = with_file(&toml).with_env("UNBOUND_USER_ID", "bob");
    base.up();
    let status = base.status();
    assert_eq!(status["device_id"], DEVICE);
    assert_eq!(status["user_id"], "bob");
    let log = fs::read_to_string(base.dir().join("logs/transport.log")).unwrap_or_default();
    assert!(log.contains("DEBUG"), "{log}");
}

#[test]
fn a_transport_of_the_file_is_the_one_that_runs() {
    let base = with_file("[transport]\nbinary = \"/bin/false\"\n");
    let said = base.run(&["up"]);
    assert_eq!(said.code, 69, "{}", said.stderr);
    assert!(
        said.stderr.contains("transport never became ready"),
        "{}",
        said.stderr
    );
}

#[test]
fn broker_tokens_are_taken_from_the_environment_only() {
    let base = Base::new();
    let program = env!("CARGO_BIN_EXE_falco");
    let link = base.home().join("daemon-ably");
    std::os::unix::fs::symlink(program, &link).unwrap();
    for flag in [
        "--broker-token-falco",
        "--broker-token-nagato",
        "--presence-token",
    ] {
        let output = std::process::Command::new(&link)
            .args(["--device-id", "d", "--user-id", "u", flag, "s3cret"])
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8(output.stderr).unwrap();
        assert!(text.contains("unexpected argument"), "{text}");
    }
}
