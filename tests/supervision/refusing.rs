//! What is not ours is reported and left alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use super::base::{Base, PATIENCE, eventually};

#[test]
fn a_file_at_a_socket_path_is_refused_and_kept() {
    for name in [
        "falco.sock",
        "ably.sock",
        "ably-auth.sock",
        "falco-control.sock",
    ] {
        let base = Base::made();
        fs::write(base.socket(name), "precious").unwrap();
        let said = base.run(&["up"]);
        assert_eq!(said.code, 73, "{}", said.stderr);
        assert!(said.stderr.contains(name), "{}", said.stderr);
        assert_eq!(fs::read_to_string(base.socket(name)).unwrap(), "precious");
        assert_eq!(base.processes(), []);
    }
}

#[test]
fn a_symbolic_link_at_a_socket_path_is_refused_and_kept() {
    let base = Base::made();
    symlink("/nowhere", base.socket("falco.sock")).unwrap();
    assert_eq!(base.run(&["up"]).code, 73);
    assert!(
        fs::symlink_metadata(base.socket("falco.sock"))
            .unwrap()
            .is_symlink()
    );
}

#[test]
fn a_foreign_listener_is_named_and_keeps_its_socket() {
    let base = Base::made();
    for name in ["falco.sock", "ably.sock"] {
        let theirs = UnixListener::bind(base.socket(name)).unwrap();
        let said = base.run(&["up"]);
        assert_eq!(said.code, 73, "{}", said.stderr);
        assert!(
            said.stderr.contains(&format!("pid {}", std::process::id())),
            "{}",
            said.stderr
        );
        assert!(base.socket(name).exists());
        drop(theirs);
        fs::remove_file(base.socket(name)).unwrap();
    }
    base.up();
}

#[test]
fn a_base_directory_that_is_none_is_named() {
    let base = Base::made();
    fs::remove_dir(base.dir()).unwrap();
    fs::write(base.dir(), "").unwrap();
    let said = base.run(&["up"]);
    assert_eq!(said.code, 73, "{}", said.stderr);
    assert!(
        said.stderr.contains("is a regular file, not a directory"),
        "{}",
        said.stderr
    );
    fs::remove_file(base.dir()).unwrap();

    symlink("/nowhere", base.dir()).unwrap();
    let said = base.run(&["up"]);
    assert_eq!(said.code, 73, "{}", said.stderr);
    assert!(said.stderr.contains("link to nothing"), "{}", said.stderr);
}

#[test]
fn a_pidfile_that_names_a_stranger_prevents_nothing_and_hurts_nobody() {
    let base = Base::made();
    let mut stranger = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    fs::write(
        base.dir().join("falco.pid"),
        format!("{}\n# falco {{}}\n", stranger.id()),
    )
    .unwrap();
    base.up();
    assert_eq!(base.run(&["restart"]).code, 0);
    assert_eq!(base.run(&["stop"]).code, 0);
    assert!(stranger.try_wait().unwrap().is_none());
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let base = Base::made();
    fs::set_permissions(base.dir(), fs::Permissions::from_mode(0o777)).unwrap();
    let said = base.run(&["up"]);
    assert_eq!(said.code, 77, "{}", said.stderr);
    assert!(said.stderr.contains("chmod go-w"), "{}", said.stderr);
}

#[test]
fn what_a_person_is_told_to_type_works_whatever_the_directory_is_called() {
    let base = Base::called("it's a `base`");
    base.make();
    let open = |mode| fs::set_permissions(base.dir(), fs::Permissions::from_mode(mode));
    let mode = || fs::metadata(base.dir()).unwrap().permissions().mode() & 0o777;
    open(0o777).unwrap();
    run_in_shell(&told(&base.run(&["up"]).stderr, "hint: "));
    assert_eq!(mode(), 0o755);
    run_in_shell(&told(&base.run(&["doctor"]).stdout, "fix: "));
    assert_eq!(mode(), 0o700);
    base.up();
}

/// What a person is told after `mark`.
fn told(text: &str, mark: &str) -> String {
    let (_, told) = text.split_once(mark).unwrap_or_else(|| panic!("{text}"));
    told.lines().next().unwrap().to_owned()
}

fn run_in_shell(command: &str) {
    let mut shell = std::process::Command::new("sh");
    assert!(
        shell.args(["-c", command]).status().unwrap().success(),
        "{command}"
    );
}

#[test]
fn a_directory_that_others_can_replace_is_refused() {
    let base = Base::made();
    let link = base.home().join("open/link");
    fs::create_dir(base.home().join("open")).unwrap();
    symlink(base.dir(), &link).unwrap();
    for (mode, code) in [(0o777, 77), (0o770, 77), (0o1777, 0)] {
        let open = fs::Permissions::from_mode(mode);
        fs::set_permissions(base.home().join("open"), open).unwrap();
        for verb in ["up", "stop"] {
            let said = base.run(&[verb, "--base-dir", link.to_str().unwrap()]);
            let expected = if verb == "up" { code } else { 0 };
            assert_eq!(said.code, expected, "{mode:o}: {}", said.stderr);
        }
    }
}

