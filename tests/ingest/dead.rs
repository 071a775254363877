//! Sessions that nobody answers, and the others of their connection.

use std::thread;
use std::time::{Duration, Instant};

use crate::daemon::{frame, id};
use crate::falco::Falco;

/// How much comes for sessions that are dead; what has a greater number is for
/// others.
const DEAD: u32 = 36_000;

fn publish(session: &str, n: u32) -> Vec<u8> {
    let json = format!(r#"{{"type":"t","session_id":"{session}","channel":"c","payload":{n}}}"#);
    frame(id(n), json.as_bytes())
}

#[test]
fn sessions_that_die_with_more_than_their_connection_may_be_owed_delay_no_other() {
    let falco = Falco::start();
    let (mut daemon, mut others) = (falco.daemon(), falco.daemon());
    let mut peer = falco.transport().accept_ours();
    let mut writer = daemon.other_half();
    let dead = (0..DEAD).flat_map(|n| publish(&(n % 9).to_string(), n));
    let all: Vec<_> = dead.chain(publish("well", DEAD)).collect();
    let writes = thread::spawn(move || writer.write(&all));
    let reads = thread::spawn(move || {
        let acks = std::iter::repeat_with(|| daemon.read());
        let refused: Vec<_> = acks.take_while(|ack| ack.id != id(DEAD)).collect();
        let text = "lane_full: too many effects wait in lanes that stand still";
        let other = refused.iter().find(|ack| !ack.error.starts_with(text));
        assert_eq!(other, None);
    });
    let begun = Instant::now();
    for n in DEAD + 1.. {
        if reads.is_finished() {
            break;
        }
        others.write(&publish("others", n));
        loop {
            let request = peer.read();
            let payload = String::from_utf8(request.payloads().swap_remove(0));
            let first: u32 = payload.expect("text").parse().expect("a number");
            if DEAD <= first {
                peer.accept(&request);
            }
            if first == n {
                break;
            }
        }
        others.expect_success(n);
        // Their first attempts are not over yet.
        assert!(begun.elapsed() < Duration::from_secs(50));
    }
    reads.join().expect("nothing else is refused");
    writes.join().expect("all is read");
}
