//! The file as a whole: what it means, and what is said of what is wrong.

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::*;

const FILE: &str = "/base/falco.toml";

fn given(variables: &[(&str, &str)]) -> Given {
    let pair = |(name, value): &(&str, &str)| (OsString::from(name), OsString::from(value));
    Given::new(variables.iter().map(pair).collect())
}

fn parsed(toml: &str, given: &Given) -> Loaded {
    let text = Text::of(Path::new(FILE), toml.to_owned(), true);
    parse(&text, given, Path::new("/base"))
}

fn mistakes(toml: &str) -> Vec<String> {
    let loaded = parsed(toml, &Given::default());
    loaded.mistakes.iter().map(ToString::to_string).collect()
}

fn origin(loaded: &Loaded, key: &str) -> String {
    let row = loaded.rows.iter().find(|row| row.key == key);
    row.map_or_else(|| panic!("no {key}"), |row| row.origin.to_string())
}

#[test]
fn without_a_file_everything_is_as_it_always_was() {
    let loaded = parsed("", &Given::default());
    assert_eq!(loaded.mistakes, []);
    let config = loaded.config;
    assert_eq!(config.upstream, Upstream::Auto);
    assert_eq!(config.log.bytes, Limits::default().bytes);
    assert_eq!(config.log.old_files, Limits::default().old_files);
    assert_eq!(config.publish_timeout, Duration::from_secs(5));
    assert_eq!(config.transport.variables, []);
    assert_eq!(config.emulator.to_args(), [""; 0]);
    assert_eq!(config.delivery, Delivery::Direct);
    assert_eq!(config.on_rejected, OnRejected::Skip);
    assert!(config.metrics.is_none() && config.routes.is_empty());
}

#[test]
fn a_flag_goes_before_a_variable_which_goes_before_the_file() {
    let toml = "user_id = \"file\"\n[falco]\npublish_timeout = \"7s\"\n";
    let none = parsed(toml, &given(&[]));
    assert_eq!(none.config.user_id.as_deref(), Some("file"));
    assert_eq!(origin(&none, "user_id"), "falco.toml:1");
    assert_eq!(origin(&none, "falco.publish_timeout"), "falco.toml:3");
    assert_eq!(origin(&none, "upstream"), "default");

    let variables = [("UNBOUND_USER_ID", "env"), ("FALCO_PUBLISH_TIMEOUT", "9")];
    let env = parsed(toml, &given(&variables));
    assert_eq!(env.config.user_id.as_deref(), Some("env"));
    assert_eq!(env.config.publish_timeout, Duration::from_secs(9));
    assert_eq!(origin(&env, "user_id"), "env UNBOUND_USER_ID");

    let flag = |value| given(&variables).flag("user_id", "--user-id", "UNBOUND_USER_ID", value);
    let loaded = parsed(toml, &flag(Some("flag")));
    assert_eq!(loaded.config.user_id.as_deref(), Some("flag"));
    assert_eq!(origin(&loaded, "user_id"), "flag --user-id");
    // What clap took from the environment is no flag.
    let loaded = parsed(toml, &flag(Some("env")));
    assert_eq!(origin(&loaded, "user_id"), "env UNBOUND_USER_ID");
}

#[test]
fn an_empty_variable_is_an_unset_one() {
    let loaded = parsed("user_id = \"file\"", &given(&[("UNBOUND_USER_ID", " ")]));
    assert_eq!(loaded.config.user_id.as_deref(), Some("file"));
}

#[test]
fn the_transport_gets_what_the_file_decides_and_nothing_else() {
    let toml = "[transport]\nformat = \"json\"\npublish_timeout = \"9s\"\npresence_ttl = \"15s\"\n";
    let loaded = parsed(toml, &given(&[("DAEMON_ABLY_PUBLISH_TIMEOUT", "3")]));
    assert_eq!(loaded.mistakes, []);
    let variables = loaded.config.transport.variables;
    let expected = [
        ("DAEMON_ABLY_FORMAT", "json".to_owned()),
        ("UNBOUND_PRESENCE_DO_TTL_MS", "15000".to_owned()),
    ];
    assert_eq!(variables, expected);
}

#[test]
fn every_mistake_is_told_with_file_line_column_and_key() {
    let toml = "\
upstraem = \"auto\"
device_id = \"laptop\"
[transport]
format = \"xml\"
publish_timeout = 5
[emulater]
[[route]]
name = \"a\"
";
    assert_eq!(
        mistakes(toml),
        [
            "/base/falco.toml:1:1: upstraem: unknown key; did you mean \"upstream\"?",
            "/base/falco.toml:2:13: device_id: \"laptop\" is not a UUID",
            "/base/falco.toml:4:10: transport.format: expected \"msgpack\" or \"json\", found \"xml\"",
            "/base/falco.toml:5:19: transport.publish_timeout: 5 has no unit: write \"5s\"",
            "/base/falco.toml:6:2: emulater: unknown section; did you mean \"emulator\"?",
            "/base/falco.toml:8:1: route[0]: socket is missing",
        ]
    );
}

