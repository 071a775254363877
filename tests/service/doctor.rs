//! `falco doctor`: what it finds, and what it puts right.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::base::{Base, Said, eventually, kill, said};
use super::quick::assert_quick;
use super::suspended::{resume, suspend};

/// Less than this it takes, whatever is wrong.
const PROMISED: Duration = Duration::from_secs(5);

fn doctor(base: &Base, args: &[&str], env: &[(&str, &str)]) -> Said {
    let mut command = base.falco(&["doctor"]);
    command.args(args).envs(env.iter().copied());
    said(&command.output().unwrap())
}

/// Every finding about `name`, as `level text`.
fn findings(said: &Said, name: &str) -> Vec<String> {
    let report: Value =
        serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{}", said.stderr));
    let all = report["findings"].as_array().unwrap();
    let about = all.iter().filter(|finding| finding["name"] == name);
    about
        .map(|f| {
            format!(
                "{} {}",
                f["level"].as_str().unwrap(),
                f["text"].as_str().unwrap()
            )
        })
        .collect()
}

fn assert_found(said: &Said, name: &str, level: &str, text: &str) {
    let found = findings(said, name);
    let has = found
        .iter()
        .any(|f| f.starts_with(level) && f.contains(text));
    assert!(has, "{name}: {found:?}");
}

/// A base directory with a lock that nobody has.
fn where_something_ran() -> Base {
    let base = Base::new();
    fs::create_dir(base.dir()).unwrap();
    fs::set_permissions(base.dir(), Permissions::from_mode(0o700)).unwrap();
    fs::write(base.dir().join("falco.lock"), "").unwrap();
    base
}

