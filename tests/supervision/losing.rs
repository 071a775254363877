//! What a chain needs is taken away from it while it runs.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::base::{Base, PATIENCE, eventually, free_address};

/// Those that the supervisor itself listens on.
const SOCKETS: [&str; 3] = ["falco.sock", "ably-auth.sock", "falco-control.sock"];

#[test]
fn sockets_that_were_removed_come_back_by_themselves() {
    let base = Base::new();
    let pid = base.up();
    for name in SOCKETS {
        fs::remove_file(base.socket(name)).unwrap();
    }
    for name in SOCKETS {
        eventually(name, || UnixStream::connect(base.socket(name)).is_ok());
    }
    base.wait_ready();
    assert_eq!(base.pid_of_supervisor(), pid);
    assert_eq!(base.part("transport")["restarts"], 0);
    base.emit();
    assert_eq!(base.run(&["stop"]).code, 0);
    base.assert_nothing_left();
}

#[test]
fn a_chain_whose_directory_was_removed_or_replaced_ends() {
    for replaced in [false, true] {
        let base = Base::new();
        base.up();
        if replaced {
            fs::rename(base.dir(), base.home().join("moved")).unwrap();
            base.up();
            let others = base.pid_of_supervisor();
            eventually("only the other one is left", || {
                let all = base.processes();
                let mut daemons = all.iter().filter(|(_, l)| l.contains("__daemon"));
                daemons.all(|(pid, _)| *pid == others)
            });
            base.emit();
        } else {
            fs::remove_dir_all(base.dir()).unwrap();
            eventually("everything is gone", || base.processes().is_empty());
        }
    }
}

#[test]
fn a_transport_whose_socket_was_removed_is_told_of_and_makes_another() {
    let base = Base::new();
    base.up();
    let path = base.socket("ably.sock");
    let first = base.pid_of("transport");
    fs::remove_file(&path).unwrap();
    eventually("it is told", || told_of(&base, "socket_lost", &path));
    eventually("there is another", || UnixStream::connect(&path).is_ok());
    base.wait_ready();
    eventually("that is told", || told_of(&base, "socket_back", &path));
    assert_ne!(base.pid_of("transport"), first);
    assert_eq!(base.part("transport")["restarts"], 1);
    base.emit();
    assert_eq!(base.run(&["stop"]).code, 0);
    base.assert_nothing_left();
}

#[test]
fn what_somebody_put_in_place_of_the_transports_socket_is_theirs() {
    let base = Base::new();
    base.up();
    let path = base.socket("ably.sock");
    let aside = base.home().join("theirs");
    let theirs = UnixListener::bind(&aside).unwrap();
    fs::rename(&aside, &path).unwrap();
    let lost = || {
        base.part("transport")["trouble"]
            .as_str()
            .map(str::to_owned)
    };
    eventually("it is shown", || {
        lost().is_some_and(|text| text.contains("was removed or replaced"))
    });
    assert_eq!(base.run(&["status"]).code, 1);
    let log = base.dir().join("logs/falco.log");
    // Longer than it takes to bind again what is free.
    std::thread::sleep(Duration::from_secs(6));
    assert_eq!(base.part("transport")["restarts"], 0);
    assert!(!fs::read_to_string(log).unwrap().contains("Restarting it"));
    UnixStream::connect(&path).unwrap();
    theirs.accept().unwrap();
    drop(theirs);
    fs::remove_file(&path).unwrap();
    base.wait_ready();
    base.emit();
}

fn told_of(base: &Base, event: &str, path: &Path) -> bool {
    let said = base.run(&["events", "--json", "-n", "100000"]).stdout;
    let path = path.display().to_string();
    let events = said.lines().map(serde_json::from_str::<Value>);
    let mut events = events.map(Result::unwrap);
    events.any(|told| told["event"] == event && told["path"] == path.as_str())
}

#[test]
fn a_directory_of_logs_that_was_removed_is_made_anew_and_written_to() {
    let base = Base::new();
    base.up();
    let logs = base.dir().join("logs");
    fs::remove_dir_all(&logs).unwrap();
    // Something to write, whenever that is noticed.
    eventually("there are logs again", || {
        assert_eq!(base.run(&["restart", "transport"]).code, 0);
        logs.join("events.jsonl").exists() && logs.join("transport.log").exists()
    });
    let mode = fs::metadata(&logs).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    // Its first lines may be of before.
    eventually("what was asked is told", || {
        assert_eq!(base.run(&["restart", "transport"]).code, 0);
        let events = base.run(&["events", "--json"]).stdout;
        events.contains("restart")
    });
    base.emit();
}

#[test]
fn a_configuration_in_whose_place_a_pipe_stands_keeps_nobody_waiting_and_changes_nothing() {
    let base = Base::new();
    base.up();
    // Nobody ever writes to it.
    let path = base.dir().join("identity.json");
    fs::remove_file(&path).unwrap();
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let began = Instant::now();
    let said = base.run(&["reload"]);
    assert_ne!(said.code, 0);
    assert!(began.elapsed() < PATIENCE);
    let why = format!("{}: it is a named pipe, not a regular file", path.display());
    assert!(said.stderr.contains(&why), "{}", said.stderr);
    assert_eq!(base.run(&["status"]).code, 0);
    base.emit();
    assert_eq!(base.run(&["stop"]).code, 0);
    base.assert_nothing_left();
}

#[test]
fn an_emulator_whose_port_a_stranger_has_says_so_and_comes_back_once_it_is_free() {
    let address = free_address();
    let base = Base::configured(&format!("[emulator]\nlisten = \"{address}\"\n"));
    base.up();
    assert_eq!(base.run(&["stop", "emulator"]).code, 0);
    let stranger = TcpListener::bind(address).unwrap();
    let mut restart = base.falco(&["restart", "emulator"]);
    let mut restart = restart.stderr(Stdio::null()).spawn().unwrap();
    let why = format!(
        "emulator said last: error: the emulator cannot listen: failed to listen on {address}"
    );
    eventually("status says why", || {
        let said = base.run(&["status"]);
        said.code == 1 && said.stdout.contains(&why)
    });
    drop(stranger);
    restart.wait().unwrap();
    base.wait_ready();
    base.emit();
}
