//! A server that acknowledges late: what stands before it lets everything pass at
//! once but the ACKs.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// Stands before `server`; returns where. The protocol has to be JSON.
pub fn before(server: String, acks_take: Duration) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("an address").to_string();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.expect("a client");
            // It is gone once its test is over.
            let Ok(server) = TcpStream::connect(&server) else {
                return;
            };
            pass(&client, server, acks_take);
        }
    });
    address
}

fn pass(client: &TcpStream, server: TcpStream, acks_take: Duration) {
    let mut requests = client.try_clone().expect("clones");
    let mut up = server.try_clone().expect("clones");
    thread::spawn(move || {
        _ = io::copy(&mut requests, &mut up);
        _ = up.shutdown(Shutdown::Write);
    });
    let down = Arc::new(Mutex::new(client.try_clone().expect("clones")));
    let client = client.try_clone().expect("clones");
    thread::spawn(move || {
        _ = answers(BufReader::new(server), &down, acks_take);
        _ = client.shutdown(Shutdown::Both);
    });
}

fn answers(
    mut server: impl Read,
    client: &Arc<Mutex<TcpStream>>,
    acks_take: Duration,
) -> io::Result<()> {
    let head = head(&mut server)?;
    write(client, &head)?;
    if !head.starts_with(b"HTTP/1.1 101") {
        let mut rest = Vec::new();
        server.read_to_end(&mut rest)?;
        return write(client, &rest);
    }
    loop {
        let frame = frame(&mut server)?;
        if !contains(&frame, b"\"action\":1,") {
            write(client, &frame)?;
            continue;
        }
        let client = Arc::clone(client);
        thread::spawn(move || {
            thread::sleep(acks_take);
            _ = write(&client, &frame);
        });
    }
}

fn write(client: &Mutex<TcpStream>, bytes: &[u8]) -> io::Result<()> {
    client.lock().expect("not poisoned").write_all(bytes)
}

fn head(server: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        take(server, &mut head, 1)?;
    }
    Ok(head)
}

/// One websocket frame (RFC 6455 section 5.2) of a server, which masks none.
fn frame(server: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    take(server, &mut frame, 2)?;
    let more = match frame[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    take(server, &mut frame, more)?;
    let length = match more {
        0 => usize::from(frame[1]),
        _ => frame[2..]
            .iter()
            .fold(0, |n, byte| n << 8 | usize::from(*byte)),
    };
    take(server, &mut frame, length)?;
    Ok(frame)
}

fn take(from: &mut impl Read, to: &mut Vec<u8>, count: usize) -> io::Result<()> {
    let start = to.len();
    to.resize(start + count, 0);
    from.read_exact(&mut to[start..])
}

fn contains(frame: &[u8], part: &[u8]) -> bool {
    frame.windows(part.len()).any(|window| window == part)
}
