//! What keeping effects on disk costs: one effect at a time, until its ack and
//! until a subscriber has it, beside direct mode in the same run.

use std::time::{Duration, Instant};

use super::load::Pinger;
use super::processes::{Chain, Emulator};
use super::serial::Serial;
use super::{micros, percentile};

const ROUNDS: usize = 1_000;

const MODES: [(&str, &str); 3] = [
    ("direct", ""),
    (
        "outbox, sync = always",
        "[delivery]\nmode = \"outbox\"\n[outbox]\nsync = \"always\"\n",
    ),
    (
        "outbox, sync = interval",
        "[delivery]\nmode = \"outbox\"\n[outbox]\nsync = \"interval\"\n",
    ),
];

pub fn latency(runtime: &tokio::runtime::Runtime) {
    let emulator = Emulator::start();
    let url = format!("http://{}", emulator.address);
    let start = |(_, settings)| Chain::configured(Some((&url, &emulator.key)), settings);
    let chains = MODES.map(start);
    runtime.block_on(async {
        let address = emulator.address.to_string();
        let mut subscriber = Serial::connect(&address, &emulator.key).await;
        subscriber.subscribe("session:s0:conversation").await;
        for chain in &chains {
            measure(chain, &mut subscriber, 200).await;
        }
        for round in 0..3 {
            println!("  run {round}");
            let mut direct = None;
            for ((name, _), chain) in MODES.iter().zip(&chains) {
                let took = measure(chain, &mut subscriber, ROUNDS).await;
                let direct = *direct.get_or_insert(took);
                tell(name, &took, &direct);
            }
        }
    });
}

/// Percentiles of the time to an ack, and to a subscriber.
#[derive(Clone, Copy)]
struct Took {
    acked: [Duration; 2],
    seen: [Duration; 2],
}

async fn measure(chain: &Chain, subscriber: &mut Serial, rounds: usize) -> Took {
    let mut pinger = Pinger::connect(&chain.socket()).await.expect("a chain");
    let (mut acked, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let began = Instant::now();
        pinger.send().await.expect("falco reads");
        let ack = async {
            pinger.ack().await.expect("acked");
            began.elapsed()
        };
        let message = async {
            subscriber.message().await;
            began.elapsed()
        };
        let (to_ack, to_message) = tokio::join!(ack, message);
        acked.push(to_ack);
        seen.push(to_message);
    }
    let percentiles = |mut times: Vec<Duration>| {
        times.sort();
        [50, 99].map(|percent| percentile(&times, percent))
    };
    Took {
        acked: percentiles(acked),
        seen: percentiles(seen),
    }
}

fn tell(name: &str, took: &Took, direct: &Took) {
    let all = [
        ("ack", took.acked, direct.acked),
        ("subscriber", took.seen, direct.seen),
    ];
    for (what, took, direct) in all {
        println!(
            "    {name:24} to {what:10} p50 {:6.0} µs, p99 {:6.0} µs, ratio to direct {:.2} and {:.2}",
            micros(took[0]),
            micros(took[1]),
            micros(took[0]) / micros(direct[0]),
            micros(took[1]) / micros(direct[1]),
        );
    }
}
