//! How fast the supervisor notices, heals and stops, and what it weighs,
//! beside the supervisors that are installed here.
//!
//! Real processes through their own command lines, all in one run. Falco's
//! child is its transport, ready when it answers; the others watch a `sleep`,
//! ready when it runs. Run with `cargo bench --bench supervision`; of
//! `s6-svscan` and `supervisord` those on the PATH are compared with.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    missing_docs
)]

mod lines;
mod others;
mod ours;

use std::time::Duration;

use others::{Kind, Other};
use ours::Falco;

/// Deaths of Falco's transport, and of the others' children, which restart
/// slower.
const DEATHS: usize = 100;
const DEATHS_OF_OTHERS: usize = 15;

/// Stops that are timed.
const STOPS: usize = 10;

/// Starts that cannot succeed.
const FAILED_STARTS: usize = 20;

/// What is measured of one supervisor.
#[derive(Default)]
struct Figures {
    notice: Vec<Duration>,
    /// From death to the next life, without the delay before it where that is
    /// known.
    reborn: Vec<Duration>,
    stop: Vec<Duration>,
    resident_kb: u64,
    proportional_kb: u64,
}

/// One kind of times among the figures.
type Of = fn(&Figures) -> &Vec<Duration>;

fn main() {
    let ours = measure_falco();
    print(&ours, None);
    for kind in [Kind::S6, Kind::Supervisord] {
        println!("\n{}", kind.name());
        if kind.is_installed() {
            print(&measure(kind), Some(&ours));
        } else {
            println!("  not installed");
        }
    }
}

fn measure_falco() -> Figures {
    println!("falco");
    let mut figures = Figures::default();
    let mut falco = Falco::start();
    // Memory of the start is given back after a while.
    std::thread::sleep(Duration::from_secs(3));
    (figures.resident_kb, figures.proportional_kb) = falco.memory();
    let status: Vec<Duration> = (0..50).map(|_| falco.status()).collect();
    for _ in 0..DEATHS {
        let (noticed, ready) = falco.kill_transport();
        figures.notice.push(noticed);
        figures.reborn.push(ready);
        falco.forgive();
    }
    figures.stop.push(falco.stop());
    for _ in 1..STOPS {
        figures.stop.push(Falco::start().stop());
    }
    println!("  status: {}", spread(&status));
    for (what, fails) in [
        ("a part exits", ours::Fails::PartExits),
        ("a socket is taken", ours::Fails::SocketTaken),
    ] {
        let took: Vec<Duration> = (0..FAILED_STARTS).map(|_| ours::fail(fails)).collect();
        println!("  up until it has failed, {what}: {}", spread(&took));
    }
    figures
}

fn measure(kind: Kind) -> Figures {
    let mut figures = Figures::default();
    let mut other = Other::start(kind);
    std::thread::sleep(Duration::from_secs(3));
    (figures.resident_kb, figures.proportional_kb) = other.memory();
    for _ in 0..DEATHS_OF_OTHERS {
        let (noticed, reborn) = other.kill_child();
        figures.notice.push(noticed);
        figures.reborn.push(reborn);
        // Some wait before they restart what has only just started.
        std::thread::sleep(Duration::from_millis(1_100));
    }
    figures.stop.push(other.stop());
    for _ in 1..STOPS {
        let other = Other::start(kind);
        std::thread::sleep(Duration::from_millis(500));
        figures.stop.push(other.stop());
    }
    figures
}

fn print(figures: &Figures, ours: Option<&Figures>) {
    let times: [(&str, Of); 3] = [
        ("death to notice", |f| &f.notice),
        ("death to next life", |f| &f.reborn),
        ("stop when idle", |f| &f.stop),
    ];
    for (what, of) in times {
        let ratio = ours.map(|ours| ratio(median(of(figures)), median(of(ours))));
        println!(
            "  {what}: {}{}",
            spread(of(figures)),
            ratio.unwrap_or_default()
        );
    }
    let ratio = ours.map(|ours| times_ours(figures.resident_kb as f64 / ours.resident_kb as f64));
    println!(
        "  idle memory: {:.1} MB resident, {:.1} MB proportional{}",
        figures.resident_kb as f64 / 1024.0,
        figures.proportional_kb as f64 / 1024.0,
        ratio.unwrap_or_default(),
    );
}

fn ratio(theirs: Duration, ours: Duration) -> String {
    times_ours(theirs.as_secs_f64() / ours.as_secs_f64())
}

fn times_ours(ratio: f64) -> String {
    format!("  ({ratio:.1} × falco)")
}

fn spread(times: &[Duration]) -> String {
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let (half, most) = (ms(median(times)), ms(percentile(times, 99)));
    format!("p50 {half:.1} ms, p99 {most:.1} ms")
}

fn median(times: &[Duration]) -> Duration {
    percentile(times, 50)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    times[(times.len() - 1) * percent / 100]
}
