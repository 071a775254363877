//! A disk without room: everything is answered, what is kept drains, nothing
//! that was acked is lost, and it goes on by itself once there is room.
//!
//! Each test runs again by itself, in a process with mounts of its own.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::chain::{Chain, FALCO, OUTBOX, eventually};
use crate::daemon::{Daemon, effect, id, uuid};
use crate::disk::{self, Disk};
use crate::transport::numbers;

/// Has `test` run with an outbox on a disk of its own; `name` is its path in
/// this crate. Where nothing can be mounted it says so, and that is all.
pub fn on_a_small_disk(name: &str, test: fn(&Chain, &Disk)) {
    with_a_disk_under("outbox", name, test);
}

/// The same, with another directory of the chain's on that disk.
pub fn with_a_disk_under(directory: &str, name: &str, test: fn(&Chain, &Disk)) {
    if let Some(mut again) = disk::again_with_own_mounts() {
        let ran = again.args([name, "--exact", "--nocapture"]).output();
        let ran = ran.expect("runs");
        let said = String::from_utf8_lossy(&ran.stdout);
        let failed = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}{failed}");
        assert!(said.contains("1 passed"), "{said}");
        return;
    }
    let chain = Chain::new(OUTBOX);
    match Disk::mount(&chain.base().join(directory)) {
        Some(disk) => test(&chain, &disk),
        None => disk::left_out(name),
    }
}

fn send(daemon: &mut Daemon, n: u32) -> Result<(), String> {
    daemon.send(n, &effect("test", "s", n));
    daemon.read().1.map_or(Ok(()), Err)
}

/// Sends until one is refused for want of room; returns how many were not.
fn send_until_refused(daemon: &mut Daemon, from: u32) -> u32 {
    for n in from..from + 100 {
        if let Err(error) = send(daemon, n) {
            assert!(error.starts_with("unrecorded: "), "{error}");
            return n;
        }
    }
    panic!("a full disk takes a hundred effects");
}

fn accepts_again(daemon: &mut Daemon, n: u32) {
    eventually("there is room again", || send(daemon, n).is_ok());
}

#[test]
fn what_cannot_be_kept_is_refused_what_is_kept_is_published_and_it_recovers_by_itself() {
    on_a_small_disk(
        "full::what_cannot_be_kept_is_refused_what_is_kept_is_published_and_it_recovers_by_itself",
        |chain, disk| {
            chain.start();
            let mut daemon = chain.daemon();
            (0..50).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
            disk.fill();
            let kept = send_until_refused(&mut daemon, 50);
            assert!(send(&mut daemon, 900).is_err(), "and goes on so");
            let (code, text) = chain.run(&["status"]);
            assert!(code == 1 && text.contains("outbox    low"), "{text}");
            assert!(text.contains("! outbox  the disk is "), "{text}");
            let (code, text) = chain.run(&["doctor"]);
            assert!(code == 1 && text.contains("low: the disk is "), "{text}");

            let mut peer = chain.transport("test").accept();
            assert_eq!(peer.accept_messages(kept as usize), numbers(kept));
            eventually("nothing is kept", || chain.outbox()["depth"] == 0);
            assert!(send(&mut daemon, 901).is_err(), "still full");

            disk.empty();
            accepts_again(&mut daemon, kept);
            assert_eq!(peer.accept_messages(1), [kept.to_string()]);
            eventually("all is well", || chain.run(&["status"]).0 == 0);
            chain.stop();
            chain.start();
            let mut daemon = chain.daemon();
            let mut peer = chain.transport("test").accept();
            daemon.publish(777, &effect("test", "s", 777));
            assert_eq!(peer.accept_messages(1), ["777"], "nothing came again");
        },
    );
}

