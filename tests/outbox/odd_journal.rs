//! A journal that is not as Falco left it.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;

use crate::chain::{Chain, OUTBOX};
use crate::daemon::effect;

fn segment(chain: &Chain, first: u64) -> PathBuf {
    let name = format!("seg-{first:016x}.jsonl");
    chain.base().join("outbox").join(name)
}

#[test]
fn an_empty_segment_at_the_end_holds_up_no_start_and_is_told_of() {
    let chain = Chain::up(OUTBOX);
    chain.stop();
    fs::write(segment(&chain, 0xff), "").expect("writes");
    let (code, text) = chain.run(&["outbox", "verify"]);
    assert!(code == 1 && text.contains("it is empty"), "{text}");
    assert!(!text.contains("nothing of it was promised"), "{text}");
    chain.start();
    let mut peer = chain.transport("test").accept();
    chain.daemon().publish(0, &effect("test", "s", 0));
    assert_eq!(peer.accept_messages(1), ["0"]);
}

#[test]
fn a_journal_that_has_failed_by_the_time_it_is_open_ends_the_start_and_says_why() {
    let chain = Chain::new(OUTBOX);
    // Nothing can be called as the first segment has to be.
    let mut folder = fs::DirBuilder::new();
    let made = folder.recursive(true).mode(0o700);
    made.create(segment(&chain, 1)).expect("makes");
    let (code, out) = chain.run(&["up"]);
    assert_ne!(code, 0, "{out}");
    let said = format!(
        "the journal has failed: failed to begin {}: ",
        segment(&chain, 1).display()
    );
    assert!(out.contains(&said), "{out}");
}
