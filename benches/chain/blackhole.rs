//! What one lane that is never answered costs ten thousand others.
//!
//! Single runs of a few seconds differ by more than what is looked for. So one
//! load runs all the time, the hole opens and shuts again every few seconds,
//! and the percentiles are of everything that was sent while it was open, and
//! of everything that was sent while it was not. Beside them stands the ratio
//! of every other turn without a hole to the rest of them: what the machine
//! alone makes of it.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::load::{self, Run};
use super::processes::Alone;

const LANES: usize = 10_000;

/// With and without, in turns; an even number.
const PAIRS: usize = 16;

/// Longer than one attempt may take: each turn with a hole sees it time out.
const TURN: Duration = Duration::from_secs(6);

/// What is sent while the hole opens or shuts is not counted.
const SETTLING: Duration = Duration::from_millis(500);

pub fn delay(runtime: &tokio::runtime::Runtime) {
    let alone = Alone::start();
    let listener = UnixListener::bind(alone.transport_socket()).expect("binds");
    let hole = Arc::new(Hole::default());
    let server = Arc::clone(&hole);
    std::thread::spawn(move || serve(&listener, &server));
    let (mut without, mut with) = (Vec::new(), Vec::new());
    runtime.block_on(async {
        let mut load = Load::connect(&alone).await.expect("falco listens");
        load.turn(false).await.expect("acked");
        for pair in 0..PAIRS {
            for turn in 0..2 {
                let is_open = (pair + turn) % 2 == 1;
                hole.set(is_open);
                let times = load.turn(is_open).await.expect("acked");
                let side = if is_open { &mut with } else { &mut without };
                side.push(times);
            }
        }
        hole.set(false);
    });
    tell(&without, &with);
}

fn tell(without: &[Vec<Duration>], with: &[Vec<Duration>]) {
    let half = |first| without.iter().skip(first).step_by(2);
    for percent in [50, 99] {
        let of = |turns: &mut dyn Iterator<Item = &Vec<Duration>>| {
            let mut all: Vec<Duration> = turns.flatten().copied().collect();
            all.sort();
            super::micros(super::percentile(&all, percent))
        };
        let (before, after) = (of(&mut without.iter()), of(&mut with.iter()));
        println!(
            "  p{percent} {:.0} µs, with one lane of {LANES} blackholed {:.0} µs, ratio {:.2}; \
             of two halves without {:.2}",
            before,
            after,
            after / before,
            of(&mut half(0)) / of(&mut half(1))
        );
    }
    let p99 = |times: &Vec<Duration>| {
        let mut times = times.clone();
        times.sort();
        super::micros(super::percentile(&times, 99))
    };
    let mut ratios: Vec<f64> = with
        .iter()
        .zip(without)
        .map(|(with, without)| p99(with) / p99(without))
        .collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "  p99 turn by turn: ratio {:.2} in the middle, from {:.2} to {:.2}",
        ratios[PAIRS / 2],
        ratios[0],
        ratios[PAIRS - 1]
    );
}

/// Two effects every millisecond over all lanes in turn, on one connection.
struct Load {
    read: OwnedReadHalf,
    write: OwnedWriteHalf,
    buffer: bytes::BytesMut,
    run: Run,
    sent: usize,
    /// When each that is not acked was sent, and whether it counts.
    open: HashMap<[u8; 16], (Instant, bool)>,
}

impl Load {
    async fn connect(alone: &Alone) -> io::Result<Self> {
        let stream = tokio::net::UnixStream::connect(alone.socket()).await?;
        let (read, write) = stream.into_split();
        Ok(Self {
            read,
            write,
            buffer: bytes::BytesMut::with_capacity(64 * 1024),
            run: Run::new(),
            sent: 0,
            open: HashMap::new(),
        })
    }

    /// The time from frame written to ack read, of each effect that is sent once
    /// the turn has settled. What goes into the hole is not counted.
    async fn turn(&mut self, has_hole: bool) -> io::Result<Vec<Duration>> {
        let begun = Instant::now();
        let mut times = Vec::new();
        let mut tick = tokio::time::interval(Duration::from_millis(1));
        loop {
            let age = begun.elapsed();
            let is_over = TURN <= age;
            if is_over && !self.open.values().any(|(_, counts)| *counts) {
                return Ok(times);
            }
            tokio::select! {
                _ = tick.tick(), if !is_over => self.send(has_hole, SETTLING < age).await?,
                read = tokio::io::AsyncReadExt::read_buf(&mut self.read, &mut self.buffer) => {
                    if read? == 0 {
                        return Err(io::Error::other("closed"));
                    }
                    self.take_acks(&mut times);
                }
            }
        }
    }

    async fn send(&mut self, has_hole: bool, counts: bool) -> io::Result<()> {
        let mut bytes = Vec::new();
        if has_hole && self.sent.is_multiple_of(100) {
            bytes.extend(self.run.frame(load::BLACKHOLE_SESSION, self.sent));
        }
        for _ in 0..2 {
            let session = load::BLACKHOLE_SESSION + 1 + self.sent % (LANES - 1);
            let frame = self.run.frame(session, self.sent);
            let id = frame[8..24].try_into().expect("16 bytes");
            self.open.insert(id, (Instant::now(), counts));
            bytes.extend(frame);
            self.sent += 1;
        }
        tokio::io::AsyncWriteExt::write_all(&mut self.write, &bytes).await
    }

    fn take_acks(&mut self, times: &mut Vec<Duration>) {
        while let Some(ack) = load::take_frame(&mut self.buffer) {
            if let Some((sent, true)) = self.open.remove(&ack[8..24]) {
                times.push(sent.elapsed());
            }
        }
    }
}

/// Whether the one channel is answered, and what waits for that.
#[derive(Default)]
struct Hole(Mutex<State>);

#[derive(Default)]
struct State {
    is_open: bool,
    held: Vec<Value>,
    answers: Option<UnixStream>,
}

impl Hole {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic")
    }

    /// Shut, what fell in is answered at last.
    fn set(&self, is_open: bool) {
        let mut state = self.state();
        state.is_open = is_open;
        if !is_open {
            for answer in std::mem::take(&mut state.held) {
                state.answer(&answer);
            }
        }
    }
}

impl State {
    fn answer(&mut self, answer: &Value) {
        if let Some(answers) = &mut self.answers {
            writeln!(answers, "{answer}").expect("falco reads");
        }
    }
}

/// A transport that accepts everything at once, but for one channel while the
/// hole is open.
fn serve(listener: &UnixListener, hole: &Hole) {
    let (stream, _) = listener.accept().expect("falco connects");
    hole.state().answers = Some(stream.try_clone().expect("clones"));
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { return };
        let request: Value = serde_json::from_str(&line).expect("JSON");
        let request_id = &request["request_id"];
        let mut state = hole.state();
        let answer = match request["op"].as_str() {
            Some("hello.v1") => json!({
                "op": "hello.ack.v1", "request_id": request_id, "ok": true,
                "features": ["publish.batch.v1", "message_id"],
            }),
            _ => json!({"op": "publish.ack.v1", "request_id": request_id, "ok": true}),
        };
        if state.is_open && request["channel"] == load::channel(load::BLACKHOLE_SESSION) {
            state.held.push(answer);
        } else {
            state.answer(&answer);
        }
    }
}
