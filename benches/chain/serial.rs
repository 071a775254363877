//! The predecessor's shape: one websocket, one publish in flight.
//!
//! It speaks Ably's protocol with literal frames, so that no code of ours but
//! the server is measured.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub struct Serial {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    serial: u64,
}

impl Serial {
    /// Connects to the server at `address` with `key` and waits for CONNECTED.
    pub async fn connect(address: &str, key: &str) -> Self {
        let url = format!("ws://{address}/?v=6&format=json&key={key}&echo=false");
        let (socket, _) = tokio_tungstenite::connect_async(url)
            .await
            .expect("connects");
        let mut serial = Self { socket, serial: 0 };
        serial.wait_for(r#""action":4"#).await;
        serial
    }

    async fn wait_for(&mut self, part: &str) {
        loop {
            let message = self.socket.next().await.expect("open").expect("readable");
            if message.to_text().is_ok_and(|text| text.contains(part)) {
                return;
            }
        }
    }

    /// Has every message of `channel` sent here from now on.
    pub async fn subscribe(&mut self, channel: &str) {
        let text = format!(r#"{{"action":10,"channel":"{channel}"}}"#);
        self.socket.send(Message::text(text)).await.expect("sent");
        self.wait_for(r#""action":11,"#).await;
    }

    /// Waits for the next message that comes.
    pub async fn message(&mut self) {
        self.wait_for(r#""action":15,"#).await;
    }

    /// Publishes `count` messages, each after the ACK of the one before.
    pub async fn publish(&mut self, count: usize) -> Vec<Duration> {
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            let started = Instant::now();
            let serial = self.serial;
            let text = format!(
                r#"{{"action":15,"msgSerial":{serial},"channel":"session:serial:conversation","messages":[{{"name":"conversation.message.v1","data":"{{\"schema_version\":1,\"session_id\":\"serial\",\"sequence_number\":{serial},\"text\":\"a small effect\"}}"}}]}}"#
            );
            self.socket.send(Message::text(text)).await.expect("sent");
            self.wait_for(r#""action":1,"#).await;
            self.serial += 1;
            times.push(started.elapsed());
        }
        times
    }
}
