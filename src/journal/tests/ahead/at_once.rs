//! The same with threads, on a real disk.

use super::*;

const APPENDS: u64 = 60;

/// Effects of more than a few pages.
fn large(i: u64) -> Vec<Entry> {
    let one = |at| Entry::Effect(effect(i * 1000 + at));
    (0..300).map(one).collect()
}

#[tokio::test]
async fn appends_that_come_faster_than_the_disk_are_answered_in_order_and_all_there() {
    let base = tempfile::tempdir().expect("a directory");
    let directory = base.path().join("outbox");
    let config = Config::with_sync(Sync::Always);
    let (journal, _) = Journal::open(&directory, &config).expect("opens");
    let mut waiting = VecDeque::new();
    let mut last_seq = 0;
    for i in 0..APPENDS {
        waiting.push_back(journal.append(large(i)).await.expect("open"));
        while 4 < waiting.len() {
            let receipt = waiting.pop_front().expect("some");
            let appended = receipt.await.expect("recorded");
            assert!(last_seq <= appended.last_seq, "in order");
            last_seq = appended.last_seq;
        }
    }
    for receipt in waiting {
        last_seq = receipt.await.expect("recorded").last_seq;
    }
    journal.close().await.expect("closed");
    drop(journal);
    let (_journal, recovered) = Journal::open(&directory, &config).expect("opens");
    assert_eq!(recovered.report.last_seq, last_seq + 1, "and its end");
    let found: Vec<EffectId> = recovered.live.iter().map(|live| live.id).collect();
    let sent = (0..APPENDS).flat_map(|i| (0..300).map(move |at| id(i * 1000 + at)));
    assert_eq!(found, sent.collect::<Vec<_>>());
}
