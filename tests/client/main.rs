//! A daemon with an outbox in its own database, in front of a whole chain: all
//! it committed is published in order and once, whatever is killed underneath.

mod chat;
#[allow(dead_code, reason = "written for all that tests/ingest does")]
#[path = "../ingest/daemon.rs"]
mod daemon;
#[allow(dead_code, reason = "written for all that tests/chain does")]
#[path = "../chain/falco.rs"]
mod falco;
#[path = "../chain/server.rs"]
mod server;

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::chat::Chat;
use crate::falco::{Chain, PATIENCE};

const SESSIONS: [&str; 3] = ["a", "b", "c"];

/// A daemon's runtime; when it is dropped, all that ran on it is gone.
struct Runtime {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Runtime {
    fn start() -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || _ = runtime.block_on(stopped));
        Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    fn chat(&self, chain: &Chain) -> Chat {
        let _inside = self.handle.enter();
        let database = chain.base().join("daemon.db");
        Chat::start(&database, chain.base().join("falco.sock")).expect("a daemon")
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the runtime ends");
        }
    }
}

fn append(daemon: &mut Chat, numbers: std::ops::Range<u32>) {
    for n in numbers {
        let session = SESSIONS[n as usize % SESSIONS.len()];
        daemon.append(session, n).expect("committed");
    }
}

fn expect_all_told(daemon: &Chat) {
    let deadline = Instant::now() + PATIENCE;
    while daemon.untold().expect("counted") > 0 {
        assert!(Instant::now() < deadline, "told in time");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn expect_published(chain: &Chain, count: u32) {
    for (index, session) in SESSIONS.iter().enumerate() {
        let numbers = (0..count).filter(|n| *n as usize % SESSIONS.len() == index);
        let expected: Vec<String> = numbers.map(|n| format!(r#"{{"n":{n}}}"#)).collect();
        let channel = format!("session:{session}:conversation");
        assert_eq!(chain.history(&channel), expected, "{channel}");
    }
}

#[test]
fn what_was_committed_is_published_in_order_and_once_though_the_daemon_and_the_chain_die() {
    let chain = Chain::up();
    let runtime = Runtime::start();
    let mut daemon = runtime.chat(&chain);
    append(&mut daemon, 0..300);
    chain.kill("transport");
    append(&mut daemon, 300..600);
    // The daemon dies: nothing it had not written down is remembered.
    drop(runtime);
    drop(daemon);

    let runtime = Runtime::start();
    let mut daemon = runtime.chat(&chain);
    append(&mut daemon, 600..900);
    expect_all_told(&daemon);
    expect_published(&chain, 900);
}

#[test]
fn what_is_committed_while_nothing_runs_is_published_when_the_chain_is_up() {
    let chain = Chain::up();
    chain.run(&["stop"]);
    let runtime = Runtime::start();
    let mut daemon = runtime.chat(&chain);
    append(&mut daemon, 0..30);
    chain.run(&["up", "--quiet"]);
    expect_all_told(&daemon);
    expect_published(&chain, 30);
}