fn up(base: &Base) -> u32 {
    let said = base.run(&["up"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    u32::try_from(base.status()["pid"].as_u64().unwrap()).unwrap()
}

#[test]
fn where_nothing_ever_ran_nothing_is_wrong_and_nothing_is_made() {
    let base = Base::new();
    let said = doctor(&base, &[], &[]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert!(
        said.stdout.contains("nothing ever ran here"),
        "{}",
        said.stdout
    );
    assert!(!base.dir().exists());
}

#[test]
fn a_chain_that_runs_is_well_and_left_alone() {
    let base = Base::new();
    let pid = up(&base);
    for args in [&["--json"][..], &["--json", "--fix"]] {
        let said = doctor(&base, args, &[]);
        assert_eq!(said.code, 0, "{}", said.stdout);
        assert_found(&said, "lock", "ok", &format!("held by pid {pid}"));
        assert_found(&said, "base dir", "ok", "0700");
        assert_found(&said, "parts", "ok", "answer");
        assert_found(&said, "version", "ok", env!("CARGO_PKG_VERSION"));
        assert_found(&said, "service", "ok", "not installed");
    }
    assert_eq!(base.status()["state"], "running");
}

#[test]
fn a_supervisor_that_is_suspended_is_a_failure() {
    let base = Base::new();
    let pid = up(&base);
    assert_quick(PROMISED, || {
        suspend(pid);
        let began = Instant::now();
        let said = doctor(&base, &["--json"], &[]);
        let took = began.elapsed();
        resume(pid);
        assert_eq!(said.code, 1);
        assert_found(&said, "lock", "fail", "suspended");
        took
    });
}

#[test]
fn a_supervisor_that_does_not_answer_is_a_failure() {
    let base = Base::new();
    up(&base);
    let control = base.dir().join("falco-control.sock");
    // It hears so many at once, and each of these has two seconds to ask something.
    let crowd: Vec<_> = (0..400)
        .map(|_| UnixStream::connect(&control).unwrap())
        .collect();
    let said = doctor(&base, &["--json"], &[]);
    assert_eq!(said.code, 1);
    assert_found(&said, "chain", "fail", "busy or hangs");
    drop(crowd);
    eventually("it answers again", || doctor(&base, &[], &[]).code == 0);
}

#[test]
fn what_a_killed_chain_left_is_told_and_only_removed_when_asked_to() {
    let base = Base::new();
    kill(up(&base), "KILL");
    let socket = base.dir().join("falco.sock");
    eventually("the lock is free", || base.run(&["status"]).code == 3);
    let said = doctor(&base, &["--json"], &[]);
    assert_found(&said, "left over", "warn", "stale socket falco.sock");
    assert_found(&said, "left over", "warn", "pidfile");
    assert!(socket.exists());

    let said = doctor(&base, &["--json", "--fix"], &[]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    assert_found(&said, "left over", "ok", "removed stale socket falco.sock");
    assert_found(&said, "left over", "ok", "removed the pidfile");
    assert!(!socket.exists() && !base.dir().join("falco.pid").exists());
    assert_found(
        &doctor(&base, &["--json"], &[]),
        "left over",
        "ok",
        "no files",
    );
}

#[test]
fn what_is_not_ours_is_told_and_never_removed() {
    let base = where_something_ran();
    let (socket, pid_file) = (base.dir().join("falco.sock"), base.dir().join("falco.pid"));
    fs::write(&socket, "a diary").unwrap();
    fs::write(&pid_file, "1234\n").unwrap();
    for args in [&["--json"][..], &["--json", "--fix"]] {
        let said = doctor(&base, args, &[]);
        assert_eq!(said.code, 1, "{}", said.stdout);
        assert_found(&said, "left over", "fail", "falco.sock is a regular file");
    }
    assert_eq!(fs::read_to_string(&socket).unwrap(), "a diary");
    assert_eq!(fs::read_to_string(&pid_file).unwrap(), "1234\n");
}

#[test]
fn a_pidfile_that_is_not_ours_is_told_the_same_whether_it_may_be_put_right_or_not() {
    let base = where_something_ran();
    let pid_file = base.dir().join("falco.pid");
    let of_a_stranger = format!("{}\n", std::process::id());
    for text in [&*of_a_stranger, "a diary"] {
        fs::write(&pid_file, text).unwrap();
        for args in [&["--json"][..], &["--json", "--fix"]] {
            let said = doctor(&base, args, &[]);
            assert_eq!(said.code, 1, "{}", said.stdout);
            assert_eq!(
                findings(&said, "left over"),
                ["fail falco.pid was not written by falco"]
            );
            assert!(said.stdout.contains(r#""fix":"move it away""#));
        }
        assert_eq!(fs::read_to_string(&pid_file).unwrap(), text);
    }
}

#[test]
fn a_directory_that_a_start_would_refuse_is_told_and_made_ours_only() {
    let base = Base::new();
    up(&base);
    assert_eq!(base.run(&["stop"]).code, 0);
    let emulator = base.dir().join("emulator");
    for name in ["logs", "run", "emulator"] {
        let directory = base.dir().join(name);
        fs::set_permissions(&directory, Permissions::from_mode(0o777)).unwrap();
        let up = base.run(&["up"]);
        assert_eq!(up.code, 77, "{}", up.stderr);
        let said = doctor(&base, &["--json"], &[]);
        assert_eq!(said.code, 1, "{}", said.stdout);
        let told = format!("others can write to ~/base/{name} (0777)");
        assert_found(&said, "directory", "fail", &told);
        let said = doctor(&base, &["--json", "--fix"], &[]);
        assert_eq!(said.code, 0, "{}", said.stdout);
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
    assert!(findings(&doctor(&base, &["--json"], &[]), "directory").is_empty());
    fs::remove_dir_all(&emulator).unwrap();
    fs::write(&emulator, "a diary").unwrap();
    let said = doctor(&base, &["--json", "--fix"], &[]);
    assert_found(
        &said,
        "directory",
        "fail",
        "~/base/emulator is a regular file",
    );
    assert_eq!(fs::read_to_string(&emulator).unwrap(), "a diary");
}

#[test]
fn what_stands_in_the_place_of_the_pidfile_is_named() {
    let base = where_something_ran();
    let pid_file = base.dir().join("falco.pid");
    fs::create_dir(&pid_file).unwrap();
    for args in [&["--json"][..], &["--json", "--fix"]] {
        let said = doctor(&base, args, &[]);
        assert_eq!(said.code, 1, "{}", said.stdout);
        let found = findings(&said, "left over");
        assert!(
            matches!(&found[..], [one] if one.contains("a directory")),
            "{found:?}"
        );
        assert!(said.stdout.contains(r#""fix":"move it away""#));
    }
    assert!(pid_file.is_dir());
}

#[test]
fn a_process_that_outlived_its_supervisor_is_named_and_ended_when_asked_to() {
    let base = Base::new();
    symlink(env!("CARGO_BIN_EXE_falco"), base.home().join("daemon-ably")).unwrap();
    let escaped = base.home().join("escaped");
    let text = "setsid sh -c 'echo $$ > \"$HOME/escaped\"; exec sleep 1000' &\nexec \"$HOME/daemon-ably\" \"$@\"";
    base.fake("escaping", text);
    let program = base.home().join("bin/escaping");
    let mut command = base.falco(&["up"]);
    command.env("DAEMON_ABLY_BINARY", program);
    let started = said(&command.output().unwrap());
    assert_eq!(started.code, 0, "{}", started.stderr);
    let mut orphan = String::new();
    eventually("it got away", || {
        let pid = fs::read_to_string(&escaped).unwrap_or_default();
        orphan = pid.trim_end().to_owned();
        pid.ends_with('\n')
    });
    let alive = || {
        let stat = fs::read_to_string(format!("/proc/{orphan}/stat")).unwrap_or_default();
        stat.contains("(sleep)") && !stat.contains("(sleep) Z")
    };
    eventually("it sleeps", alive);
    let supervisor = u32::try_from(base.status()["pid"].as_u64().unwrap()).unwrap();
    kill(supervisor, "KILL");
    eventually("the lock is free", || base.run(&["status"]).code == 3);
    assert!(alive());

    let told = doctor(&base, &["--json"], &[]);
    assert_eq!(told.code, 1);
    assert_found(&told, "orphans", "fail", &orphan);
    assert!(alive(), "only told");
    let fixed = doctor(&base, &["--json", "--fix"], &[]);
    assert_found(
        &fixed,
        "orphans",
        "ok",
        &format!("ended transport (pid {orphan})"),
    );
    eventually("it is gone", || !alive());
}

#[test]
fn a_directory_that_others_can_write_to_is_a_failure_and_is_mended() {
    let base = Base::new();
    fs::create_dir(base.dir()).unwrap();
    let mode = || base.dir().metadata().unwrap().permissions().mode() & 0o777;
    for wrong in [0o777, 0o577] {
        fs::set_permissions(base.dir(), Permissions::from_mode(wrong)).unwrap();
        let said = doctor(&base, &["--json"], &[]);
        assert_eq!((said.code, mode()), (1, wrong));
        assert_found(&said, "base dir", "fail", "others can write");
        let said = doctor(&base, &["--json", "--fix"], &[]);
        assert_eq!((said.code, mode()), (0, 0o700), "{}", said.stdout);
    }
}

#[test]
fn a_disk_that_takes_no_writes_is_a_failure() {
    let base = Base::new();
    fs::create_dir(base.dir()).unwrap();
    let mount = |args: &[&str]| {
        let mut mount = Command::new("mount");
        let mount = mount.args(args).arg(base.dir()).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    };
    // Where we may not mount there is nothing to see.
    if mount(&["-t", "tmpfs", "-o", "ro,mode=0700", "none"]) {
        let said = doctor(&base, &["--json"], &[]);
        let unmounted = Command::new("umount").arg(base.dir()).status();
        assert!(unmounted.unwrap().success());
        assert_eq!(said.code, 1);
        assert_found(&said, "disk", "fail", "takes no writes");
    }
}

#[test]
fn credentials_are_looked_at_and_never_shown() {
    let base = Base::new();
    let said = doctor(&base, &["--json"], &[("ABLY_API_KEY", "s3cret-of-no-form")]);
    assert_eq!(said.code, 1);
    assert_found(&said, "credentials", "fail", "ABLY_API_KEY");
    let said_nowhere = [
        ("ABLY_API_KEY", "app.key:s3cret"),
        ("DAEMON_ABLY_ENDPOINT", "http://127.0.0.1:1"),
    ];
    let shows = |said: &Said| said.stdout.contains("s3cret") || said.stderr.contains("s3cret");
    assert!(!shows(&said));
    assert_quick(PROMISED, || {
        let began = Instant::now();
        let unreachable = doctor(&base, &["--json"], &said_nowhere);
        let took = began.elapsed();
        assert_eq!(unreachable.code, 1);
        assert_found(&unreachable, "credentials", "ok", "API key");
        assert_found(&unreachable, "ably", "fail", "127.0.0.1:1");
        assert!(!shows(&unreachable));
        took
    });
}

#[test]
fn credentials_count_for_what_the_chain_ends_at() {
    let base = Base::new();
    up(&base);
    let found = |upstream: &str, env: &[(&str, &str)], level, text: &str| {
        let file = format!("upstream = \"{upstream}\"\n");
        fs::write(base.dir().join("falco.toml"), file).unwrap();
        assert_found(&doctor(&base, &["--json"], env), "credentials", level, text);
    };
    found("auto", &[], "ok", "the emulator is used");
    found(
        "ably",
        &[],
        "warn",
        "nobody is logged in: nothing is published",
    );
    // A key that is not used, however wrong it is.
    let wrong = [("ABLY_API_KEY", "wrong")];
    found("emulator", &wrong, "ok", "the emulator is used, whatever");
    found("ably", &wrong, "fail", "ABLY_API_KEY");
}

#[test]
fn a_secret_that_others_can_read_is_a_failure_and_made_ours_only_when_asked_to() {
    let base = Base::new();
    let private = Permissions::from_mode(0o700);
    fs::create_dir(base.dir()).unwrap();
    fs::set_permissions(base.dir(), private).unwrap();
    let made = base.dir().join("credentials.json");
    fs::write(&made, r#"{"kind":"logged_out"}"#).unwrap();
    let named = base.home().join("named");
    fs::write(&named, "app.key:s3cret").unwrap();
    let file = base.dir().join("falco.toml");
    let text = format!(
        "[credentials]\napi_key_file = {:?}\n",
        named.to_str().unwrap()
    );
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    for path in [&made, &named] {
        fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap();
    }
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;

    let said = doctor(&base, &["--json"], &[]);
    assert_eq!((said.code, mode(&made)), (1, 0o644));
    assert_found(&said, "secrets", "fail", "credentials.json can be read");
    assert_found(&said, "secrets", "fail", "named can be read");
    let said = doctor(&base, &["--json", "--fix"], &[]);
    assert_eq!((mode(&made), mode(&named)), (0o600, 0o644));
    assert_found(
        &said,
        "secrets",
        "ok",
        "credentials.json: made it ours only",
    );
    assert_found(&said, "secrets", "fail", "named can be read");
    assert_found(&said, "credentials", "warn", "logged out");
    assert!(!said.stdout.contains("s3cret"));
}

#[test]
fn the_transport_says_its_version_and_what_logs_take_is_told_though_nothing_runs() {
    let base = Base::new();
    let own = doctor(&base, &["--json"], &[]);
    assert_found(&own, "transport", "ok", env!("CARGO_PKG_VERSION"));
    assert!(findings(&own, "logs").is_empty(), "nothing ever ran");

    up(&base);
    assert_eq!(base.run(&["stop"]).code, 0);
    fs::write(base.dir().join("logs/old.log"), vec![b'x'; 2_000_001]).unwrap();
    base.fake("theirs", "echo daemon-ably 9.8.7");
    base.fake("mute", "echo no such flag >&2; exit 2");
    let program = |name: &str| base.home().join("bin").join(name).display().to_string();
    for (name, level, text) in [
        ("theirs", "ok", "says daemon-ably 9.8.7"),
        ("mute", "warn", "no such flag"),
        ("missing", "fail", "missing"),
    ] {
        let said = doctor(
            &base,
            &["--json"],
            &[("DAEMON_ABLY_BINARY", &program(name))],
        );
        assert_found(&said, "transport", level, text);
        assert_found(&said, "logs", "ok", "3 MB");
    }
}

#[test]
fn with_an_account_the_way_to_ably_and_its_clock_are_looked_at() {
    let base = Base::new();
    up(&base);
    let port = fs::read_to_string(base.dir().join("emulator/port")).unwrap();
    let endpoint = format!("http://127.0.0.1:{}", port.trim());
    let env = [
        ("ABLY_API_KEY", "app.key:secret"),
        ("DAEMON_ABLY_ENDPOINT", &endpoint),
    ];
    let said = doctor(&base, &["--json"], &env);
    assert_found(&said, "ably", "ok", "answers in");
    assert_found(&said, "clock", "ok", "as Ably's");
}

#[test]
fn a_configuration_or_a_program_that_is_wrong_is_a_failure() {
    let base = Base::new();
    fs::create_dir(base.dir()).unwrap();
    fs::set_permissions(base.dir(), Permissions::from_mode(0o700)).unwrap();
    let file = base.dir().join("falco.toml");
    fs::write(&file, "upstraem = 'ably'\n").unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let said = doctor(&base, &["--json"], &[("NAGATO_BINARY", "/no/such/program")]);
    assert_eq!(said.code, 1);
    assert_found(&said, "config", "fail", "upstraem");
    assert_found(&said, "programs", "fail", "NAGATO_BINARY");
}
