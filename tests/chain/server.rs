//! What the server at the end of the chain has, asked over plain HTTP.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::falco::PATIENCE;

/// The payloads of a channel's messages, oldest first.
pub fn history(address: &str, key: &str, channel: &str) -> Vec<String> {
    let channel = channel.replace(':', "%3A");
    let path = format!("/channels/{channel}/messages?limit=1000&direction=forwards");
    let body = get(address, key, &path);
    let messages: Vec<Value> = serde_json::from_slice(&body).expect("messages");
    messages.iter().map(payload).collect()
}

fn payload(message: &Value) -> String {
    let data = message["data"].as_str().expect("data");
    let bytes = match message["encoding"].as_str() {
        Some("base64") => STANDARD.decode(data).expect("base64"),
        None => data.as_bytes().to_vec(),
        Some(other) => panic!("encoding {other}"),
    };
    String::from_utf8(bytes).expect("UTF-8")
}

fn get(address: &str, key: &str, path: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("the server accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    let basic = STANDARD.encode(key);
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Basic {basic}\r\n\
         Accept: application/json\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("writes");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("reads");
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.expect("a head") + 4);
    let head = String::from_utf8_lossy(head).to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    assert!(!head.contains("chunked"), "{head}");
    body.to_vec()
}