#[test]
fn a_route_leads_to_no_socket_that_falco_itself_answers() {
    for own in ["falco.sock", "/base/ably-auth.sock", "falco-control.sock"] {
        let found = mistakes(&format!("[[route]]\nname = \"a\"\nsocket = \"{own}\"\n"));
        let told = "/base/falco.toml:3:10: route[0].socket: no transport listens there";
        assert!(
            matches!(&found[..], [one] if one.starts_with(told)),
            "{found:?}"
        );
    }
    let others = "[[route]]\nname = \"a\"\nsocket = \"/run/falco.sock\"\n[[route]]\nname = \"b\"\nsocket = \"b.sock\"\n";
    assert!(mistakes(others).is_empty());
}

#[test]
fn what_is_no_toml_is_told_with_its_place_and_nothing_else_is() {
    let found = mistakes("[log\nfilter = 3\n[transport]\nformat = \n");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("/base/falco.toml:1:"), "{found:?}");
    assert!(
        !found.iter().any(|text| text.contains("filter")),
        "{found:?}"
    );
}

#[test]
fn a_variable_that_is_wrong_is_named() {
    let loaded = parsed("", &given(&[("DAEMON_ABLY_FORMAT", "xml")]));
    let text = loaded.mistakes[0].to_string();
    assert!(text.starts_with("DAEMON_ABLY_FORMAT: "), "{text}");
}

#[test]
fn a_secret_is_refused_with_where_it_belongs_and_never_quoted() {
    let key = "a1B2c3.d4E5f6:abcdefghijklmnopqrstuvwxyz0123456789";
    for toml in [
        format!("[credentials]\napi_key = \"{key}\""),
        format!("[credentials]\ntoken_command = \"mint {key}\""),
        format!("api_key = \"{key}\""),
    ] {
        let found = mistakes(&toml).join("\n");
        assert!(
            found.contains("does not belong in this file; use falco login"),
            "{found}"
        );
        assert!(!found.contains("abcdefghij"), "{found}");
    }
}

#[test]
fn paths_start_in_the_base_directory() {
    let toml =
        "[credentials]\napi_key_file = \"key\"\n[[route]]\nname = \"b\"\nsocket = \"b.sock\"";
    let loaded = parsed(toml, &Given::default());
    assert_eq!(loaded.mistakes, []);
    let file = loaded.config.credentials.api_key_file;
    assert_eq!(file.as_deref(), Some(Path::new("/base/key")));
    assert_eq!(loaded.config.routes[0].socket, Path::new("/base/b.sock"));
}

#[test]
fn the_emulator_is_told_only_what_is_not_usual() {
    let toml =
        "[emulator]\nlisten = \"127.0.0.1:9000\"\nhistory_bytes = \"2MiB\"\nhistory_age = \"10s\"";
    let loaded = parsed(toml, &Given::default());
    assert_eq!(loaded.mistakes, []);
    let expected = [
        ["--listen", "127.0.0.1:9000"],
        ["--history-bytes", "2097152"],
        ["--history-age", "10"],
    ];
    assert_eq!(loaded.config.emulator.to_args(), expected.concat());
}

#[test]
fn an_outbox_that_syncs_always_would_rather_stop_than_lose() {
    let default = |toml| {
        parsed(toml, &Given::default())
            .config
            .outbox
            .on_journal_failure
    };
    assert_eq!(default(""), outbox::OnJournalFailure::Exit);
    let relaxed = default("[outbox]\nsync = \"interval\"");
    assert_eq!(relaxed, outbox::OnJournalFailure::Bypass);
}

#[test]
fn a_sidecar_says_how_it_is_started_watched_and_stopped() {
    let toml = r#"
[[sidecar]]
name = "web"
command = "~/bin/web"
args = ["--port", "8080"]
env = { MODE = "fast" }
env_file = "web.env"
after = ["falco", "db"]
readiness = { http = "http://127.0.0.1:8080/health", within = "20s" }
liveness = { tcp = "127.0.0.1:8080", every = "5s", failures = 2 }
restart = { when = "on-failure", cap = "10s", scope = "dependents" }
stop = { signal = "INT", grace = "2s" }
log = { files = 2 }
condition = "logged_in"

[[sidecar]]
name = "db"
command = "db"
"#;
    let loaded = parsed(toml, &Given::default());
    assert_eq!(loaded.mistakes, []);
    let names: Vec<_> = loaded
        .config
        .sidecars
        .iter()
        .map(|s| s.name.as_str())
        .collect();
    assert_eq!(names, ["db", "web"]);
    let web = &loaded.config.sidecars[1];
    assert!(web.command.starts_with('/'), "{}", web.command);
    assert_eq!(web.env_file.as_deref(), Some(Path::new("/base/web.env")));
    assert_eq!(web.readiness.within, Duration::from_secs(20));
    assert_eq!(web.liveness.as_ref().unwrap().failures, 2);
    assert_eq!(web.restart.cap, Duration::from_secs(10));
    assert_eq!(web.stop.grace, Duration::from_secs(2));
    assert_eq!(web.log.old_files, 1);
    assert!(!web.condition.holds(false));
    assert_eq!(origin(&loaded, "sidecar.web.env.MODE"), "falco.toml:6");
}

