//! Sockets that a service manager has bound for us.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};

use super::base::{Base, eventually, kill};

/// Starts `falco up --foreground` with `socket` as descriptor 3, as a service
/// manager does; `pid` is whom it says it means.
fn start_with(base: &Base, socket: &UnixListener, pid: &str) -> Child {
    let falco = base.falco(&["up", "--foreground"]);
    let script = format!(
        "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID={pid}; exec {} up --foreground",
        falco.get_program().to_str().unwrap()
    );
    let mut command = Command::new("/bin/sh");
    command.args(["-c", &script]).env_clear();
    command.envs(falco.get_envs().filter_map(|(k, v)| Some((k, v?))));
    let handed: OwnedFd = socket.try_clone().unwrap().into();
    command.stdin(handed).stderr(Stdio::null());
    command.spawn().unwrap()
}

fn inode(base: &Base) -> u64 {
    let path = base.dir().join("falco.sock");
    fs::symlink_metadata(path).unwrap().ino()
}

fn bound(base: &Base) -> UnixListener {
    fs::create_dir_all(base.dir()).unwrap();
    UnixListener::bind(base.dir().join("falco.sock")).unwrap()
}

#[test]
fn a_socket_that_was_handed_over_is_used_and_left_in_place() {
    let base = Base::new();
    let socket = bound(&base);
    let before = inode(&base);
    // Somebody is there before the chain is.
    let early = UnixStream::connect(base.dir().join("falco.sock")).unwrap();
    let mut child = start_with(&base, &socket, "$$");
    eventually("ready", || base.status()["state"] == "running");
    let said = base.run(&["emit", "--event", "hello", "--payload", "{}"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(inode(&base), before);
    drop(early);
    kill(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert_eq!(inode(&base), before, "the manager's to take away");
}

#[test]
fn a_socket_that_is_none_of_ours_is_not_used() {
    let base = Base::new();
    let other = UnixListener::bind(base.home().join("other.sock")).unwrap();
    let mut child = start_with(&base, &other, "$$");
    eventually("ready", || base.status()["state"] == "running");
    let said = base.run(&["emit", "--event", "hello", "--payload", "{}"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    kill(child.id(), "TERM");
    child.wait().unwrap();
    assert!(base.home().join("other.sock").exists());
    assert!(!base.dir().join("falco.sock").exists(), "ours to take away");
}

#[test]
fn a_socket_meant_for_another_process_is_a_stranger_at_our_path() {
    let base = Base::new();
    let socket = bound(&base);
    let before = inode(&base);
    let mut child = start_with(&base, &socket, "1");
    assert_eq!(child.wait().unwrap().code(), Some(73));
    assert_eq!(inode(&base), before);
}
