//! A subscriber of every lane's channel, straight at the server.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::emulator::Server;
use crate::load::channel;
use crate::tally::{LANES, Tally};

/// Actions of Ably's protocol.
const ATTACH: u64 = 10;
const ATTACHED: u64 = 11;
const MESSAGE: u64 = 15;

/// Returns once all channels are attached; goes on until the process ends or
/// the server does.
pub fn start(server: &Server, tally: &Arc<Tally>) {
    let url = format!(
        "ws://{}/?v=6&format=json&key={}",
        server.address, server.key
    );
    let (tally, (attached, all)) = (Arc::clone(tally), mpsc::channel());
    let runtime = crate::load::runtime();
    thread::spawn(move || runtime.block_on(subscribe(url, tally, attached)));
    all.recv().expect("the subscriber attaches");
}

async fn subscribe(url: String, tally: Arc<Tally>, all: mpsc::Sender<()>) {
    let (mut socket, _) = connect_async(url).await.expect("connects");
    for lane in 0..LANES {
        let attach = json!({"action": ATTACH, "channel": channel(lane)});
        let frame = Frame::text(attach.to_string());
        socket.send(frame).await.expect("attaches");
    }
    let mut attached = 0;
    while let Some(Ok(frame)) = socket.next().await {
        let Frame::Text(text) = frame else { continue };
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        match frame["action"].as_u64() {
            Some(ATTACHED) if attached < LANES => {
                attached += 1;
                if attached == LANES {
                    all.send(()).expect("somebody waits");
                }
            }
            Some(ATTACHED) => tally.handle_wrong("the subscriber was too slow".to_owned()),
            Some(MESSAGE) => see(&frame, &tally),
            _ => {}
        }
    }
}

fn see(frame: &Value, tally: &Tally) {
    let channel = frame["channel"].as_str().expect("a channel");
    let lane = channel.split(':').nth(1).expect("a session");
    let lane = lane.parse().expect("a lane");
    for message in frame["messages"].as_array().expect("messages") {
        tally.handle_seen(lane, number(message));
    }
}

fn number(message: &Value) -> u64 {
    let data = message["data"].as_str().expect("data");
    let bytes = match message["encoding"].as_str() {
        Some("base64") => STANDARD.decode(data).expect("base64"),
        _ => data.as_bytes().to_vec(),
    };
    let payload: Value = serde_json::from_slice(&bytes).expect("JSON");
    payload["n"].as_u64().expect("a number")
}
