//! Files that other programs leave, or append to.

mod appended;
mod dropped;
mod once;
mod told;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;

use crate::chain::{Chain, OUTBOX, eventually};
use crate::daemon::effect;
use crate::transport::Peer;

pub fn inbox(chain: &Chain) -> PathBuf {
    chain.base().join("outbox/inbox")
}

/// A chain whose inbox is there.
pub fn up() -> Chain {
    let chain = Chain::up(OUTBOX);
    eventually("there is an inbox", || {
        inbox(&chain).join("rejected").is_dir()
    });
    chain
}

/// Drops a file as the contract says: complete, by rename.
pub fn drop_file(chain: &Chain, name: &str, text: impl AsRef<[u8]>) {
    let made = chain.base().join("made");
    fs::write(&made, text).expect("writes");
    fs::rename(made, inbox(chain).join(name)).expect("renames");
}

pub fn append(chain: &Chain, text: impl AsRef<[u8]>) {
    let path = inbox(chain).join("external.jsonl");
    let mut options = OpenOptions::new();
    let file = options.create(true).append(true).open(path);
    file.expect("opens")
        .write_all(text.as_ref())
        .expect("writes");
}

pub fn lines(numbers: impl IntoIterator<Item = u32>) -> String {
    let lines = numbers.into_iter().map(|n| effect("test", "s", n) + "\n");
    lines.collect()
}

pub fn is_there(chain: &Chain, name: &str) -> bool {
    inbox(chain).join(name).exists()
}

fn rejected(chain: &Chain, name: &str) -> Vec<Value> {
    let text = fs::read_to_string(inbox(chain).join("rejected").join(name));
    let text = text.unwrap_or_default();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    lines.collect()
}

/// Publishes 9999 through the socket and expects that it comes next.
pub fn expect_nothing_else(chain: &Chain, peer: &mut Peer) {
    chain.daemon().publish(9999, &effect("test", "s", 9999));
    assert_eq!(peer.accept_messages(1), ["9999"]);
}
