//! A TCP proxy that adds round-trip time and nothing else: every chunk is
//! delivered half a round trip after it came, in order, without a rate limit.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Chunks under way in one direction; far above what any run needs.
const CHUNKS_MAX: usize = 65_536;

/// Starts the proxy on a thread of its own and returns where it listens.
pub fn start(to: SocketAddr, round_trip: Duration) -> SocketAddr {
    let (address, listening) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
            address
                .send(listener.local_addr().expect("address"))
                .expect("receiver");
            loop {
                let (client, _) = listener.accept().await.expect("accept");
                tokio::spawn(join(client, to, round_trip / 2));
            }
        });
    });
    listening.recv().expect("proxy listens")
}

async fn join(client: TcpStream, to: SocketAddr, one_way: Duration) {
    let Ok(server) = TcpStream::connect(to).await else {
        return;
    };
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    delay(from_client, to_server, one_way);
    delay(from_server, to_client, one_way);
}

fn delay(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, one_way: Duration) {
    let (chunks, mut due) = mpsc::channel::<(Instant, Bytes)>(CHUNKS_MAX);
    tokio::spawn(async move {
        let mut buffer = BytesMut::with_capacity(256 * 1024);
        while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
            let chunk = (Instant::now() + one_way, buffer.split().freeze());
            if chunks.send(chunk).await.is_err() {
                return;
            }
            buffer.reserve(64 * 1024);
        }
    });
    tokio::spawn(async move {
        while let Some((at, chunk)) = due.recv().await {
            tokio::time::sleep_until(at.into()).await;
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
    });
}
