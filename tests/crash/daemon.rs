//! The chat daemon as a process of its own, which can be killed: this test program
//! once more, told to be it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use falco::client::outbox::rusqlite::{self, Connection};

use crate::chat::Chat;
use crate::checker::Sent;
use crate::rig::{PATIENCE, Rig};

/// Where a process that is the daemon finds its chain, and its database.
const BASE: &str = "TEST_DAEMON_BASE";

/// How many messages it is to have before it ends.
const TARGET: &str = "TEST_DAEMON_TARGET";

/// Where it dies, as Falco is told.
const FAILPOINT: &str = "TEST_DAEMON_FAILPOINT";

/// Messages it has committed and not told of, at most: so it commits, sends, reads
/// and deletes all the time.
const UNTOLD_MAX: u64 = 40;

const SESSIONS: u32 = 6;

fn database(base: &Path) -> PathBuf {
    base.join("daemon.db")
}

/// A daemon that runs.
pub struct Daemon(Child);

impl Daemon {
    /// Starts one that goes on where the last was killed, until it has so many
    /// messages and the world was told of all.
    pub fn start(rig: &Rig, target: u32, failpoint: Option<&str>) -> Self {
        let mut command = Command::new(env::current_exe().expect("a path"));
        let itself = "daemon::a_process_that_is_the_daemon";
        command.args(["--exact", itself, "--ignored"]);
        command.env(BASE, rig.base());
        command.env(TARGET, target.to_string());
        if let Some(failpoint) = failpoint {
            command.env(FAILPOINT, failpoint);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        Self(command.spawn().expect("the daemon runs"))
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.0.kill().expect("it runs");
        let status = self.0.wait().expect("it is gone");
        assert!(!status.success(), "it was to be killed");
    }

    /// How it ended, once it did.
    pub async fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "it is killed, or has told all");
            if let Some(ended) = self.0.try_wait().expect("it is ours") {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// How many messages are committed.
pub fn committed(rig: &Rig) -> u32 {
    let count = || -> rusqlite::Result<u32> {
        let db = Connection::open(database(&rig.base()))?;
        db.query_row("SELECT count(*) FROM messages", [], |row| row.get(0))
    };
    // It may not have made its tables yet.
    count().unwrap_or(0)
}

/// The daemon's own list of what it has committed, in order.
pub fn list(rig: &Rig) -> Sent {
    let db = Connection::open(database(&rig.base())).expect("a database");
    let sql = "SELECT session, n FROM messages ORDER BY rowid";
    let mut select = db.prepare(sql).expect("a table");
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get::<_, u32>(1)?)));
    let mut list = Sent::new();
    for row in rows.expect("rows") {
        let (session, n) = row.expect("a row");
        list.entry(session)
            .or_default()
            .push(format!(r#"{{"n":{n}}}"#));
    }
    list
}

/// Whether nothing is left in its outbox.
pub fn is_told(rig: &Rig) -> bool {
    let db = Connection::open(database(&rig.base())).expect("a database");
    let left = "SELECT count(*) FROM falco_outbox";
    let left: u32 = db.query_row(left, [], |row| row.get(0)).expect("a table");
    left == 0
}

#[tokio::main(flavor = "current_thread")]
#[test]
#[ignore = "the tests here start it"]
async fn a_process_that_is_the_daemon() {
    let Some(base) = env::var_os(BASE).map(PathBuf::from) else {
        return;
    };
    if let Ok(spec) = env::var(FAILPOINT) {
        falco::failpoint::arm(&spec);
    }
    let target = env::var(TARGET).expect("a target");
    let target: u32 = target.parse().expect("a number");
    let mut chat = Chat::start(&database(&base), base.join("falco.sock")).expect("a daemon");
    let db = Connection::open(database(&base)).expect("a database");
    let count = "SELECT count(*) FROM messages";
    let mut next: u32 = db.query_row(count, [], |row| row.get(0)).expect("a table");
    let deadline = Instant::now() + PATIENCE;
    loop {
        let untold = chat.untold().expect("counted");
        if next < target && untold < UNTOLD_MAX {
            let session = format!("lane{}", next % SESSIONS);
            chat.append(&session, next).expect("committed");
            next += 1;
        } else if next >= target && untold == 0 {
            return;
        } else {
            assert!(Instant::now() < deadline, "all is told in time");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::task::yield_now().await;
    }
}
