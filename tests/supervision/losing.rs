//! What a chain needs is taken away from it while it runs.

use std::fs;
use std::os::unix::net::UnixStream;

use super::base::{Base, eventually};

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
