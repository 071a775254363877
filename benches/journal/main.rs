//! The journal beside what it could be measured by.
//!
//! Every figure is a ratio of two things done in turns on the same disk in the
//! same minute: a disk's speed changes more from minute to minute than these
//! differ. Run with `cargo bench --bench journal`, with `--features sqlite` for
//! the comparison with SQLite; a word after `--` picks parts by name.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

mod bare;
mod by_hand;
mod entries;
mod recovery;
#[cfg(feature = "sqlite")]
mod sqlite;
mod steady;

use std::time::{Duration, Instant};

use falco::journal::{Config, Entry, Journal, Sync};
#[cfg(feature = "sqlite")]
use sqlite::against_sqlite;

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
        ("bare", bare::bare),
        ("sqlite", against_sqlite),
        ("recovery", recovery::recovery),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            println!("\n{name}");
            part(&runtime);
        }
    }
}

#[cfg(not(feature = "sqlite"))]
fn against_sqlite(_: &tokio::runtime::Runtime) {
    println!("  needs --features sqlite");
}

fn config(sync: Sync) -> Config {
    Config {
        bytes_max: 1 << 40,
        low_water_bytes: 0,
        low_water_percent: 0,
        ..Config::with_sync(sync)
    }
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
