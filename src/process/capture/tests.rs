use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::life::TURN_BYTES;
use super::*;
use crate::protocol::log::Stream;

async fn kept(input: &[u8]) -> Vec<serde_json::Value> {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::start(dir.path().into()).unwrap();
    let life = logs.of("x", Limits::default()).life(7);
    life.clone().drain(input, Stream::Err).await;
    life.flush().await;
    let text = std::fs::read_to_string(dir.path().join("x.log")).unwrap_or_default();
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

#[tokio::test]
async fn every_line_is_kept_also_the_last_without_newline() {
    let records = kept(b"one\r\n\ntwo \xff\nthree").await;
    let lines: Vec<_> = records.iter().map(|r| r["msg"].as_str().unwrap()).collect();
    assert_eq!(lines, ["one\r", "", "two \u{fffd}", "three"]);
    let facts = |r: &serde_json::Value| (r["stream"] == "err", r["incarnation"] == 7);
    assert!(records.iter().all(|r| facts(r) == (true, true)));
    let seqs: Vec<_> = records.iter().map(|r| r["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[tokio::test]
async fn a_line_beyond_the_limit_is_split_and_marked_and_none_of_it_is_lost() {
    let input = vec![b'x'; lines::LINE_BYTES_MAX * 2 + 10];
    let records = kept(&input).await;
    let parts: Vec<_> = records
        .iter()
        .map(|r| (r["msg"].as_str().unwrap().len(), r["cut"] == true))
        .collect();
    let max = lines::LINE_BYTES_MAX;
    assert_eq!(parts, [(max, true), (max, true), (10, false)]);
}

#[tokio::test]
async fn a_flood_drops_its_own_lines_only_and_says_how_many() {
    let dir = tempfile::tempdir().unwrap();
    let (jobs, queue) = sync_channel(CHUNKS_MAX);
    let logs = Logs {
        jobs,
        directory: dir.path().into(),
        sinks: Arc::default(),
        journal: Arc::new(Sink::new(dir.path(), JOURNAL, Kind::Journal)),
    };
    // Nobody writes yet: the disk does not keep up.
    let input = b"a line of some length\n".repeat(200_000);
    logs.of("flood", Limits::default())
        .life(1)
        .drain(&input[..], Stream::Out)
        .await;
    logs.of("quiet", Limits::default())
        .life(1)
        .drain(&b"heard\n"[..], Stream::Out)
        .await;
    let dropped = logs.usage_of("flood").unwrap().dropped;
    assert!(0 < dropped);
    let journal = Arc::clone(&logs.journal);
    let writing = std::thread::spawn(move || writer::run(&queue, &journal));
    logs.of("flood", Limits::default()).life(2).note("after");
    logs.flush().await;
    drop(logs);
    writing.join().unwrap();
    let read = |name| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(read("quiet.log").contains("heard"));
    let flood = read("flood.log");
    assert!(
        flood.contains(&format!("dropped {dropped} lines")),
        "{dropped}"
    );
    let lines = flood.lines().filter(|l| l.contains("a line of")).count() as u64;
    assert_eq!(lines + dropped, 200_000);
    assert!(read("events.jsonl").contains("logs_dropped"));
}

/// A child that always has more to print, until somebody else had a turn.
struct Flood {
    others_had_a_turn: Arc<AtomicUsize>,
    printed: Arc<AtomicUsize>,
}

impl AsyncRead for Flood {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let over = self.others_had_a_turn.load(Ordering::Relaxed) != 0;
        if !over && self.printed.load(Ordering::Relaxed) < 64 * TURN_BYTES {
            let bytes = into.remaining();
            into.put_slice(&b"x\n".repeat(bytes / 2));
            self.printed.fetch_add(bytes, Ordering::Relaxed);
        }
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_child_that_floods_lets_the_others_have_their_turn() {
    let dir = tempfile::tempdir().unwrap();
    let logs = Logs::start(dir.path().into()).unwrap();
    let turns = Arc::new(AtomicUsize::new(0));
    let printed = Arc::new(AtomicUsize::new(0));
    let flood = Flood {
        others_had_a_turn: Arc::clone(&turns),
        printed: Arc::clone(&printed),
    };
    let life = logs.of("flood", Limits::default()).life(1);
    // On one thread, as a supervisor is; the flood goes first.
    let flooding = tokio::spawn(life.drain(flood, Stream::Out));
    let other = tokio::spawn(async move { turns.fetch_add(1, Ordering::Relaxed) });
    other.await.unwrap();
    let before_the_other = printed.load(Ordering::Relaxed);
    assert!(before_the_other <= 2 * TURN_BYTES, "{before_the_other}");
    flooding.await.unwrap();
}
