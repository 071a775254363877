//! The load of a daemon: binary frames out, acks in, over real sockets.

use std::io;
use std::path::Path;
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

fn frame(session: usize, number: usize) -> Vec<u8> {
    let json = format!(
        r#"{{"type":"message_appended","channel":"session:s{session}:conversation","event":"conversation.message.v1","session_id":"s{session}","payload":{{"schema_version":1,"session_id":"s{session}","message_id":"m{session}-{number}","sequence_number":{number},"text":"a small effect"}}}}"#
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
    let mut streams = Vec::new();
    for _ in 0..connections {
        streams.push(UnixStream::connect(socket).await?);
    }
    let per_connection: Vec<Vec<u8>> = (0..connections)
        .map(|connection| {
            (0..effects)
                .filter(|n| (n % sessions) % connections == connection)
                .flat_map(|n| frame(n % sessions, n / sessions))
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

/// One effect at a time: the time from frame written to ack read, for each.
pub async fn ping_pong(socket: &Path, rounds: usize) -> io::Result<Vec<Duration>> {
    let mut stream = UnixStream::connect(socket).await?;
    let mut ack = [0u8; HEADER];
    let mut times = Vec::with_capacity(rounds);
    for n in 0..rounds {
        let bytes = frame(0, n);
        let started = Instant::now();
        stream.write_all(&bytes).await?;
        stream.read_exact(&mut ack).await?;
        times.push(started.elapsed());
        if ack[5] != SUCCESS {
            return Err(io::Error::other("an effect FAILED"));
        }
    }
    Ok(times)
}
