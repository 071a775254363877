//! The soak: full rate over many lanes while everything around goes wrong, in
//! direct mode and then with an outbox. Nothing may be lost, overtake or
//! be seen twice, and nothing may grow.
//!
//! Run with `cargo test --test soak -- --minutes 10`; one minute without. With
//! `--only outbox`, or `direct`, all of it is spent on that. With an outbox on
//! Linux, the disk is full at times too.
//!
//! ```text
//!  half of the time each:   storm ──▶ all seen? ──▶ long life ──▶ all seen?
//!  Falco is killed:          yes                     never
//! ```

#![allow(clippy::print_stdout)]

mod disk;
#[path = "../crash/emulator.rs"]
mod emulator;
mod gauges;
mod load;
mod rig;
mod subscriber;
mod tally;
mod trouble;

use std::os::unix::process::CommandExt;
use std::sync::Arc;
use std::time::Duration;

use disk::Disk;
use gauges::Gauges;
use load::Load;
use rig::{Rig, wait_until};
use tally::Tally;
use trouble::{LIFE, STORM, Troubles};

/// How an outbox is set up; the smallest that can be.
const OUTBOX: &str = r#"
[delivery]
mode = "outbox"
[outbox]
max_bytes = "64MiB"
resume_grace = "0s"
"#;
const JOURNAL_BYTES_MAX: u64 = 64 << 20;

fn main() {
    let minutes = given("--minutes").map_or(1.0, |n| n.parse().expect("--minutes N"));
    if let Some(mut again) = disk::again_with_own_mounts() {
        let error = again.args(std::env::args_os().skip(1)).exec();
        panic!("cannot go on with mounts of its own: {error}");
    }
    let all = [("direct", ""), ("outbox", OUTBOX)];
    let only = given("--only");
    let is_wanted = |mode: &str| only.as_ref().is_none_or(|only| only == mode);
    let wanted: Vec<_> = all.iter().filter(|(mode, _)| is_wanted(mode)).collect();
    assert!(!wanted.is_empty(), "--only direct, or outbox");
    let each = Duration::from_secs_f64(60.0 * minutes).div_f64(wanted.len() as f64);
    for (mode, settings) in wanted {
        soak(mode, settings, each);
    }
}

/// What stands behind the argument called so.
fn given(name: &str) -> Option<String> {
    std::env::args().skip_while(|arg| arg != name).nth(1)
}

fn soak(mode: &str, settings: &str, length: Duration) {
    let rig = Rig::new(settings);
    let disk = (!settings.is_empty()).then(|| Disk::mount(&rig.outbox()));
    if matches!(disk, Some(None)) {
        disk::left_out("the full disk");
    }
    rig.up();
    let tally = Arc::<Tally>::default();
    subscriber::start(&rig.server, &tally);
    let load = Load::start(&rig, &tally);
    let mut troubles = Troubles::new(&rig, &load, disk.flatten());

    troubles.make(STORM, length.mul_f64(0.4), |_| {});
    all_seen(&load, &tally);
    println!("{mode}: {} effects, {troubles}", tally.sent());

    load.hold(false);
    let mut gauges = Gauges::default();
    troubles.make(LIFE, length.mul_f64(0.6), |rig| {
        gauges.read(rig, tally.sent())
    });
    all_seen(&load, &tally);
    gauges.check();
    gauges.check_journal(&rig);
    tally.check();
    println!("{mode}: {} effects, {troubles}; {gauges}", tally.sent());
    load.finish();
}

/// Waits until a subscriber has seen everything; nothing new is handed over.
fn all_seen(load: &Load, tally: &Tally) {
    load.hold(true);
    wait_until("everything is seen", || {
        tally.check();
        load.is_quiet() && tally.lag() == 0
    });
}
