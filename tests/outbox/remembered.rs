//! What is remembered over a kill while a disk takes nothing.

use std::fs::{self, DirEntry};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::chain::{OUTBOX, eventually};
use crate::daemon::{Daemon, effect};
use crate::full::{on_a_small_disk, with_a_disk_under};
use crate::transport::payloads;

#[test]
fn a_batch_that_went_out_while_the_disk_was_full_goes_out_again_as_it_was() {
    with_a_disk_under(
        "run",
        "remembered::a_batch_that_went_out_while_the_disk_was_full_goes_out_again_as_it_was",
        |chain, disk| {
            chain.start();
            let mut daemon = chain.daemon();
            let publish = |daemon: &mut Daemon, n| daemon.publish(n, &effect("test", "s", n));
            let mut peer = chain.transport("test").accept();
            disk.fill();
            for n in 0..100 {
                publish(&mut daemon, n);
                assert_eq!(peer.accept_messages(1), [n.to_string()]);
            }
            publish(&mut daemon, 100);
            let first = peer.read();
            (101..105).for_each(|n| publish(&mut daemon, n));
            peer.accept(&first);
            let batch = peer.read();
            let sent = payloads(&batch);
            assert_eq!(sent, ["101", "102", "103", "104"]);
            chain.kill();
            disk.empty();
            drop(peer);
            chain.start();
            publish(&mut chain.daemon(), 105);
            let mut peer = chain.transport("test").accept();
            let again = peer.read();
            assert_eq!(payloads(&again), sent);
            assert_eq!(again["messages"], batch["messages"], "with their ids");
            peer.accept(&again);
            assert_eq!(peer.accept_messages(1), ["105"]);
        },
    );
}

#[test]
fn what_has_no_room_for_all_it_remembers_takes_none_from_others() {
    with_a_disk_under(
        "run",
        "remembered::what_has_no_room_for_all_it_remembers_takes_none_from_others",
        |chain, disk| {
            let files = || {
                let files = fs::read_dir(chain.base().join("run")).expect("lists");
                let files = files.map(|file| file.expect("a file"));
                let memo = |f: &DirEntry| f.file_name().to_string_lossy().starts_with("batches-");
                let lengths = files
                    .filter(memo)
                    .map(|file| file.metadata().expect("is there").len());
                lengths.collect::<Vec<_>>()
            };
            // For one of the two files and not for both.
            disk.size(12);
            chain.start();
            chain.daemon().publish(0, &effect("test", "s", 0));
            let mut peer = chain.transport("test").accept();
            assert_eq!(peer.accept_messages(1), ["0"]);
            assert_eq!(files(), [0, 0]);
            drop(peer);
            chain.stop();
            disk.size(32);
            chain.start();
            chain.daemon().publish(1, &effect("test", "s", 1));
            assert_eq!(files(), [8 << 20, 8 << 20]);
        },
    );
}

#[test]
fn an_object_that_was_set_around_a_full_outbox_is_not_set_back_after_a_kill() {
    on_a_small_disk(
        "remembered::an_object_that_was_set_around_a_full_outbox_is_not_set_back_after_a_kill",
        |chain, disk| {
            chain.configure(
                &OUTBOX.replace("[outbox]", "[outbox]\non_journal_failure = \"bypass\""),
            );
            chain.start();
            let mut daemon = chain.daemon();
            let set = |n| effect("test", "s", n).replace('{', r#"{"object_key":"state","#);
            (0..200).for_each(|n| daemon.publish(n, &set(n)));
            // Without what is kept back for what is published, too.
            chain.kill();
            disk.fill();
            chain.start();
            eventually("nothing more is kept", || {
                chain.outbox()["state"] == "bypass"
            });
            disk.fill();
            let mut transport = chain.transport("test");
            let mut peer = transport.accept();
            for n in 0..200 {
                let request = peer.read();
                assert_eq!(value(&request), n.to_string());
                peer.accept(&request);
            }
            eventually("nothing is kept", || chain.outbox()["depth"] == 0);
            let mut daemon = chain.daemon();
            daemon.send(200, &set(200));
            // What goes around it has a connection of its own.
            let mut around = transport.accept();
            let request = around.read();
            assert_eq!(value(&request), "200");
            around.accept(&request);
            daemon.expect_success(200);
            chain.kill();
            disk.empty();
            drop((transport, peer, around));
            chain.start();
            chain.daemon().publish(201, &set(201));
            let mut peer = chain.transport("test").accept();
            assert_eq!(value(&peer.read()), "201", "nothing came again");
        },
    );
}

/// What an object is set to.
fn value(request: &Value) -> String {
    let text = request["value_b64"].as_str().expect("value_b64");
    let bytes = STANDARD.decode(text).expect("base64 with padding");
    String::from_utf8(bytes).expect("UTF-8")
}
