//! A daemon that names every attempt anew: what survives is the key it gives.
//! Written from the contract, and knows nothing of ours.

use std::collections::{HashMap, HashSet};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::checker::{Sent, check_copies, check_seen};
use crate::rig::{Death, PATIENCE, Rig, channel, wait_until};
use crate::{DIRECT, EFFECTS, FALCO, JOURNAL, OUTBOX, TRANSPORT, deaths, survive};

/// As many as there is patience for, beyond those that are handed over at once.
const MORE_MAX: usize = 120;

/// So many effects spread over `lanes`, each with a key and its number in its
/// lane.
fn effects(lanes: usize, count: usize) -> (Sent, Vec<String>) {
    let mut sent = Sent::new();
    let mut effects = Vec::new();
    for n in 0..count {
        let lane = format!("lane{}", n % lanes);
        let number = n / lanes + 1;
        let payload = format!(r#"{{"n":{n},"sequence_number":{number}}}"#);
        let channel = channel(&lane);
        effects.push(format!(
            r#"{{"type":"t","session_id":"{lane}","channel":"{channel}","idempotency_key":"key {n}","payload":{payload}}}"#
        ));
        sent.entry(lane).or_default().push(payload);
    }
    (sent, effects)
}

/// Hands all over, and again what was not acked, until all of it is.
fn hand_over(socket: &Path, effects: &[String]) {
    let deadline = Instant::now() + PATIENCE;
    let mut open: Vec<usize> = (0..effects.len()).collect();
    while !open.is_empty() {
        assert!(Instant::now() < deadline, "never acked: {open:?}");
        let mut acked = HashSet::new();
        if let Ok(stream) = UnixStream::connect(socket) {
            _ = attempt(stream, effects, &open, &mut acked);
        }
        open.retain(|n| !acked.contains(n));
        thread::sleep(Duration::from_millis(20));
    }
}

fn attempt(
    mut stream: UnixStream,
    effects: &[String],
    open: &[usize],
    acked: &mut HashSet<usize>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut ids = HashMap::new();
    let mut frames = Vec::new();
    for &n in open {
        let id = Uuid::new_v4().into_bytes();
        ids.insert(id, n);
        let length = u32::try_from(effects[n].len()).expect("small");
        frames.extend((24 + length).to_le_bytes());
        frames.extend([0x03, 0, 0, 0]);
        frames.extend(id);
        frames.extend(length.to_le_bytes());
        frames.extend(effects[n].as_bytes());
    }
    stream.write_all(&frames)?;
    for _ in open {
        let mut header = [0; 28];
        stream.read_exact(&mut header)?;
        let length = u32::from_le_bytes(header[24..].try_into().expect("4 bytes"));
        let mut error = vec![0; length as usize];
        stream.read_exact(&mut error)?;
        if header[5] == 0x01 {
            let id: [u8; 16] = header[8..24].try_into().expect("16 bytes");
            acked.insert(ids[&id]);
        }
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn crash(death: Death, lanes: usize, settings: &str) {
    let rig = Rig::new(settings);
    rig.up(Some(death));
    let (_, all) = effects(lanes, EFFECTS + MORE_MAX);
    let socket = rig.base().join("falco.sock");
    let (wants_more, more) = mpsc::channel();
    let daemon = thread::spawn(move || {
        hand_over(&socket, &all[..EFFECTS]);
        let more = more.into_iter().zip(&all[EFFECTS..]);
        EFFECTS
            + more
                .map(|((), one)| hand_over(&socket, std::slice::from_ref(one)))
                .count()
    });
    survive(&rig, death, async || _ = wants_more.send(())).await;
    drop(wants_more);
    wait_until("all is acked", || daemon.is_finished()).await;
    let count = daemon.join().expect("all is acked");
    let (sent, _) = effects(lanes, count);
    wait_until("all is published", || rig.is_published()).await;
    check_seen(&sent, &rig.seen(&sent));
    check_copies(&sent, &rig.published(), death.times);
}

#[test]
fn a_transport_that_dies_costs_a_daemon_that_names_attempts_anew_nothing() {
    for death in deaths(&TRANSPORT, &[2], 2) {
        crash(death, 10, DIRECT);
    }
}

#[test]
fn a_falco_that_dies_costs_a_daemon_that_names_attempts_anew_nothing() {
    for death in deaths(&FALCO, &[1, 4], 1) {
        crash(death, 10, DIRECT);
    }
}

#[test]
fn a_falco_that_dies_costs_an_outbox_of_what_was_named_anew_nothing() {
    for death in deaths(&[&FALCO[..], &JOURNAL].concat(), &[2], 1) {
        crash(death, 10, OUTBOX);
    }
}
