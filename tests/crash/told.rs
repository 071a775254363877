//! A daemon with an outbox in its own database is killed, as a process, wherever it
//! may be with what it has committed; and the chain below it now and then.

use std::cell::Cell;

use crate::checker::{check_copies, check_seen};
use crate::daemon::{self, Daemon};
use crate::rig::{Death, Rig, wait_until};
use crate::{DIRECT, FALCO, JOURNAL, OUTBOX, TRANSPORT, deaths, survive};

/// Points on the way of a row out of the daemon's database.
const DAEMON: [&str; 4] = ["RowsRead", "EffectsWritten", "AcksRead", "RowsDeleted"];

/// How often a daemon dies at each.
const TIMES: usize = 3;

/// Messages at first, and more each time that not all who are to die have done so.
const MESSAGES: u32 = 150;
const MORE: u32 = 50;
const MESSAGES_MAX: u32 = 5000;

/// All that the daemon has committed is there, in order and once: at the server,
/// and for a subscriber that drops what has a key it knows. Only what dies of the
/// chain makes copies, and no death of the daemon.
async fn check(rig: &Rig, deaths: usize) {
    assert!(daemon::is_told(rig), "nothing is left, nor refused");
    wait_until("all is published", || rig.is_published()).await;
    let list = daemon::list(rig);
    check_seen(&list, &rig.seen(&list));
    check_seen(&list, &rig.subscribed());
    check_copies(&list, &rig.published(), deaths);
}

/// A daemon that dies as `death` says, above a chain that dies as `below` does.
#[tokio::main(flavor = "current_thread")]
async fn die_at(death: Death, below: Death, settings: &str) {
    let rig = Rig::new(settings);
    rig.up(Some(below));
    let failpoint = rig.arm_daemon(death);
    let has_chain_died = Cell::new(false);
    let daemon = async {
        let mut target = MESSAGES;
        while rig.daemon_deaths_left() > 0 || !has_chain_died.get() {
            assert!(target <= MESSAGES_MAX, "never came: {death:?}, {below:?}");
            let mut daemon = Daemon::start(&rig, target, Some(&failpoint));
            if daemon.end().await.success() {
                target += MORE;
            }
        }
        let mut daemon = Daemon::start(&rig, target, None);
        assert!(daemon.end().await.success(), "{death:?}, {below:?}");
    };
    let chain = async {
        survive(&rig, below, async || {}).await;
        has_chain_died.set(true);
    };
    tokio::join!(daemon, chain);
    check(&rig, below.times).await;
}

/// Every point of the daemon, each above another death of the chain.
fn die_everywhere(below: &[&'static str], settings: &str) {
    let mut below = deaths(below, &[2], 1).into_iter().cycle();
    for death in deaths(&DAEMON, &[1, 5], TIMES) {
        die_at(death, below.next().expect("there are some"), settings);
    }
}

#[test]
fn a_daemon_that_dies_anywhere_has_told_all_it_committed() {
    die_everywhere(&[&TRANSPORT[..], &FALCO].concat(), DIRECT);
}

#[test]
fn a_daemon_that_dies_anywhere_has_told_an_outbox_all_it_committed() {
    die_everywhere(&[&JOURNAL[..], &FALCO, &TRANSPORT].concat(), OUTBOX);
}

/// How often a daemon is killed at any time.
const KILLS: u32 = 12;

/// Of how many of its kills one is that of a Falco, too.
const FALCO_SHARE: u32 = 4;

/// A daemon that is killed at any time, and a Falco every now and then.
#[tokio::main(flavor = "current_thread")]
async fn die_at_any_time(below: Death, settings: &str) {
    let rig = Rig::new(settings);
    rig.up(Some(below));
    for kill in 1..=KILLS {
        let mut daemon = Daemon::start(&rig, u32::MAX, None);
        let count = daemon::committed(&rig) + rand::random_range(1..100);
        let came = format!("{count} messages, after {kill} kills");
        wait_until(&came, || daemon::committed(&rig) >= count).await;
        let takes_falco_along = kill % FALCO_SHARE == 0;
        if takes_falco_along {
            rig.kill().await;
        }
        daemon.kill();
        if takes_falco_along {
            rig.up(None);
        }
    }
    let count = daemon::committed(&rig) + MORE;
    let mut daemon = Daemon::start(&rig, count, None);
    assert!(daemon.end().await.success(), "all is told");
    let kills = (KILLS / FALCO_SHARE) as usize;
    check(&rig, kills + below.times).await;
}

#[test]
fn a_daemon_that_is_killed_at_any_time_has_told_all_it_committed() {
    for below in deaths(&["AckRead"], &[3], 2) {
        die_at_any_time(below, DIRECT);
    }
}

#[test]
fn a_daemon_that_is_killed_at_any_time_has_told_an_outbox_all_it_committed() {
    for below in deaths(&["AckRead"], &[3], 2) {
        die_at_any_time(below, OUTBOX);
    }
}
