//! The load of a daemon: binary frames out, acks in, over real sockets.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use uuid::Uuid;

const HEADER: usize = 28;
const SUCCESS: u8 = 0x01;

/// What one run did.
pub struct Ran {
    /// Effects acked with SUCCESS.
    pub effects: usize,
    /// From the first byte written to the last ack read.
    pub took: Duration,
}

impl Ran {
    pub fn per_second(&self) -> f64 {
        self.effects as f64 / self.took.as_secs_f64()
    }
}

/// The channel of a session that [`open_loop`] may lose.
pub const BLACKHOLE: &str = "session:s0:conversation";

/// Every run has messages of its own; else Falco would know them.
static RUNS: AtomicUsize = AtomicUsize::new(0);

fn frame(run: usize, session: usize, number: usize) -> Vec<u8> {
    let json = format!(
        r#"{{"type":"message_appended","channel":"session:s{session}:conversation","event":"conversation.message.v1","session_id":"s{session}","payload":{{"schema_version":1,"session_id":"s{session}","message_id":"m{run}-{session}-{number}","sequence_number":{number},"text":"a small effect"}}}}"#
    );
    let mut out = Vec::with_capacity(HEADER + json.len());
    let length = u32::try_from(json.len()).expect("small");
    out.extend_from_slice(&(24 + length).to_le_bytes());
    out.extend_from_slice(&[0x03, 0, 0, 0]);
    out.extend_from_slice(Uuid::new_v4().as_bytes());
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(json.as_bytes());
    out
}

/// Sends `effects` over `connections` sockets, spread over `sessions` in turn,
/// as fast as Falco takes them, and waits for every ack.
pub async fn flood(
    socket: &Path,
    connections: usize,
    sessions: usize,
    effects: usize,
) -> io::Result<Ran> {
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(UnixStream::connect(socket).await?);
    }
    let per_connection: Vec<Vec<u8>> = (0..connections)
        .map(|connection| {
            (0..effects)
                .filter(|n| (n % sessions) % connections == connection)
                .flat_map(|n| frame(run, n % sessions, n / sessions))
                .collect()
        })
        .collect();
    let counts: Vec<usize> = (0..connections)
        .map(|connection| {
            (0..effects)
                .filter(|n| (n % sessions) % connections == connection)
                .count()
        })
        .collect();
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for ((stream, bytes), count) in streams.into_iter().zip(per_connection).zip(counts) {
        let (read, mut write) = stream.into_split();
        tasks.spawn(async move { write.write_all(&bytes).await.map(|()| drop(write)) });
        tasks.spawn(async move { read_acks(read, count).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic")?;
    }
    Ok(Ran {
        effects,
        took: started.elapsed(),
    })
}

async fn read_acks(mut read: tokio::net::unix::OwnedReadHalf, count: usize) -> io::Result<()> {
    let mut buffer = bytes::BytesMut::with_capacity(64 * 1024);
    let mut seen = 0;
    while seen < count {
        if read.read_buf(&mut buffer).await? == 0 {
            return Err(io::Error::other(format!(
                "closed after {seen} of {count} acks"
            )));
        }
        while let Some(length) = whole_frame(&buffer) {
            if buffer[5] != SUCCESS {
                let text = String::from_utf8_lossy(&buffer[HEADER..length]).into_owned();
                return Err(io::Error::other(format!("FAILED: {text}")));
            }
            bytes::Buf::advance(&mut buffer, length);
            seen += 1;
        }
    }
    Ok(())
}

fn whole_frame(buffer: &[u8]) -> Option<usize> {
    let total = u32::from_le_bytes(buffer.get(..4)?.try_into().ok()?);
    let length = usize::try_from(total).ok()? + 4;
    (length <= buffer.len()).then_some(length)
}

/// A daemon with one session and one effect at a time.
pub struct Pinger {
    stream: UnixStream,
    run: usize,
    sent: usize,
}

impl Pinger {
    pub async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(socket).await?,
            run: RUNS.fetch_add(1, Ordering::Relaxed),
            sent: 0,
        })
    }

    pub async fn send(&mut self) -> io::Result<()> {
        let bytes = frame(self.run, 0, self.sent);
        self.sent += 1;
        self.stream.write_all(&bytes).await
    }

    /// Waits for the ack of the last.
    pub async fn ack(&mut self) -> io::Result<()> {
        let mut ack = [0u8; HEADER];
        self.stream.read_exact(&mut ack).await?;
        match ack[5] {
            SUCCESS => Ok(()),
            _ => Err(io::Error::other("an effect FAILED")),
        }
    }
}

/// One effect at a time: the time from frame written to ack read, for each.
pub async fn ping_pong(socket: &Path, rounds: usize) -> io::Result<Vec<Duration>> {
    let mut pinger = Pinger::connect(socket).await?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let started = Instant::now();
        pinger.send().await?;
        pinger.ack().await?;
        times.push(started.elapsed());
    }
    Ok(times)
}

/// Two effects every millisecond over `sessions` in turn, for four seconds: the
/// time from frame written to ack read, for each. With `is_blackholed`, some
/// more go to the channel that is never answered, and are not counted.
pub async fn open_loop(
    socket: &Path,
    sessions: usize,
    is_blackholed: bool,
) -> io::Result<Vec<Duration>> {
    const EFFECTS: usize = 8_000;
    let run = RUNS.fetch_add(1, Ordering::Relaxed);
    let (mut read, mut write) = UnixStream::connect(socket).await?.into_split();
    let mut sent = HashMap::new();
    let mut times = Vec::with_capacity(EFFECTS);
    let mut buffer = bytes::BytesMut::with_capacity(64 * 1024);
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let mut n = 0;
    while times.len() < EFFECTS {
        tokio::select! {
            _ = tick.tick(), if n < EFFECTS => {
                let mut bytes = Vec::new();
                if is_blackholed && n % 100 == 0 {
                    bytes.extend(frame(run, 0, n));
                }
                for _ in 0..2 {
                    let frame = frame(run, 1 + n % (sessions - 1), n);
                    sent.insert(frame[8..24].to_vec(), Instant::now());
                    bytes.extend(frame);
                    n += 1;
                }
                write.write_all(&bytes).await?;
            }
            read = read.read_buf(&mut buffer) => {
                read?;
                while let Some(length) = whole_frame(&buffer) {
                    if let Some(sent) = sent.remove(&buffer[8..24]) {
                        times.push(sent.elapsed());
                    }
                    bytes::Buf::advance(&mut buffer, length);
                }
            }
        }
    }
    Ok(times)
}