#[test]
fn a_disk_too_small_is_told_at_the_start_and_kept_on_once_it_has_a_little_room() {
    on_a_small_disk(
        "full::a_disk_too_small_is_told_at_the_start_and_kept_on_once_it_has_a_little_room",
        |chain, disk| {
            disk.size(200);
            let up = chain.command(&["up"]).output().expect("runs");
            let said = String::from_utf8_lossy(&up.stderr);
            assert!(up.status.success(), "{said}");
            assert!(
                said.contains("the outbox is low: the disk is too small"),
                "{said}"
            );
            let mut daemon = chain.daemon();
            let error = send(&mut daemon, 0).expect_err("no room");
            assert!(
                error.starts_with("unrecorded: the disk is too small"),
                "{error}"
            );
            // Over 256 MiB, and under twice as much.
            disk.size(400);
            accepts_again(&mut daemon, 0);
            let (code, text) = chain.run(&["status"]);
            assert!(
                !text.contains("low") && !text.contains("! outbox"),
                "{text}"
            );
            assert_eq!(code, 0, "{text}");
        },
    );
}

#[test]
fn an_outbox_of_full_size_says_so_and_is_emptied_by_its_own_verbs() {
    let small = "[outbox]\nmax_bytes = \"64MiB\"";
    let chain = Chain::up(&OUTBOX.replace("[outbox]", small));
    let mut daemon = chain.daemon();
    let padding = "x".repeat(1_000_000);
    let mut send = |n: u32| {
        let payload = format!(":\"{n} {padding}\"}}");
        daemon.send(
            n,
            &effect("test", &format!("s{}", n % 8), n).replace(&format!(":{n}}}"), &payload),
        );
        daemon.read().1.map_or(Ok(()), Err)
    };
    let count = (0..100).find(|n| {
        let full = "unrecorded: the journal is full";
        send(*n).is_err_and(|error| error == full || panic!("{error}"))
    });
    let count = count.expect("it is full");
    for n in count..count + 20 {
        assert_eq!(
            send(n).expect_err("it is full"),
            "unrecorded: the journal is full"
        );
    }
    let (code, text) = chain.run(&["status"]);
    assert!(code == 1 && text.contains("outbox    full"), "{text}");
    assert!(text.contains("! outbox  it has its max_bytes"), "{text}");

    let newest: Vec<_> = (count - count / 3..count).map(uuid).collect();
    let args = ["outbox", "drop"].into_iter();
    let args: Vec<_> = args.chain(newest.iter().map(String::as_str)).collect();
    assert_eq!(chain.run(&args).0, 0);
    assert!(send(900).is_err(), "the space is not gained yet");
    let (code, text) = chain.run(&["outbox", "compact"]);
    assert!(code == 0 && text.contains("it was"), "{text}");
    eventually("there is room", || send(901).is_ok());
    let (_, text) = chain.run(&["outbox", "compact"]);
    assert!(text.contains("all of it is needed"), "{text}");
}

#[test]
fn an_outbox_of_full_size_goes_on_publishing_and_keeps_again_as_soon_as_there_is_room() {
    let small = "[outbox]\nmax_bytes = \"64MiB\"";
    let chain = Chain::up(&OUTBOX.replace("[outbox]", small));
    let mut daemon = chain.daemon();
    let padding = "x".repeat(1_000_000);
    let large = |n: u32| {
        let payload = format!(":\"{n} {padding}\"}}");
        effect("test", &format!("s{}", n % 8), n).replace(&format!(":{n}}}"), &payload)
    };
    // Several are on their way when it becomes full: one answer each.
    let mut kept = 0;
    for n in (0..100).step_by(10) {
        (n..n + 10).for_each(|n| daemon.send(n, &large(n)));
        let mut unanswered: BTreeSet<_> = (n..n + 10).map(id).collect();
        while !unanswered.is_empty() {
            let (acked, error) = daemon.read();
            assert!(unanswered.remove(&acked), "{acked:?}");
            match error {
                None => kept += 1,
                Some(error) => assert_eq!(error, "unrecorded: the journal is full"),
            }
        }
    }
    assert!((50..90).contains(&kept), "{kept} were kept");
    let mut other = chain.daemon();
    other.send(900, &effect("test", "s", 900));
    other.expect_failed(900, "unrecorded: the journal is full");
    let mut peer = chain.transport("test").accept();
    assert_eq!(peer.accept_messages(kept).len(), kept);
    eventually("nothing is kept", || chain.outbox()["depth"] == 0);
    accepts_again(&mut other, 901);
    assert_eq!(peer.accept_messages(1), ["901"]);
    eventually("all is well", || chain.run(&["status"]).0 == 0);
}

