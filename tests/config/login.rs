//! `falco login` and `falco logout`: who the chain publishes for.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::{Child, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::base::{Base, Said, eventually, said};
use super::server::{Server, get};
use super::suspended::{resume, suspend};

/// Runs `falco` with `text` on its standard input.
fn fed(base: &Base, args: &[&str], text: &str) -> Said {
    let mut command = base.falco(args);
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Whoever needs no input may be gone already.
    _ = child.stdin.take().unwrap().write_all(text.as_bytes());
    said(&child.wait_with_output().unwrap())
}

fn kept(base: &Base) -> String {
    fs::read_to_string(base.dir().join("credentials.json")).unwrap_or_default()
}

/// An emulator in the place of Ably, and the key it takes.
struct Ably {
    child: Child,
    endpoint: String,
    key: String,
}

impl Ably {
    fn start(base: &Base) -> Self {
        let dir = base.home().join("ably");
        fs::create_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        let mut command = base.falco(&["emulator"]);
        command.arg("--dir").arg(&dir).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        eventually("the emulator listens", || !read("port").is_empty());
        Self {
            child,
            endpoint: format!("http://127.0.0.1:{}", read("port").trim()),
            key: read("key").trim().to_owned(),
        }
    }
}

impl Drop for Ably {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// A base whose Ably is an emulator of its own.
fn with_ably() -> (Base, Ably) {
    let base = Base::new();
    let ably = Ably::start(&base);
    let endpoint = ably.endpoint.clone();
    (base.with_env("DAEMON_ABLY_ENDPOINT", endpoint), ably)
}

#[test]
fn a_key_that_ably_takes_is_kept_for_us_alone() {
    let (base, ably) = with_ably();
    let said = fed(&base, &["login"], &format!("{}\n", ably.key));
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("falco up"), "{}", said.stderr);
    let file = base.dir().join("credentials.json");
    assert!(kept(&base).contains(&ably.key));
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    let secret = ably.key.split_once(':').unwrap().1;
    assert!(!said.stderr.contains(secret) && !said.stdout.contains(secret));

    let said = base.run(&["config", "show", "--origin"]);
    let last = said.stdout.lines().last().unwrap();
    assert!(last.starts_with("credentials "), "{last}");
    assert!(
        last.contains("(API key, set)") && last.ends_with("# falco login"),
        "{last}"
    );
    assert!(!said.stdout.contains(secret));
}

#[test]
fn a_key_that_ably_refuses_is_told_at_login_and_not_kept() {
    let (base, ably) = with_ably();
    let name = ably.key.split_once(':').unwrap().0;
    let said = fed(
        &base,
        &["login", "--api-key-stdin"],
        &format!("{name}:wr0ng"),
    );
    assert_eq!(said.code, 77, "{}", said.stderr);
    assert!(
        said.stderr.contains("there is no token with this API key"),
        "{}",
        said.stderr
    );
    assert!(!said.stderr.contains("wr0ng"), "{}", said.stderr);
    assert_eq!(kept(&base), "");
    let said = fed(&base, &["login"], "no key at all");
    assert_eq!(said.code, 78, "{}", said.stderr);
    assert_eq!(fed(&base, &["login"], "").code, 2);
}

#[test]
fn without_a_network_a_key_is_kept_with_a_warning() {
    let base = Base::new().with_env("DAEMON_ABLY_ENDPOINT", "http://127.0.0.1:9");
    let said = fed(&base, &["login"], "app.key:secret");
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("nobody could say whether"),
        "{}",
        said.stderr
    );
    assert!(kept(&base).contains("app.key:secret"));
}

