//! Whoever asks a journal whose thread has ended, or ends just then.

use futures_util::FutureExt as _;
use nix::libc::EIO;

use super::super::error::Closed;
use super::super::handle::Journal;
use super::super::storage::Home;
use super::super::storage::lying::Op;
use super::super::{open_on, start};
use super::*;
use crate::journal::played::Played;

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn whoever_waits_when_the_thread_ends_is_told() {
    let at = (Instant::now(), MS);
    let opened = Played::open(&Lying::default(), &small(Sync::Always), at);
    let (played, journal, _) = opened.expect("an empty disk");
    let send = |i| journal.try_append(vec![Entry::Effect(effect(i))]);
    let mut receipts: Vec<_> = (0..).map_while(|i| send(i).ok()).collect();
    // There is no room for these.
    let last = vec![Entry::Effect(effect(receipts.len() as u64))];
    let mut last = std::pin::pin!(journal.append(last));
    assert!(last.as_mut().now_or_never().is_none());
    let mut closing = std::pin::pin!(journal.close());
    assert!(closing.as_mut().now_or_never().is_none());
    drop(played);
    let told = tokio::time::timeout(PATIENCE, last).await;
    assert_eq!(told.expect("no wait for ever").err(), Some(Closed));
    let told = tokio::time::timeout(PATIENCE, closing).await;
    assert!(told.expect("no wait for ever").is_err());
    for receipt in &mut receipts {
        assert_eq!(receipt.now(), Some(Err(Unrecorded::Closed)));
    }
}

/// As the verbs do that work without a daemon.
#[tokio::test]
async fn whoever_asks_again_and_again_hears_that_the_journal_has_failed_for_good() {
    let disk = Lying::default();
    let config = Config {
        on_failure: OnFailure::Exit,
        ..small(Sync::Always)
    };
    let opened = open_on(disk.clone(), &config, Now::read(), &Reading::default());
    let (core, _) = opened.expect("an empty disk");
    let journal: Journal = start(core, Home::default(), None).expect("a thread");
    let append = async |entry| journal.append(vec![entry]).await.expect("open").await;
    append(Entry::Effect(effect(0))).await.expect("recorded");
    fail(&disk, Op::Sync, (0, u64::MAX), EIO);
    // Nobody waits for the sync of this, and that fails.
    append(Entry::Done(vec![id(0).into()]))
        .await
        .expect("written");
    let asks = async { while journal.read(Vec::new()).await.is_ok() {} };
    let told = tokio::time::timeout(PATIENCE, asks).await;
    told.expect("no wait for ever");
    assert!(journal.close().await.is_err());
}