#[test]
fn what_sidecars_say_of_each_other_must_be_true() {
    let toml = r#"
[[sidecar]]
name = "web"
command = "web"
after = ["flaco"]
[[sidecar]]
name = "web"
command = "web"
[[sidecar]]
name = "transport"
command = "web"
[[sidecar]]
command = "web"
"#;
    assert_eq!(
        mistakes(toml),
        [
            "/base/falco.toml:5:10: sidecar.web.after: there is nothing called flaco; did you mean \"falco\"?",
            "/base/falco.toml:7:8: sidecar.web: there are two sidecars called web",
            "/base/falco.toml:10:8: sidecar.transport: transport is a part of falco's own; call the sidecar something else",
            "/base/falco.toml:13:1: sidecar[3]: name is missing",
        ]
    );
    let circle = "[[sidecar]]\nname=\"a\"\ncommand=\"a\"\nafter=[\"b\"]\n[[sidecar]]\nname=\"b\"\ncommand=\"b\"\nafter=[\"a\"]\n";
    let expected = "/base/falco.toml:2:6: sidecar.a.after: a, b wait for each other";
    assert_eq!(mistakes(circle), [expected]);
}

#[test]
fn a_sidecar_is_asked_one_thing() {
    let sidecar = |rest: &str| {
        let toml = format!("[[sidecar]]\nname = \"a\"\ncommand = \"a\"\n{rest}\n");
        mistakes(&toml).join("; ")
    };
    assert_eq!(sidecar("readiness = { within = \"1s\" }"), "");
    assert_eq!(
        sidecar("readiness = { unix = \"a.sock\", send = \"?\\n\", expect = \"!\" }"),
        ""
    );
    for (rest, part) in [
        (
            "readiness = { notify = true, runs = \"1s\" }",
            "not several",
        ),
        ("readiness = { notify = false }", "true or left out"),
        ("readiness = { line = \"(\" }", "not a regular expression"),
        ("readiness = { tcp = \"8080\" }", "is no address"),
        (
            "readiness = { unix = \"a.sock\", send = \"?\" }",
            "go together",
        ),
        ("liveness = { every = \"1s\" }", "say what is asked"),
        (
            "liveness = { watchdog = true, evry = \"1s\" }",
            "did you mean \"every\"",
        ),
        ("readiness = \"tcp\"", "expected a table"),
        ("restart = { permanent = [300] }", "exit codes"),
        ("restart = { cap = \"100ms\" }", "shorter than base"),
        (
            "env = { A = 3 }",
            "a.env.A: expected text in quotes, found 3",
        ),
    ] {
        let found = sidecar(rest);
        assert!(found.contains(part), "{rest}: {found}");
        assert!(!found.contains("; /"), "{rest}: {found}");
    }
}

#[test]
fn a_variable_that_looks_secret_is_warned_of_and_not_shown() {
    let toml = "[[sidecar]]\nname = \"a\"\ncommand = \"a\"\nenv = { DB_PASSWORD = \"hunter2\" }";
    let loaded = parsed(toml, &Given::default());
    assert_eq!(loaded.mistakes, []);
    let warning = loaded.warnings[0].to_string();
    assert!(
        warning.contains(":4:") && warning.contains("env_file"),
        "{warning}"
    );
    assert!(!format!("{:?}", loaded.rows).contains("hunter2"));
}

/// The TOML of the README, with what is behind `# ` switched on if `examples`.
fn readme(examples: bool) -> String {
    let text = include_str!("../../../README.md");
    let (_, rest) = text.split_once("```toml\n").expect("a file");
    let (toml, _) = rest.split_once("```").expect("its end");
    let on = |line: &str| match line.strip_prefix("# ") {
        Some(line) if examples => format!("{line}\n"),
        _ => format!("{line}\n"),
    };
    toml.lines().map(on).collect()
}

#[test]
fn the_file_in_the_readme_is_right_and_says_the_defaults() {
    let loaded = parsed(&readme(false), &Given::default());
    assert_eq!(loaded.mistakes, []);
    let usual = parsed("", &Given::default());
    let values = |loaded: &Loaded| -> Vec<_> {
        let rows = loaded.rows.iter();
        rows.map(|row| format!("{} = {}", row.key, row.value))
            .collect()
    };
    assert_eq!(values(&loaded), values(&usual));
}

#[test]
fn the_examples_in_the_readme_are_right_and_leave_no_key_out() {
    let loaded = parsed(&readme(true), &Given::default());
    assert_eq!(loaded.mistakes, []);
    let unsaid = loaded
        .rows
        .iter()
        .filter(|row| row.origin == Origin::Default);
    assert_eq!(unsaid.map(|row| &row.key).collect::<Vec<_>>(), [""; 0]);
}
