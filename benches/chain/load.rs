//! The load of a daemon: binary frames out, acks in, over real sockets.

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

/// The session whose effects a transport may lose.
pub const BLACKHOLE_SESSION: usize = 0;

/// Every run has messages of its own; else Falco would know them.
#[derive(Clone, Copy)]
pub struct Run(usize);

impl Run {
    pub fn new() -> Self {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        Self(RUNS.fetch_add(1, Ordering::Relaxed))
    }

    /// A side effect of `session`, ready to be written.
    pub fn frame(self, session: usize, number: usize) -> Vec<u8> {
        let (run, channel) = (self.0, channel(session));
        let json = format!(
            r#"{{"type":"message_appended","channel":"{channel}","event":"conversation.message.v1","session_id":"s{session}","payload":{{"schema_version":1,"session_id":"s{session}","message_id":"m{run}-{session}-{number}","sequence_number":{number},"text":"a small effect"}}}}"#
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
}

/// Where the messages of `session` go.
pub fn channel(session: usize) -> String {
    format!("session:s{session}:conversation")
}

/// Sends `effects` over `connections` sockets, spread over `sessions` in turn,
/// as fast as Falco takes them, and waits for every ack.
pub async fn flood(
    socket: &Path,
    connections: usize,
    sessions: usize,
    effects: usize,
) -> io::Result<Ran> {
    let run = Run::new();
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(UnixStream::connect(socket).await?);
    }
    let per_connection: Vec<Vec<u8>> = (0..connections)
        .map(|connection| {
            (0..effects)
                .filter(|n| (n % sessions) % connections == connection)
                .flat_map(|n| run.frame(n % sessions, n / sessions))
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
        while let Some(ack) = take_frame(&mut buffer) {
            if ack[5] != SUCCESS {
                let text = String::from_utf8_lossy(&ack[HEADER..]).into_owned();
                return Err(io::Error::other(format!("FAILED: {text}")));
            }
            seen += 1;
        }
    }
    Ok(())
}

/// Takes the frame at the front, if all of it is there.
pub fn take_frame(buffer: &mut bytes::BytesMut) -> Option<bytes::BytesMut> {
    let total = u32::from_le_bytes(buffer.get(..4)?.try_into().ok()?);
    let length = usize::try_from(total).ok()? + 4;
    (length <= buffer.len()).then(|| buffer.split_to(length))
}

/// A daemon with one session and one effect at a time.
pub struct Pinger {
    stream: UnixStream,
    run: Run,
    sent: usize,
}

impl Pinger {
    pub async fn connect(socket: &Path) -> io::Result<Self> {
        Ok(Self {
            stream: UnixStream::connect(socket).await?,
            run: Run::new(),
            sent: 0,
        })
    }

    pub async fn send(&mut self) -> io::Result<()> {
        let bytes = self.run.frame(0, self.sent);
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
