//! `bare` is `sync = always` beside a loop that appends the same bytes with one
//! write and one fdatasync a batch, in three lines for each size of batch:
//!
//! - *one at a time*: every append is answered before the next is made. That is
//!   how long one append takes: two threads are woken in turn for it, and
//!   nothing is done while the disk works.
//! - *two at a time*, *four at a time*: so many are appended before the first is
//!   answered. That is what goes through under load: Falco's dispatcher never waits
//!   for an answer before it appends. What is large is written while the disk works
//!   on what came before; the loop does one after the other.
//!
//! In all lines the loop writes the same batches as the journal: where that has
//! made one sync of two appends, the loop's batch is as large, and both have synced
//! equally often. How long the loop took for a batch is said, too: what the journal
//! adds to that is much the same on every disk, so that the ratio is nearer to one
//! on a slower disk.
//!
//! That loop is given its bytes. Beside *one at a time* stands a second one that
//! has to make them, as anybody would who writes a line of JSON for each effect.

use std::path::Path;
use std::time::Duration;

use falco::journal::{Journal, Sync};

use crate::by_hand::Bare;
use crate::steady::Steady;
use crate::{TURNS, config, report};

/// How a side's turn of so many batches of so many records is done.
type Write = fn(&mut Steady<'_>, &tokio::runtime::Runtime, usize, usize) -> Duration;

/// `sync = always` against a loop of write and fdatasync with the same batches.
pub fn bare(runtime: &tokio::runtime::Runtime) {
    let ways: [(&str, Write); 3] = [
        ("one at a time", |steady, runtime, batches, records| {
            steady.write(runtime, batches, records)
        }),
        ("two at a time", |steady, runtime, batches, records| {
            steady.write_ahead(2, runtime, batches, records)
        }),
        ("four at a time", |steady, runtime, batches, records| {
            steady.write_ahead(4, runtime, batches, records)
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

/// A journal, and the file of the loop beside it.
fn both(base: &Path) -> (Journal, Bare) {
    let config = config(Sync::Always);
    let (journal, _) = Journal::open(&base.join("outbox"), &config).expect("opens");
    (journal, Bare::at(&base.join("bare")))
}

fn against_bare(
    runtime: &tokio::runtime::Runtime,
    what: &str,
    (records, batches): (usize, usize),
    way: Write,
) {
    let base = tempfile::tempdir_in(".").expect("a directory");
    let (journal, mut bare) = both(base.path());
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
    let (journal, mut bare) = both(base.path());
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
