//! What lanes cost: thousands that idle, and one that is never answered.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::time::Duration;

use serde_json::{Value, json};

use super::load;
use super::processes::{Alone, Chain, proc_number};

const LANES: usize = 10_000;

/// Memory of every process after ten thousand lanes have had something to send,
/// over what it was before.
pub fn idle(runtime: &tokio::runtime::Runtime) {
    let chain = Chain::start(None);
    let socket = chain.socket();
    let flood = |sessions| {
        let ran = load::flood(&socket, 8, sessions, LANES);
        runtime.block_on(ran).expect("acked");
        std::thread::sleep(Duration::from_secs(3));
    };
    let memory = || -> Vec<(String, u64)> {
        let processes = chain.processes().into_iter();
        let resident = |pid| proc_number(pid, "smaps_rollup", "Pss");
        processes.map(|(pid, name)| (name, resident(pid))).collect()
    };
    flood(8);
    let before = memory();
    flood(LANES);
    for ((name, before), (_, after)) in before.iter().zip(memory()) {
        let name: String = name.chars().take(40).collect();
        let (before, after) = (*before as f64 / 1024.0, after as f64 / 1024.0);
        println!(
            "  {name:40} {before:6.1} MB with 8 lanes, {after:6.1} MB with {LANES}, {:+.1} MB",
            after - before
        );
    }
}

/// How long effects take while one lane of ten thousand is never answered,
/// beside the same without it, in turns: what else the machine does shows in
/// single turns, not in the middle one.
pub fn blackholed(runtime: &tokio::runtime::Runtime) {
    const RUNS: usize = 9;
    let alone = Alone::start();
    let listener = UnixListener::bind(alone.transport_socket()).expect("binds");
    std::thread::spawn(move || serve(&listener));
    let socket = alone.socket();
    let mut ratios = Vec::new();
    for run in 0..RUNS {
        let mut p99 = [0.0; 2];
        for turn in 0..2 {
            let which = (turn + run) % 2;
            let times = load::open_loop(&socket, LANES, which == 1);
            let mut times = runtime.block_on(times).expect("acked");
            times.sort();
            p99[which] = super::micros(super::percentile(&times, 99));
        }
        ratios.push(p99[1] / p99[0]);
        println!(
            "  run {run}: p99 {:.0} µs, with one lane blackholed {:.0} µs, ratio {:.2}",
            p99[0],
            p99[1],
            p99[1] / p99[0]
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("  ratio of p99, median: {:.2}", ratios[RUNS / 2]);
}

/// A transport that accepts everything at once, but for one channel that it
/// never answers.
fn serve(listener: &UnixListener) {
    let (stream, _) = listener.accept().expect("falco connects");
    let mut answers = stream.try_clone().expect("clones");
    for line in BufReader::new(stream).lines() {
        let request: Value = serde_json::from_str(&line.expect("readable")).expect("JSON");
        let request_id = &request["request_id"];
        let answer = match request["op"].as_str() {
            Some("hello.v1") => json!({
                "op": "hello.ack.v1", "request_id": request_id, "ok": true,
                "features": ["publish.batch.v1", "message_id"],
            }),
            _ if request["channel"] == load::BLACKHOLE => continue,
            _ => json!({"op": "publish.ack.v1", "request_id": request_id, "ok": true}),
        };
        let written = writeln!(answers, "{answer}");
        if written.is_err() {
            return;
        }
    }
}
