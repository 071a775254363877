//! The journal beside what it could be measured by.
//!
//! Every figure is a ratio of two things done in turns on the same disk in the
//! same minute: a disk's speed changes more from minute to minute than these
//! differ. Run with `cargo bench --bench journal`, with `--features sqlite` for
//! the comparison with SQLite; a word after `--` picks parts by name.
//!
//! `bare` is `sync = always` beside a loop that appends the same bytes with one
//! write and one fdatasync a batch, in two lines for each size of batch:
//!
//! - *one at a time*: every append is answered before the next is made. That is
//!   how long one append takes: two threads are woken in turn for it, and
//!   nothing is done while the disk works.
//! - *two at a time*: the next append is queued while the disk works on the one
//!   before. That is what goes through under load: Falco's dispatcher never waits
//!   for an answer before it appends.
//!
//! In both lines the loop writes the same batches as the journal: where that has
//! found two appends in its queue and made one batch of them, the loop's batch is
//! as large, and both have synced equally often. How long the loop took for a batch
//! is said, too: what the journal adds to that is much the same on every disk, so
//! that the ratio is nearer to one on a slower disk.
//!
//! That loop is given its bytes. Beside *one at a time* stands a second one that
//! has to make them, as anybody would who writes a line of JSON for each effect.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

#[cfg(feature = "sqlite")]
mod sqlite;

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use falco::journal::{Config, Effect, Entry, Journal, Receipt, Settled, Sync};
use falco::protocol::envelope::{Operation, Routing, route};
use falco::protocol::id::{EffectId, IdempotencyKey, LaneKey};

const PAYLOAD_BYTES: usize = 512;

/// Turns of each side; the first of them only warms up.
const TURNS: usize = 13;

/// One part of the benchmark.
type Part = fn(&tokio::runtime::Runtime);

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("runtime");
    let parts: [(&str, Part); 3] = [
        ("bare", bare),
        ("sqlite", against_sqlite),
        ("recovery", recovery),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            println!("\n{name}");
            part(&runtime);
        }
    }
}

fn config(sync: Sync) -> Config {
    Config {
        bytes_max: 1 << 40,
        low_water_bytes: 0,
        low_water_percent: 0,
        ..Config::with_sync(sync)
    }
}

fn effect(i: usize, operation: &Operation) -> Effect {
    let id = EffectId::random();
    Effect {
        id,
        lane: LaneKey::new(format!("session-{}", i % 100)),
        route: None,
        // A message is known by what identifies it.
        key: IdempotencyKey::Uuid(EffectId::random().as_uuid()),
        fingerprint: 1 + i as u64,
        arrived_ms: 1_800_000_000_000,
        operation: operation.clone(),
    }
}

fn known(effect: &Effect) -> Settled {
    let channel = effect.operation.channel();
    Settled {
        id: effect.id,
        known_by: effect.key.comparable(effect.route.as_deref(), channel),
        fingerprint: effect.fingerprint,
    }
}

/// As it comes from a daemon.
fn operation() -> Operation {
    let text = "x".repeat(PAYLOAD_BYTES - 13);
    let frame = format!(
        r#"{{"channel":"session:0f8a:conversation","event":"conversation.message.v1","payload":{{"content":"{text}"}}}}"#
    );
    let routing = Routing::for_device("device");
    let effect = route(EffectId::random(), &Bytes::from(frame), &routing);
    effect.expect("a side effect").operation
}

fn entries(count: usize) -> Vec<Entry> {
    let operation = operation();
    let one = |i| Entry::Effect(effect(i, &operation));
    (0..count).map(one).collect()
}

/// Batches through the journal, each answered before the next.
fn through(
    runtime: &tokio::runtime::Runtime,
    journal: &Journal,
    work: Vec<Vec<Entry>>,
) -> Duration {
    let begun = Instant::now();
    runtime.block_on(async {
        for batch in work {
            let receipt = journal.append(batch).await.expect("open");
            receipt.await.expect("recorded");
        }
    });
    begun.elapsed()
}

struct Bare {
    file: File,
    end: u64,
}

impl Bare {
    fn at(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).open(path);
        Self {
            file: file.expect("a file"),
            end: 0,
        }
    }

    /// Appends as many bytes in as many batches, each in one write, and syncs it.
    fn write(&mut self, (batches, bytes): (u64, u64)) -> Duration {
        let bytes = vec![b'x'; usize::try_from(bytes / batches).expect("some")];
        let begun = Instant::now();
        for _ in 0..batches {
            self.file.write_all_at(&bytes, self.end).expect("written");
            self.end += bytes.len() as u64;
            self.file.sync_data().expect("synced");
        }
        begun.elapsed()
    }

    /// Appends a line for each of `entries` in one write, and syncs it.
    fn write_lines(&mut self, entries: &[Entry]) -> Duration {
        let begun = Instant::now();
        let mut lines = Vec::new();
        for entry in entries {
            line(&mut lines, entry);
            lines.push(b'\n');
        }
        self.file.write_all_at(&lines, self.end).expect("written");
        self.end += lines.len() as u64;
        self.file.sync_data().expect("synced");
        begun.elapsed()
    }
}