#[test]
fn a_token_endpoint_is_asked_with_the_bearer_of_standard_input() {
    let server = Server::answering(200, r#"{"token":"t0k"}"#);
    let base = Base::new();
    let said = fed(
        &base,
        &["login", "--token-endpoint", &server.url()],
        "b3arer\n",
    );
    assert_eq!(said.code, 0, "{}", said.stderr);
    let asked = server.asked().join("\n");
    assert!(
        asked.contains("Bearer b3arer") && asked.contains("daemon_falco"),
        "{asked}"
    );
    assert!(kept(&base).contains("b3arer") && !said.stderr.contains("b3arer"));

    let server = Server::answering(401, "who are you");
    let said = fed(&base, &["login", "--token-endpoint", &server.url()], "");
    assert_eq!(said.code, 77, "{}", said.stderr);
    assert!(kept(&base).contains("b3arer"), "what was kept is lost");
}

#[test]
fn a_token_command_is_run_once_before_it_is_kept() {
    let base = Base::new();
    let said = base.run(&["login", "--token-command", "echo please log in >&2; exit 1"]);
    assert_eq!(said.code, 77, "{}", said.stderr);
    assert!(said.stderr.contains("please log in"), "{}", said.stderr);
    assert_eq!(kept(&base), "");
    let said = base.run(&["login", "--token-command", "echo t0k"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(kept(&base).contains("echo t0k"));
}

#[test]
fn the_environment_goes_before_what_is_kept_and_login_says_so() {
    let base = Base::new().with_env("FALCO_TOKEN_COMMAND", "echo t0k");
    let said = fed(&base, &["login", "--no-check"], "app.key:secret");
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("FALCO_TOKEN_COMMAND is set here"),
        "{}",
        said.stderr
    );
}

#[test]
fn who_logged_out_is_not_given_to_the_emulator() {
    let (base, ably) = with_ably();
    assert_eq!(fed(&base, &["login"], &ably.key).code, 0);
    let said = base.run(&["logout"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!kept(&base).contains(&ably.key));

    let said = base.run(&["up"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("nobody is logged in"),
        "{}",
        said.stderr
    );
    let status = base.status();
    assert_eq!(status["login"]["state"], "logged_out");
    let parts = status["parts"].as_array().unwrap();
    let names: Vec<_> = parts
        .iter()
        .map(|part| part["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["broker", "falco"]);

    let said = base.run(&["emit", "--event", "hello", "--payload", "{}"]);
    assert_ne!(said.code, 0);
    let text = format!("{}{}", said.stdout, said.stderr);
    let login = format!("falco login --base-dir {}", base.dir().display());
    let why = format!("throttled: nobody is logged in to Ably; {login}");
    assert!(text.contains(&why), "{text}");

    base.run(&["stop"]);
    let said = base.run(&["up", "--emulator"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    base.emit();
}

#[test]
fn who_never_logged_in_has_nothing_to_log_out_of() {
    let base = Base::new();
    let said = base.run(&["logout"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (0, "nobody is logged in\n")
    );
    base.up();
    assert_eq!(base.run(&["logout"]).code, 0);
    base.emit();
    assert_eq!(base.status()["login"]["state"], "emulator");
}

#[test]
fn a_mistake_in_the_configuration_does_not_keep_anybody_logged_in() {
    let (base, ably) = with_ably();
    assert_eq!(fed(&base, &["login"], &ably.key).code, 0);
    base.up();
    fs::write(base.dir().join("falco.toml"), "x = [").unwrap();
    let said = base.run(&["logout"]);
    assert_eq!(said.code, 78, "{}", said.stderr);
    for text in ["what was kept is gone", "falco reload", "falco.toml"] {
        assert!(said.stderr.contains(text), "{text}: {}", said.stderr);
    }
    assert!(!kept(&base).contains(&ably.key), "{}", kept(&base));
}

/// What the last heartbeat said.
fn last_heartbeat(base: &Base, ably: &Ably) -> Value {
    let user = base.status()["user_id"].as_str().unwrap().to_owned();
    let authority = ably.endpoint.trim_start_matches("http://");
    let path = format!("/channels/presence:{user}/messages");
    let answer = get(authority, &path, &ably.key);
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    let messages: Vec<Value> = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
    let data = messages[0]["data"].as_str().unwrap();
    serde_json::from_slice(&STANDARD.decode(data).unwrap()).unwrap()
}

#[test]
fn a_chain_that_runs_follows_a_logout_and_keeps_taking_effects() {
    let (base, ably) = with_ably();
    assert_eq!(fed(&base, &["login"], &ably.key).code, 0);
    base.up();
    base.emit();
    let inode = || fs::metadata(base.dir().join("falco.sock")).unwrap().ino();
    let before = inode();

    let said = base.run(&["logout"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(
        said.stderr.contains("the chain has followed"),
        "{}",
        said.stderr
    );
    assert!(!base.dir().join("ably.sock").exists());
    assert_eq!(inode(), before);
    assert_eq!(last_heartbeat(&base, &ably)["status"], "offline");
    let status = base.status();
    assert_eq!(status["login"]["state"], "logged_out");
    assert!(status["emulator"].is_null(), "{status}");
    let said = base.run(&["emit", "--event", "hello", "--payload", "{}"]);
    let text = format!("{}{}", said.stdout, said.stderr);
    assert!(text.contains("throttled: nobody is logged in"), "{text}");

    let said = fed(&base, &["login"], &ably.key);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(inode(), before);
    base.emit();
    let said = base.run(&["status"]);
    let row = said.stdout.lines().find(|line| line.starts_with("login"));
    let row = row.unwrap_or_else(|| panic!("{}", said.stdout));
    let user = base.status()["user_id"].as_str().unwrap().to_owned();
    for text in [
        "API key, falco login",
        &user,
        "credentials.json until falco logout",
    ] {
        assert!(row.contains(text), "{text}: {row}");
    }
    assert!(!row.contains(ably.key.split_once(':').unwrap().1));
}

#[test]
fn a_chain_on_the_emulator_follows_a_login() {
    let (base, ably) = with_ably();
    base.up();
    assert_eq!(base.status()["login"]["state"], "emulator");
    assert_eq!(fed(&base, &["login"], &ably.key).code, 0);
    let status = base.status();
    assert_eq!(status["login"]["state"], "logged_in");
    let parts = status["parts"].as_array().unwrap();
    assert!(
        parts.iter().all(|part| part["name"] != "emulator"),
        "{status}"
    );
    base.emit();
}

#[test]
fn a_logout_that_the_environment_of_the_chain_undoes_says_so() {
    let (base, ably) = with_ably();
    let base = base.with_env("ABLY_API_KEY", &ably.key);
    base.up();
    let said = base.run(&["logout"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("still logged in"), "{}", said.stderr);
    assert!(said.stderr.contains("ABLY_API_KEY"), "{}", said.stderr);
}

#[test]
fn a_chain_that_does_not_answer_is_not_told_and_that_is_said() {
    let (base, ably) = with_ably();
    assert_eq!(fed(&base, &["login"], &ably.key).code, 0);
    base.up();
    let pid = base.status()["pid"].as_u64().unwrap();
    let pid = pid.try_into().unwrap();
    suspend(pid);
    for kept_before in ["what was kept is gone", "no credentials are kept here"] {
        let said = base.run(&["logout"]);
        assert_eq!(said.code, 4, "{}", said.stderr);
        for text in [kept_before, "the chain could not be told", "suspended"] {
            assert!(said.stderr.contains(text), "{text}: {}", said.stderr);
        }
        assert!(!kept(&base).contains(&ably.key));
    }
    resume(pid);
    assert_eq!(base.run(&["reload"]).code, 0);
    assert_eq!(base.status()["login"]["state"], "logged_out");
}
