//! What a sidecar names outside of the configuration: told before it is
//! needed, and where to mend it.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{file, shell};
use crate::base::{Base, Said, eventually};

/// `falco config check`, which must find something.
fn checked(base: &Base) -> String {
    let Said { code, stderr, .. } = base.run(&["config", "check"]);
    assert_eq!(code, 78, "{stderr}");
    stderr
}

fn assert_told(text: &str, base: &Base, expected: &[(&str, &str)]) {
    let dir = base.dir().display();
    for (place, what) in expected {
        let start = format!("error: {dir}/{place}: ");
        let line = text.lines().find(|line| line.starts_with(&start));
        let line = line.unwrap_or_else(|| panic!("{place}: {text}"));
        assert!(line.contains(what), "{what}: {line}");
    }
    assert_eq!(text.lines().count(), expected.len(), "{text}");
}

const WRONG: &str = r#"
[[sidecar]]
name = "web"
command = "no-such-program"
cwd = "nowhere"
env_file = "web.env"

[[sidecar]]
name = "app"
command = "./app"
env_file = "app.env"
readiness = { command = ["no-such-probe"] }
"#;

#[test]
fn check_and_doctor_tell_what_is_not_there_and_where_it_is_named() {
    let base = Base::configured(WRONG);
    fs::write(file(&base, "app"), "").unwrap();
    fs::write(file(&base, "app.env"), "A=1\nexport B=2\n").unwrap();
    let expected = [
        (
            "falco.toml:4:11",
            "sidecar.web.command: there is no program no-such-program",
        ),
        ("falco.toml:5:7", "sidecar.web.cwd: "),
        ("falco.toml:6:12", "web.env: No such file"),
        ("falco.toml:10:11", "app is not executable"),
        ("app.env:2:1", "sidecar.app.env_file: leave out export"),
        (
            "falco.toml:12:13",
            "sidecar.app.readiness.command: there is no program",
        ),
    ];
    assert_told(&checked(&base), &base, &expected);
    let said = base.run(&["doctor"]);
    assert_eq!(said.code, 1);
    for (_, what) in expected {
        let told = |line: &str| line.starts_with("FAIL  sidecars") && line.contains(what);
        assert!(said.stdout.lines().any(told), "{what}: {}", said.stdout);
    }
}

#[test]
fn a_transport_that_is_not_there_or_cannot_be_run_is_told() {
    let base = Base::configured("[transport]\nbinary = \"my-ably\"\n");
    let told = "transport.binary: ";
    assert_told(&checked(&base), &base, &[("falco.toml:2:10", told)]);
    fs::write(file(&base, "my-ably"), "").unwrap();
    let told = "my-ably is not executable";
    assert_told(&checked(&base), &base, &[("falco.toml:2:10", told)]);
    let program = file(&base, "my-ably");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(base.run(&["config", "check"]).code, 0);

    let base = base.with_env("DAEMON_ABLY_BINARY", "/no/such/program");
    let text = checked(&base);
    let start = "error: DAEMON_ABLY_BINARY: transport.binary: /no/such/program: ";
    assert!(text.starts_with(start), "{text}");
}

#[test]
fn a_file_of_variables_that_cannot_be_read_is_told() {
    let base = Base::configured(&shell("web", "exec sleep 1000", "env_file = \"web.env\""));
    let path = file(&base, "web.env");
    fs::create_dir(&path).unwrap();
    assert_told(
        &checked(&base),
        &base,
        &[("falco.toml:5:12", "not a regular file")],
    );
    fs::remove_dir(&path).unwrap();
    fs::write(&path, b"A=\xff").unwrap();
    assert_told(&checked(&base), &base, &[("falco.toml:5:12", "UTF-8")]);
    fs::write(&path, "A='x\n").unwrap();
    assert_told(&checked(&base), &base, &[("web.env:1:3", "not closed")]);
    if !nix::unistd::geteuid().is_root() {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
        assert_told(&checked(&base), &base, &[("falco.toml:5:12", "denied")]);
    }
    fs::remove_file(&path).unwrap();
    fs::write(&path, "A=1\nA=2\n").unwrap();
    let said = base.run(&["config", "check"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr
            .contains("web.env:1:1: sidecar.web.env_file: A is set again in line 2")
    );
}

#[test]
fn a_program_is_looked_for_in_the_path_that_the_sidecar_has() {
    let text = "[[sidecar]]\nname = \"web\"\ncommand = \"my-web\"\nenv_file = \"web.env\"\n";
    let base = Base::configured(text);
    let bin = base.home().join("bin");
    fs::create_dir(&bin).unwrap();
    fs::rename(
        base.script("my-web", "echo $GREETING; exec sleep 1000"),
        bin.join("my-web"),
    )
    .unwrap();
    fs::write(file(&base, "web.env"), "").unwrap();
    assert_told(
        &checked(&base),
        &base,
        &[("falco.toml:3:11", "no program my-web")],
    );

    let path = format!(
        "\u{feff}PATH={}:/usr/bin:/bin\r\nGREETING='hi there'\r\n",
        bin.display()
    );
    fs::write(file(&base, "web.env"), path).unwrap();
    let said = base.run(&["config", "check"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    base.up();
    eventually("it was found, and greets", || {
        base.run(&["logs", "web"]).stdout.contains("hi there")
    });
}

#[test]
fn the_log_of_a_sidecar_that_could_not_be_started_says_why() {
    let base = Base::configured("");
    base.up();
    base.configure(&shell("web", "true", "env_file = \"web.env\""));
    let said = base.run(&["reload"]);
    assert_eq!(said.code, 69, "{}", said.stderr);
    let hint = format!(
        "hint: falco logs web --base-dir {} says more",
        base.dir().display()
    );
    assert!(said.stderr.contains(&hint), "{}", said.stderr);
    eventually("its log says why", || {
        let said = base.run(&["logs", "web"]);
        said.code == 0 && said.stdout.contains("web.env: No such file")
    });
}

#[test]
fn a_log_that_does_not_exist_is_told_apart_from_one_to_come() {
    let base = Base::configured(&shell(
        "web",
        "exec sleep 1000",
        "condition = \"logged_in\"",
    ));
    let said = base.run(&["logs", "web"]);
    assert_eq!(said.code, 1, "nothing ever ran: {}", said.stderr);
    base.up();
    for flags in [&[][..], &["--path"], &["--json"]] {
        let said = base.run(&[&["logs", "web"], flags].concat());
        assert_eq!(
            (said.code, said.stdout.as_str()),
            (0, ""),
            "{}",
            said.stderr
        );
    }
    let said = base.run(&["logs", "web"]);
    assert_eq!(said.stderr, "web has written nothing yet\n");
    let said = base.run(&["logs", "nobody"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("no log \"nobody\"; there are "),
        "{}",
        said.stderr
    );
    let said = base.run(&["logs", "broker"]);
    assert_eq!(said.code, 2);
    assert!(
        said.stderr.contains("hint: falco logs falco"),
        "{}",
        said.stderr
    );
}