/// An entry as a loop by hand would write it, without a checksum or a number.
fn line(out: &mut Vec<u8>, entry: &Entry) {
    match entry {
        Entry::Effect(effect) => {
            let (id, lane, key) = (effect.id, effect.lane.as_str(), &effect.key);
            let (channel, event) = (effect.operation.channel(), effect.operation.name());
            let (hash, at) = (effect.fingerprint, effect.arrived_ms);
            write!(
                out,
                r#"{{"id":"{id}","lane":"{lane}","key":"{key}","hash":{hash},"at":{at},"channel":"{channel}","event":"{event}","payload":"#
            )
            .expect("written");
            // It is JSON already.
            out.extend_from_slice(effect.operation.body());
            out.push(b'}');
        }
        Entry::Done(done) => {
            out.extend_from_slice(br#"{"done":["#);
            for (at, done) in done.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                write!(out, r#"{comma}"{}""#, done.id).expect("written");
            }
            out.extend_from_slice(b"]}");
        }
        _ => {}
    }
}

/// What a journal has written so far.
#[derive(Clone, Copy)]
struct Written {
    batches: u64,
    records: u64,
    /// Bytes of its segments; those that are not needed any more are removed.
    held: u64,
}

/// A journal at work: every batch settles what the one before recorded.
struct Steady<'j> {
    journal: &'j Journal,
    before: Vec<Settled>,
}

impl Steady<'_> {
    /// Batches, each answered before the next is made; making them is not
    /// counted.
    fn write(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        batches: usize,
        records: usize,
    ) -> Duration {
        let mut took = Duration::ZERO;
        for _ in 0..batches {
            let batch = self.next(records);
            let begun = Instant::now();
            runtime.block_on(async {
                let receipt = self.journal.append(batch).await.expect("open");
                receipt.await.expect("recorded");
            });
            took += begun.elapsed();
        }
        took
    }

    /// The same, but that another batch is queued while one is written; all are
    /// made before.
    fn write_ahead(
        &mut self,
        runtime: &tokio::runtime::Runtime,
        batches: usize,
        records: usize,
    ) -> Duration {
        let work: Vec<_> = (0..batches).map(|_| self.next(records)).collect();
        let begun = Instant::now();
        runtime.block_on(async {
            let mut before: Option<Receipt> = None;
            for batch in work {
                let receipt = self.journal.append(batch).await.expect("open");
                if let Some(before) = before.replace(receipt) {
                    before.await.expect("recorded");
                }
            }
            if let Some(last) = before {
                last.await.expect("recorded");
            }
        });
        begun.elapsed()
    }

    /// What it has written.
    fn written(&self) -> Written {
        // It is told a moment after the answer.
        std::thread::sleep(Duration::from_millis(20));
        let stats = self.journal.stats();
        Written {
            batches: stats.batches,
            records: stats.records,
            held: stats.bytes,
        }
    }

    fn next(&mut self, records: usize) -> Vec<Entry> {
        let mut batch = entries(records);
        let ids = batch.iter().filter_map(|entry| match entry {
            Entry::Effect(effect) => Some(known(effect)),
            _ => None,
        });
        let before = std::mem::replace(&mut self.before, ids.collect());
        batch.push(Entry::Done(before));
        batch
    }
}

