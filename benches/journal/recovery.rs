//! How long it takes to open a journal that holds much.

use std::path::Path;
use std::time::Instant;

use falco::journal::{Entry, Journal, Sync};

use crate::entries::{entries, known};
use crate::{config, through};

/// Opening a journal of a million records that are in memory already.
pub fn recovery(runtime: &tokio::runtime::Runtime) {
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
