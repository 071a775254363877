//! Daemons that hand over as fast as they are let, on wires that can be cut.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use falco::client::{Ack, Client};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::rig::Rig;
use crate::tally::{LANES, Tally};

const CLIENTS: usize = 4;

/// Effects of one client that are not acked.
const UNACKED_MAX: usize = 1000;

/// Effects handed over and not yet seen, of all clients; at more, an outbox
/// would only grow.
const LAG_MAX: u64 = 8000;

/// What the clients are told, and tell.
#[derive(Default)]
struct Word {
    holds: AtomicBool,
    ends: AtomicBool,
    /// Clients that hold and have every ack.
    quiet: AtomicUsize,
    cut: Notify,
}

/// See the module.
pub struct Load {
    word: Arc<Word>,
    thread: JoinHandle<()>,
}

impl Load {
    pub fn start(rig: &Rig, tally: &Arc<Tally>) -> Self {
        let word = Arc::<Word>::default();
        let (told, tally) = (Arc::clone(&word), Arc::clone(tally));
        let (falco, wires) = (rig.base().join("falco.sock"), rig.wires());
        let thread = thread::spawn(move || {
            runtime().block_on(work(&falco, &wires, &told, &tally));
        });
        Self { word, thread }
    }

    /// Whether nothing new is to be handed over.
    pub fn hold(&self, holds: bool) {
        self.word.holds.store(holds, Ordering::SeqCst);
    }

    /// Whether everything handed over is acked, and nothing new comes.
    pub fn is_quiet(&self) -> bool {
        assert!(!self.thread.is_finished(), "a client has failed");
        self.word.quiet.load(Ordering::SeqCst) == CLIENTS
    }

    /// Cuts every connection of a daemon to Falco.
    pub fn cut(&self) {
        self.word.cut.notify_waiters();
    }

    pub fn finish(self) {
        self.word.ends.store(true, Ordering::SeqCst);
        self.thread.join().expect("every effect is acked");
    }
}

pub fn runtime() -> Runtime {
    let runtime = Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime")
}

pub fn channel(lane: usize) -> String {
    format!("session:{lane}:conversation")
}

async fn work(falco: &Path, wires: &Path, word: &Arc<Word>, tally: &Arc<Tally>) {
    let mut clients = JoinSet::new();
    for first in 0..CLIENTS {
        let wire = wires.join(first.to_string());
        let listener = UnixListener::bind(&wire).expect("a wire");
        tokio::spawn(carry(listener, falco.to_owned(), Arc::clone(word)));
        clients.spawn(hand_over(wire, first, Arc::clone(word), Arc::clone(tally)));
    }
    while let Some(client) = clients.join_next().await {
        client.expect("every effect is acked");
    }
}

/// Carries what a client says, until its wire is cut.
async fn carry(listener: UnixListener, falco: PathBuf, word: Arc<Word>) {
    loop {
        let (mut client, _) = listener.accept().await.expect("a client");
        let Ok(mut falco) = UnixStream::connect(&falco).await else {
            continue;
        };
        tokio::select! {
            _ = tokio::io::copy_bidirectional(&mut client, &mut falco) => {}
            () = word.cut.notified() => {}
        }
    }
}

/// One daemon, with every [`CLIENTS`]th lane.
async fn hand_over(wire: PathBuf, first: usize, word: Arc<Word>, tally: Arc<Tally>) {
    let client = Client::new(wire);
    let mut acks = VecDeque::new();
    let lanes: Vec<usize> = (first..LANES).step_by(CLIENTS).collect();
    for n in 0.. {
        for lane in &lanes {
            if word.holds.load(Ordering::SeqCst) {
                wait(&mut acks, 0).await;
                word.quiet.fetch_add(1, Ordering::SeqCst);
                while word.holds.load(Ordering::SeqCst) {
                    if word.ends.load(Ordering::SeqCst) {
                        return;
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                word.quiet.fetch_sub(1, Ordering::SeqCst);
            }
            while LAG_MAX < tally.lag() && !word.holds.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tally.handle_sent();
            acks.push_back(client.deliver(effect(*lane, n)).await.expect("a client"));
            wait(&mut acks, UNACKED_MAX).await;
        }
    }
}

/// Waits until no more than `left` acks are missing.
async fn wait(acks: &mut VecDeque<Ack>, left: usize) {
    while left < acks.len() {
        let ack = acks.pop_front().expect("one more");
        assert_eq!(ack.await, Ok(()));
    }
}

fn effect(lane: usize, n: u64) -> String {
    let channel = channel(lane);
    let text = "x".repeat(200);
    format!(
        r#"{{"type":"t","session_id":"{lane}","channel":"{channel}","payload":{{"n":{n},"text":"{text}"}}}}"#
    )
}