#[test]
fn a_disk_that_fills_while_nothing_comes_is_told_by_the_status() {
    on_a_small_disk(
        "full::a_disk_that_fills_while_nothing_comes_is_told_by_the_status",
        |chain, disk| {
            chain.start();
            eventually("all is well", || chain.run(&["status"]).0 == 0);
            disk.fill();
            eventually("it is told", || {
                chain.run(&["status"]).1.contains("outbox    low")
            });
            assert!(send(&mut chain.daemon(), 0).is_err());
        },
    );
}

#[test]
fn a_chain_starts_without_a_free_byte_and_has_lost_nothing() {
    on_a_small_disk(
        "full::a_chain_starts_without_a_free_byte_and_has_lost_nothing",
        |chain, disk| {
            chain.start();
            let mut daemon = chain.daemon();
            (0..50).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
            chain.stop();
            disk.fill();
            chain.start();
            assert_eq!(chain.outbox()["depth"], 50);
            let kept = send_until_refused(&mut chain.daemon(), 50);
            chain.kill();
            disk.fill();
            chain.start();
            let mut transport = chain.transport("test");
            let mut peer = transport.accept();
            assert_eq!(peer.accept_messages(kept as usize), numbers(kept));
            eventually("nothing is kept", || chain.outbox()["depth"] == 0);
            // That they are published may have found no room in the outbox.
            drop(peer);
            chain.kill();
            disk.empty();
            chain.start();
            let mut peer = transport.accept();
            accepts_again(&mut chain.daemon(), kept);
            let expected = [kept.to_string()];
            assert_eq!(peer.accept_messages(1), expected, "nothing came again");
        },
    );
}

#[test]
fn a_loss_that_a_full_disk_does_not_let_be_set_aside_is_told_as_that() {
    on_a_small_disk(
        "full::a_loss_that_a_full_disk_does_not_let_be_set_aside_is_told_as_that",
        |chain, disk| {
            chain.start();
            let mut daemon = chain.daemon();
            (0..20).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
            chain.stop();
            damage(&chain.base().join("outbox"));
            disk.fill();
            chain.start();
            assert_eq!(chain.outbox()["quarantined"], 1);
            let told = "1 damaged range not set aside yet";
            let (code, text) = chain.run(&["doctor"]);
            assert!(code == 1 && text.contains(told), "{text}");
            let (_, text) = chain.run(&["status"]);
            assert!(
                text.contains(told) && !text.contains("told of in"),
                "{text}"
            );

            // What could be set aside by now is found there, once.
            disk.empty();
            chain.stop();
            chain.start();
            let (_, text) = chain.run(&["doctor"]);
            let is_kept = text.contains("1 damaged range told of in ");
            assert!(is_kept && !text.contains(told), "{text}");
        },
    );
}

/// Changes a byte in the middle of its one segment.
fn damage(outbox: &Path) {
    let files = fs::read_dir(outbox).expect("an outbox");
    let mut paths = files.map(|file| file.expect("a file").path());
    let is_segment = |path: &PathBuf| path.to_string_lossy().contains("/seg-");
    let segment = paths.find(is_segment).expect("a segment");
    let mut bytes = fs::read(&segment).expect("reads");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&segment, bytes).expect("writes");
}

#[test]
fn an_outbox_that_never_was_begins_once_there_is_room() {
    on_a_small_disk(
        "full::an_outbox_that_never_was_begins_once_there_is_room",
        |chain, disk| {
            fs::write(chain.base().join("outbox/ballast"), [0; 4096]).expect("writes");
            disk.fill();
            chain.start();
            let mut daemon = chain.daemon();
            assert!(send(&mut daemon, 0).is_err());
            disk.empty();
            accepts_again(&mut daemon, 0);
            assert_eq!(chain.transport("test").accept().accept_messages(1), ["0"]);
        },
    );
}