/// Every socket of the chain is one of ours that checks who connects.
#[test]
#[allow(unsafe_code)]
fn a_peer_of_another_user_is_refused_on_every_socket() {
    use nix::libc::{SYS_setresuid, syscall};
    const NOBODY: u32 = 65_534;
    if !nix::unistd::geteuid().is_root() {
        // Nobody else can become another user.
        return;
    }
    let base = Base::new();
    base.up();
    // Each of them is one that is answered.
    let requests: [(&str, &[u8]); 4] = [
        (
            "falco.sock",
            b"\x1a\0\0\0\x03\0\0\0an id of 16 bytes\x02\0\0\0{}",
        ),
        (
            "ably.sock",
            b"{\"op\":\"status.v1\",\"request_id\":\"1\"}\n",
        ),
        ("ably-auth.sock", b"{}"),
        ("falco-control.sock", b"{\"op\":\"status.v1\"}\n"),
    ];
    let open = |path: &std::path::Path| {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    };
    open(base.home());
    open(base.dir());
    for (name, request) in requests {
        let path = base.socket(name);
        open(&path);
        eventually(name, || is_answered(&path, request));
        // The user of one thread only.
        let stranger = std::thread::spawn(move || {
            // SAFETY: a plain system call; it changes this thread, which ends.
            let done = unsafe { syscall(SYS_setresuid, NOBODY, NOBODY, NOBODY) };
            assert_eq!(done, 0);
            is_answered(&path, request)
        });
        assert!(!stranger.join().unwrap(), "{name} answered a stranger");
    }
    base.emit();
}

/// Whether a request is answered; else the connection is closed.
fn is_answered(path: &std::path::Path, request: &[u8]) -> bool {
    use std::io::{ErrorKind, Read, Write};
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Whoever is refused may find it closed already.
    _ = stream.write_all(request);
    _ = stream.shutdown(std::net::Shutdown::Write);
    match stream.read(&mut [0; 1]) {
        Ok(read) => 0 < read,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
        Err(error) => panic!("neither answered nor closed: {error}"),
    }
}

#[test]
fn what_falco_makes_is_private_under_any_umask() {
    let base = Base::new();
    let line = format!("umask 000; exec '{}' up -q", env!("CARGO_BIN_EXE_falco"));
    let mut shell = std::process::Command::new("sh");
    shell
        .args(["-c", &line])
        .env("UNBOUND_BASE_DIR", base.dir())
        .env_remove("ABLY_API_KEY");
    assert!(shell.status().unwrap().success());
    let mode =
        |path: &std::path::Path| fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(base.dir()), 0o700);
    let mut directories = vec![base.dir().to_path_buf()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), expected, "{}", path.display());
            if path.is_dir() {
                directories.push(path);
            }
        }
    }
}

#[test]
fn wrong_usage_is_one_error_and_exit_code_2() {
    let base = Base::new();
    for args in [
        &["dance"][..],
        &["up", "--dance"],
        &["up", "--timeout", "soon"],
        &["up", "--timeout", "0"],
        &["stop", "--timeout", "soon"],
        &["login", "--timeout", "0"],
        &["tail", ""],
        &[],
    ] {
        let said = base.run(args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert_eq!(said.stdout, "");
    }
    assert_eq!(
        base.run(&["--version"]).stdout,
        format!("falco {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn how_long_somebody_would_wait_is_no_reason_not_to_do_what_they_asked_for() {
    let base = Base::new();
    base.up();
    let most = u64::MAX.to_string();
    for (verb, timeout) in [
        ("restart", most.as_str()),
        ("reload", "86401"),
        ("logout", "0"),
        ("stop", most.as_str()),
    ] {
        let said = base.run(&[verb, "--timeout", timeout]);
        assert_eq!(said.code, 0, "{verb} {timeout}: {}", said.stderr);
    }
    base.assert_nothing_left();

    base.up();
    let said = base.run(&["stop", "--timeout", "0"]);
    // Who does not wait for long may not see it end.
    assert!(matches!(said.code, 0 | 75), "{}", said.stderr);
    eventually("it has gone", || base.processes().is_empty());
    base.assert_nothing_left();
}

#[test]
fn what_cannot_be_read_is_not_said_to_be_missing() {
    let base = Base::new();
    std::fs::write(base.dir(), "").unwrap();
    for verb in ["logs", "events"] {
        let said = base.run(&[verb]);
        assert_eq!(said.code, 1, "{verb}: {}", said.stderr);
        assert!(said.stderr.contains("Not a directory"), "{}", said.stderr);
        assert!(!said.stderr.contains("falco up"), "{}", said.stderr);
    }
}
