//! The whole chain beside a serial model of the predecessor.
//!
//! Real processes and sockets on loopback, with round-trip time added between
//! the transport and the server by a proxy. Every figure is printed as a ratio
//! to a baseline measured beside it. Run with `cargo bench --bench chain`; a
//! word after `--` picks the parts whose name contains it.

#![allow(clippy::print_stdout, clippy::cast_precision_loss, missing_docs)]

mod blackhole;
mod delay;
mod lanes;
mod load;
mod outbox;
mod processes;
mod serial;

use std::time::Duration;

use processes::{Chain, Emulator, proc_number};
use serial::Serial;

/// One part of the benchmark.
type Part = fn(&tokio::runtime::Runtime);

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with("--"))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    let parts: [(&str, Part); 8] = [
        ("up", up),
        ("idle", idle),
        ("latency", latency),
        ("outbox", outbox::latency),
        ("throughput", throughput),
        ("distance", distance),
        ("lanes", lanes::idle),
        ("blackholed", blackhole::delay),
    ];
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            println!("\n{name}");
            part(&runtime);
        }
    }
}

/// How long `falco up` takes until the whole chain answers.
fn up(_: &tokio::runtime::Runtime) {
    let mut times: Vec<Duration> = (0..10).map(|_| Chain::start(None).up_took).collect();
    times.sort();
    println!(
        "  up to ready: p50 {:.0} ms, best {:.0} ms",
        millis(percentile(&times, 50)),
        millis(times[0])
    );
}

/// Memory and wakeups of a chain that has nothing to do.
fn idle(_: &tokio::runtime::Runtime) {
    const WATCHED: Duration = Duration::from_secs(20);
    let chain = Chain::start(None);
    std::thread::sleep(Duration::from_secs(2));
    let processes = chain.processes();
    let switches = |pid: u32| -> u64 { proc_number(pid, "status", "voluntary_ctxt_switches") };
    let before: Vec<u64> = processes.keys().map(|pid| switches(*pid)).collect();
    std::thread::sleep(WATCHED);
    let mut total = 0;
    for ((pid, command), before) in processes.iter().zip(before) {
        let resident = proc_number(*pid, "smaps_rollup", "Pss");
        total += resident;
        let wakeups = switches(*pid) - before;
        let name: String = command.chars().take(40).collect();
        println!(
            "  {name:40} {:5.1} MB proportional, {:5.1} MB resident, {:.2} wakeups/s (main thread)",
            resident as f64 / 1024.0,
            proc_number(*pid, "status", "VmRSS") as f64 / 1024.0,
            wakeups as f64 / WATCHED.as_secs_f64(),
        );
    }
    println!("  all: {:.1} MB proportional", total as f64 / 1024.0);
}

/// What the chain adds to one publish at a time.
fn latency(runtime: &tokio::runtime::Runtime) {
    const ROUNDS: usize = 3_000;
    let emulator = Emulator::start();
    let url = format!("http://{}", emulator.address);
    let chain = Chain::start(Some((&url, &emulator.key)));
    runtime.block_on(async {
        let mut serial = Serial::connect(&emulator.address.to_string(), &emulator.key).await;
        load::ping_pong(&chain.socket(), 500).await.expect("warm");
        serial.publish(500).await;
        for round in 0..3 {
            let mut direct = serial.publish(ROUNDS).await;
            let mut ours = load::ping_pong(&chain.socket(), ROUNDS).await.expect("acked");
            direct.sort();
            ours.sort();
            for percent in [50, 99] {
                let (with, without) = (percentile(&ours, percent), percentile(&direct, percent));
                println!(
                    "  run {round} p{percent}: chain {:.0} µs, websocket alone {:.0} µs, added {:.0} µs, ratio {:.1}",
                    micros(with),
                    micros(without),
                    micros(with) - micros(without),
                    micros(with) / micros(without),
                );
            }
        }
    });
}

/// Effects per second on loopback, beside the serial model.
fn throughput(runtime: &tokio::runtime::Runtime) {
    let emulator = Emulator::start();
    let url = format!("http://{}", emulator.address);
    let chain = Chain::start(Some((&url, &emulator.key)));
    compare(
        runtime,
        &chain,
        &emulator.address.to_string(),
        &emulator.key,
        5_000,
        &[(1, 100_000), (100, 300_000), (10_000, 300_000)],
    );
}

/// The same with the server further away.
fn distance(runtime: &tokio::runtime::Runtime) {
    for round_trip in [20, 50] {
        println!(" {round_trip} ms away");
        let emulator = Emulator::start();
        let proxy = delay::start(emulator.address, Duration::from_millis(round_trip));
        let chain = Chain::start(Some((&format!("http://{proxy}"), &emulator.key)));
        compare(
            runtime,
            &chain,
            &proxy.to_string(),
            &emulator.key,
            60,
            &[(1, 3_000), (100, 200_000), (10_000, 200_000)],
        );
    }
}

fn compare(
    runtime: &tokio::runtime::Runtime,
    chain: &Chain,
    server: &str,
    key: &str,
    serial_count: usize,
    runs: &[(usize, usize)],
) {
    runtime.block_on(async {
        let mut serial = Serial::connect(server, key).await;
        load::flood(&chain.socket(), 1, 1, 200).await.expect("warm");
        for (sessions, effects) in runs {
            let times = serial.publish(serial_count).await;
            let alone = serial_count as f64 / times.iter().sum::<Duration>().as_secs_f64();
            let connections = (*sessions).min(8);
            match load::flood(&chain.socket(), connections, *sessions, *effects).await {
                Ok(ran) => println!(
                    "  {sessions:>6} sessions: {:>8.0} effects/s, serial model {alone:>7.0}/s, ratio {:.1}",
                    ran.per_second(),
                    ran.per_second() / alone,
                ),
                Err(error) => println!("  {sessions:>6} sessions: {error}"),
            }
        }
    });
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