#[test]
fn a_dropped_file_stays_until_there_is_room_and_is_taken_once() {
    on_a_small_disk(
        "full::a_dropped_file_stays_until_there_is_room_and_is_taken_once",
        |chain, disk| {
            chain.start();
            let inbox = chain.base().join("outbox/inbox");
            eventually("there is an inbox", || inbox.join("rejected").is_dir());
            let made = chain.base().join("outbox/made");
            let lines: String = (0..500).map(|n| effect("test", "s", n) + "\n").collect();
            fs::write(&made, lines + "nonsense\n").expect("writes");
            disk.fill();
            send_until_refused(&mut chain.daemon(), 9000);
            fs::rename(&made, inbox.join("a.jsonl")).expect("renames");
            let trouble = |chain: &Chain| chain.outbox()["inbox"]["trouble"].clone();
            eventually("it is told", || trouble(chain) != Value::Null);
            chain.kill();
            disk.fill();
            chain.start();
            eventually("it is told again", || trouble(chain) != Value::Null);
            assert!(inbox.join("a.jsonl").exists());
            disk.empty();
            let mut peer = chain.transport("test").accept();
            let mut came = Vec::new();
            while came.len() < 500 {
                let more = peer.accept_messages(1).into_iter();
                came.extend(more.filter(|n| n.parse::<u32>().expect("n") < 9000));
            }
            assert_eq!(came, numbers(500), "each once, in order");
            eventually("it is put away", || inbox.join("done/a.jsonl").exists());
            let told = fs::read_to_string(inbox.join("rejected/a.jsonl"));
            assert!(told.expect("is told").contains("nonsense"));
            assert_eq!(trouble(chain), Value::Null);
        },
    );
}

#[test]
fn a_limit_on_the_size_of_files_refuses_only_what_fits_in_none_and_kills_nobody() {
    let chain = Chain::new(OUTBOX);
    // 256 KiB, less than the space that is kept back; twice that where a shell
    // counts in larger blocks.
    let limited = "ulimit -f 512; exec \"$0\" up --quiet";
    let started = chain.program("sh").args(["-c", limited, FALCO]).status();
    assert!(started.expect("runs").success());
    let (_, text) = chain.run(&["logs", "falco"]);
    let told = text.lines().find(|l| l.contains("Sent batches cannot"));
    assert!(told.is_some_and(|l| l.contains("ulimit -f")), "{text}");
    let mut daemon = chain.daemon();
    let of = |lane, n, bytes| {
        let payload = format!("\"{n} {}\"", "x".repeat(bytes));
        let json = effect("test", lane, n).replace(&format!(":{n}}}"), &format!(":{payload}}}"));
        (json, payload)
    };
    let mut kept = Vec::new();
    for n in 0..200 {
        let (json, payload) = of("s", n, 10_000);
        daemon.publish(n, &json);
        kept.push(payload);
    }
    assert_eq!(chain.outbox()["state"], "ok", "one segment follows another");

    daemon.send(200, &of("t", 200, 600_000).0);
    daemon.expect_failed(200, "unrecorded: the limit on the size of files");
    let (code, text) = chain.run(&["status"]);
    assert!(code == 1 && text.contains("ulimit -f"), "{text}");
    let (code, text) = chain.run(&["up", "--quiet"]);
    let told = "the outbox is degraded: files may not become long enough";
    assert!(code == 0 && text.matches(told).count() == 1, "{text}");
    let (_, text) = chain.run(&["doctor"]);
    assert!(!text.contains("nothing is wrong"), "{text}");
    let found = text.lines().find(|line| line.starts_with("warn  outbox"));
    assert!(found.is_some_and(|l| l.contains("ulimit -f")), "{text}");
    let (json, payload) = of("s", 201, 10_000);
    daemon.publish(201, &json);
    kept.push(payload);
    assert_eq!(chain.outbox()["state"], "degraded");
    let mut peer = chain.transport("test").accept();
    assert!(peer.accept_messages(kept.len()) == kept, "each, in order");
}