/// How a side's turn of so many batches of so many records is done.
type Write = fn(&mut Steady<'_>, &tokio::runtime::Runtime, usize, usize) -> Duration;

/// `sync = always` against a loop of write and fdatasync with the same batches.
fn bare(runtime: &tokio::runtime::Runtime) {
    let ways: [(&str, Write); 2] = [
        ("one at a time", |steady, runtime, batches, records| {
            steady.write(runtime, batches, records)
        }),
        ("two at a time", |steady, runtime, batches, records| {
            steady.write_ahead(runtime, batches, records)
        }),
    ];
    for (records, batches) in [(1, 100), (64, 50), (512, 30)] {
        for (what, way) in ways {
            let what = format!("{records:4} records a batch, {what}");
            against_bare(runtime, &what, (records, batches), way);
        }
        against_lines(runtime, records, batches);
    }
}

fn against_bare(
    runtime: &tokio::runtime::Runtime,
    what: &str,
    (records, batches): (usize, usize),
    way: Write,
) {
    let base = tempfile::tempdir_in(".").expect("a directory");
    let config = config(Sync::Always);
    let (journal, _) = Journal::open(&base.path().join("outbox"), &config).expect("opens");
    let mut bare = Bare::at(&base.path().join("bare"));
    let mut steady = Steady {
        journal: &journal,
        before: Vec::new(),
    };
    let mut times = Vec::new();
    let mut before = steady.written();
    let mut bytes_of_record = None;
    for _ in 0..TURNS {
        let ours = way(&mut steady, runtime, batches, records);
        let after = steady.written();
        let written = after.records - before.records;
        // While it warms up, nothing is removed.
        let of_record = *bytes_of_record.get_or_insert((after.held - before.held) / written);
        let same = (after.batches - before.batches, written * of_record);
        before = after;
        times.push((ours, bare.write(same)));
    }
    report(what, records * batches, &times[1..]);
    let (asked, written) = (TURNS * batches, before.batches);
    let alone: Duration = times.iter().map(|(_, bare)| *bare).sum();
    println!(
        "    {asked} appends, {written} batches; the loop took {:.2} ms for each",
        alone.as_secs_f64() * 1e3 / written as f64
    );
}

/// The same against a loop that makes a line of JSON for each entry.
fn against_lines(runtime: &tokio::runtime::Runtime, records: usize, batches: usize) {
    let base = tempfile::tempdir_in(".").expect("a directory");
    let config = config(Sync::Always);
    let (journal, _) = Journal::open(&base.path().join("outbox"), &config).expect("opens");
    let mut bare = Bare::at(&base.path().join("bare"));
    let mut steady = Steady {
        journal: &journal,
        before: Vec::new(),
    };
    let mut times = Vec::new();
    for _ in 0..TURNS {
        let ours = steady.write(runtime, batches, records);
        let mut other = Duration::ZERO;
        for _ in 0..batches {
            let batch = steady.next(records);
            other += bare.write_lines(&batch);
        }
        times.push((ours, other));
    }
    let what = format!("{records:4} records a batch, a loop that makes lines");
    report(&what, records * batches, &times[1..]);
}

/// Prints the rates of both, and how ours compares in the middle turn.
fn report(what: &str, records: usize, times: &[(Duration, Duration)]) {
    let mut ratios: Vec<f64> = times
        .iter()
        .map(|(ours, other)| other.as_secs_f64() / ours.as_secs_f64())
        .collect();
    ratios.sort_by(f64::total_cmp);
    let sum = |pick: fn(&(Duration, Duration)) -> Duration| -> f64 {
        times.iter().map(|turn| pick(turn).as_secs_f64()).sum()
    };
    let all = (records * times.len()) as f64;
    let (ours, other) = (sum(|t| t.0), sum(|t| t.1));
    println!(
        "  {what}: {:.0} against {:.0} records/s, ratio of all {:.2}, of the middle turn {:.2}",
        all / ours,
        all / other,
        other / ours,
        ratios[ratios.len() / 2]
    );
}

#[cfg(feature = "sqlite")]
fn against_sqlite(runtime: &tokio::runtime::Runtime) {
    const RECORDS: usize = 512;
    const BATCHES: usize = 20;
    let base = tempfile::tempdir_in(".").expect("a directory");
    let config = config(Sync::Always);
    let (journal, _) = Journal::open(&base.path().join("outbox"), &config).expect("opens");
    let mut sqlite = sqlite::Table::at(&base.path().join("sqlite"));
    let mut times = Vec::new();
    for _ in 0..TURNS {
        let work = (0..BATCHES).map(|_| entries(RECORDS)).collect();
        let ours = through(runtime, &journal, work);
        let work: Vec<Vec<Entry>> = (0..BATCHES).map(|_| entries(RECORDS)).collect();
        times.push((ours, sqlite.write(&work)));
    }
    report("512 records a commit", RECORDS * BATCHES, &times[1..]);
}

#[cfg(not(feature = "sqlite"))]
fn against_sqlite(_: &tokio::runtime::Runtime) {
    println!("  needs --features sqlite");
}

/// Opening a journal of a million records that are in memory already.
fn recovery(runtime: &tokio::runtime::Runtime) {
    for (what, settled) in [
        ("half of them settled the other half", true),
        ("all live", false),
    ] {
        let base = tempfile::tempdir_in(".").expect("a directory");
        let directory = base.path().join("outbox");
        let records = fill(runtime, &directory, settled);
        let mut times = Vec::new();
        for _ in 0..3 {
            let begun = Instant::now();
            let (journal, recovered) =
                Journal::open(&directory, &config(Sync::INTERVAL)).expect("opens");
            times.push(begun.elapsed());
            assert_eq!(recovered.report.damage, []);
            drop(recovered);
            _ = runtime.block_on(journal.close());
        }
        times.sort();
        println!(
            "  {records} records, {what}: best {:.2} s, worst {:.2} s",
            times[0].as_secs_f64(),
            times[2].as_secs_f64()
        );
    }
}

fn fill(runtime: &tokio::runtime::Runtime, directory: &Path, settled: bool) -> usize {
    const RECORDS: usize = 1_000_000;
    const BATCH: usize = 500;
    let mut fill = config(Sync::INTERVAL);
    // All of it is to be there.
    fill.bytes_max = u64::MAX;
    let (journal, _) = Journal::open(directory, &fill).expect("opens");
    let mut written = 0;
    while written < RECORDS {
        let mut batch = entries(BATCH);
        if settled {
            let settle = |entry: &Entry| match entry {
                Entry::Effect(effect) => Entry::Done(vec![known(effect)]),
                other => other.clone(),
            };
            let done: Vec<Entry> = batch.iter().map(settle).collect();
            batch.extend(done);
        }
        written += batch.len();
        through(runtime, &journal, vec![batch]);
    }
    runtime.block_on(journal.close()).expect("closed");
    written
}
