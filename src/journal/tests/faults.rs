//! Calls that fail: each once, and each for good.

use nix::libc::{EFBIG, EIO, EMFILE, ENOSPC, EPERM, EROFS};

use super::super::entry::Stored;
use super::super::error::Unreadable;
use super::super::storage::lying::Op;
use super::*;

const OPS: [Op; 7] = [
    Op::Create,
    Op::Rename,
    Op::Remove,
    Op::SyncFolder,
    Op::Write,
    Op::Truncate,
    Op::Sync,
];

/// What was recorded, as far as receipts tell: entries of calls that were
/// refused may only be missing as effects.
fn history(rig: &mut Rig, seed: u64, steps: usize) -> Vec<Entry> {
    let mut dice = Dice(seed);
    let mut recorded: Vec<Entry> = Vec::new();
    for _ in 0..steps {
        let entry = some_entries(&mut dice, &recorded).remove(0);
        if rig.commit(vec![entry.clone()]).is_ok() {
            recorded.push(entry);
        }
        rig.tick();
    }
    recorded
}

#[test]
fn one_failing_call_loses_nothing_that_was_said_to_be_recorded() {
    for op in OPS {
        for nth in 0..25 {
            for errno in [EIO, ENOSPC] {
                let config = small(Sync::Always);
                let mut rig = Rig::new(&config);
                fail(&rig.disk, op, (nth, 1), errno);
                let recorded = history(&mut rig, nth, 40);
                let (told, recovered) = Rig::reopened(&rig.disk, &config);
                let what = format!("{op:?} {nth} {errno}: {:?}", recovered.report);
                assert_eq!(told, Told::by(&recorded), "{what}");
                assert!(!recovered.report.is_corrupt(), "{what}");
            }
        }
    }
}

#[test]
fn after_a_failed_sync_what_was_promised_survives_a_power_cut() {
    for nth in 0..40 {
        for sync in [Sync::Always, Sync::INTERVAL] {
            let config = small(sync);
            let mut rig = Rig::new(&config);
            fail(&rig.disk, Op::Sync, (nth, 1), EIO);
            let mut dice = Dice(nth);
            for _ in 0..70 {
                let entries = some_entries(&mut dice, &rig.entries);
                rig.commit(entries).expect("one failure is survived");
            }
            for dice in 0..3 {
                let disk = rig.disk.after_power_cut(&mut Dice(dice));
                let (told, recovered) = Rig::reopened(&disk, &config);
                let found = beginning(&told, &rig.entries, rig.durable);
                assert!(found.is_some(), "{nth} {sync:?}: {:?}", recovered.report);
                assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
            }
        }
    }
}

#[test]
fn a_second_failure_in_a_row_ends_or_bypasses_as_configured() {
    for on_failure in [OnFailure::Exit, OnFailure::Bypass] {
        let config = Config {
            on_failure,
            ..small(Sync::Always)
        };
        let mut rig = Rig::new(&config);
        rig.commit(vec![Entry::Effect(effect(0))])
            .expect("recorded");
        break_syncs(&rig);
        let refused = rig.commit(vec![Entry::Effect(effect(1))]);
        match on_failure {
            OnFailure::Exit => {
                assert!(
                    matches!(refused, Err(Unrecorded::Failed { .. })),
                    "{refused:?}"
                );
                assert!(rig.core.has_failed());
            }
            OnFailure::Bypass => {
                assert_eq!(refused, Err(Unrecorded::Bypassed));
                assert!(matches!(rig.core.health(), Health::Bypass { .. }));
            }
        }
        assert!(!rig.core.health().admits());
    }
}

#[test]
fn what_may_stand_in_a_segment_that_failed_may_come_back_though_it_was_room_that_was_missing() {
    let config = Config {
        reserve_bytes: 0,
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    // It is written and cannot be synced, and there is no room for a segment.
    fail(&rig.disk, Op::Sync, (0, 1), EIO);
    rig.disk.set_capacity(Some(rig.disk.used() + 600));
    let refused = rig.commit(vec![Entry::Effect(effect(1))]);
    assert_eq!(refused, Err(Unrecorded::Bypassed));
}

#[test]
fn a_bypassed_journal_comes_back_by_itself_and_owes_nothing() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    fail(&rig.disk, Op::Sync, (0, u64::MAX), EROFS);
    rig.commit(vec![Entry::Effect(effect(1))])
        .expect_err("no disk");
    _ = rig.commit(vec![Entry::Done(vec![id(0).into()])]);
    assert_eq!(rig.core.stats().owed, 1);
    rig.disk.heal();
    rig.pass(Duration::from_secs(11));
    rig.commit(vec![Entry::Effect(effect(2))])
        .expect("recorded");
    assert_eq!(rig.core.health(), Health::Ok);
    let (told, recovered) = Rig::reopened(&rig.disk, &config);
    let expected = [
        Entry::Effect(effect(0)),
        Entry::Done(vec![id(0).into()]),
        Entry::Effect(effect(2)),
    ];
    assert_eq!(told, Told::by(&expected));
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn a_segment_that_was_given_up_and_cannot_be_removed_is_in_nobodys_way() {
    for sync in [Sync::Always, Sync::INTERVAL] {
        for given_up in 1..4 {
            let config = small(sync);
            let mut rig = Rig::new(&config);
            let mut recorded = vec![Entry::Effect(effect(0))];
            rig.commit(recorded.clone()).expect("recorded");
            rig.pass(Duration::from_secs(1));
            rig.tick();
            // Named, but not durably so; and nothing can be removed.
            fail(&rig.disk, Op::Sync, (0, 1), EIO);
            // With every try, names are synced once before the new one is.
            fail(&rig.disk, Op::SyncFolder, (0, 1), EIO);
            (1..given_up).for_each(|n| fail(&rig.disk, Op::SyncFolder, (2 * n, 1), EIO));
            fail(&rig.disk, Op::Remove, (0, u64::MAX), EPERM);
            let refused = rig.commit(vec![Entry::Effect(effect(1))]);
            if sync == Sync::Always {
                assert_eq!(refused, Err(Unrecorded::Bypassed));
            } else {
                rig.pass(Duration::from_secs(1));
                rig.tick();
                recorded.push(Entry::Effect(effect(1)));
            }
            assert!(!rig.core.health().admits());
            for _ in 0..given_up {
                rig.pass(Duration::from_secs(11));
                rig.tick();
            }
            assert_eq!(rig.core.health(), Health::Ok, "{sync:?} {given_up}");
            let next = vec![Entry::Effect(effect(2)), Entry::Done(vec![id(0).into()])];
            rig.commit(next.clone()).expect("recorded");
            recorded.extend(next);
            rig.pass(Duration::from_secs(1));
            rig.tick();
            for dice in 0..8 {
                let disk = rig.disk.after_power_cut(&mut Dice(dice));
                let (told, recovered) = Rig::reopened(&disk, &config);
                assert_eq!(told, Told::by(&recorded), "{sync:?} {given_up}");
                assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
            }
            // Once it can be removed, it is.
            rig.disk.heal();
            rig.commit(vec![Entry::Done(vec![id(1).into(), id(2).into()])])
                .expect("recorded");
            rig.now.ms += 16 * 60 * 1000;
            rig.core.compact(rig.now);
            idle(&mut rig, 20);
            assert_eq!(segments(&rig), 1, "{sync:?} {given_up}");
        }
    }
}

#[test]
fn what_was_answered_is_kept_when_a_later_sync_fails_for_good() {
    let config = small(Sync::INTERVAL);
    let mut rig = Rig::new(&config);
    for i in 0..2 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
    }
    break_syncs(&rig);
    rig.pass(Duration::from_secs(5));
    rig.core.tick(rig.now);
    assert!(matches!(rig.core.health(), Health::Bypass { .. }));
    rig.disk.heal();
    rig.pass(Duration::from_secs(11));
    rig.commit(vec![Entry::Effect(effect(2))])
        .expect("recorded");
    let (told, recovered) = Rig::reopened(&rig.disk, &config);
    let expected = [0, 1, 2].map(|i| Entry::Effect(effect(i)));
    assert_eq!(told, Told::by(&expected));
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn a_disk_that_has_failed_is_left_alone_for_a_while() {
    for sync in [Sync::Always, Sync::INTERVAL] {
        let mut rig = Rig::new(&small(sync));
        rig.commit(vec![Entry::Effect(effect(0))])
            .expect("recorded");
        rig.commit(vec![Entry::Done(vec![id(0).into()])])
            .expect("recorded");
        break_syncs(&rig);
        rig.pass(Duration::from_secs(5));
        rig.core.tick(rig.now);
        assert!(matches!(rig.core.health(), Health::Bypass { .. }));
        let due = rig.core.due(rig.now);
        assert!(rig.now.at + Duration::from_secs(1) <= due, "{sync:?}");
    }
}

#[test]
fn what_only_settles_spends_no_sync_of_its_own() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    let syncs = |rig: &mut Rig| rig.core.stats().syncs.count;
    let before = syncs(&mut rig);
    rig.commit(vec![Entry::Done(vec![id(0).into()])])
        .expect("recorded");
    assert_eq!(syncs(&mut rig), before);
    // With the next that has to be durable.
    rig.commit(vec![Entry::Effect(effect(1))])
        .expect("recorded");
    assert_eq!(syncs(&mut rig), before + 1);
    assert!(rig.core.is_durable());
    // Or soon.
    rig.commit(vec![Entry::Done(vec![id(1).into()])])
        .expect("recorded");
    let due = rig.core.due(rig.now);
    assert_eq!(due, rig.now.at + Duration::from_millis(50));
    rig.now.at = due;
    rig.core.tick(rig.now);
    assert!(rig.core.is_durable());
    let (told, _) = Rig::reopened(&rig.disk.after_power_cut(&mut Dice(0)), &config);
    assert_eq!(told, Told::by(&rig.entries));
}

#[test]
fn a_disk_that_cannot_be_read_now_is_no_damaged_effect() {
    let mut rig = Rig::new(&small(Sync::Always));
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    for (op, errno) in [(Op::Open, EMFILE), (Op::Read, EIO)] {
        fail(&rig.disk, op, (0, 1), errno);
        assert_eq!(rig.core.read(&[id(0)]), [Err(Unreadable)]);
        let stored = Stored { effect: effect(0) };
        assert_eq!(rig.core.read(&[id(0)]), [Ok(Some(stored))]);
    }
    assert_eq!(rig.core.read(&[id(1)]), [Ok(None)]);
}

#[test]
fn an_append_with_an_effect_too_large_records_none_of_its_effects() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    let over = Effect {
        lane: LaneKey::new("x".repeat(4 << 20)),
        ..effect(1)
    };
    let entries = [effect(2), over, effect(3)].map(Entry::Effect);
    let mut entries = entries.to_vec();
    entries.push(Entry::Done(vec![id(0).into()]));
    let refused = rig.commit(entries);
    assert!(
        matches!(refused, Err(Unrecorded::TooLarge { .. })),
        "{refused:?}"
    );
    let (told, _) = Rig::reopened(&rig.disk, &config);
    let expected = [Entry::Effect(effect(0)), Entry::Done(vec![id(0).into()])];
    assert_eq!(told, Told::by(&expected));
}

#[test]
fn on_a_full_disk_settling_goes_on_and_effects_are_refused_with_what_speaks_of_them() {
    for errno_by_capacity in [true, false] {
        let config = small(Sync::Always);
        let mut rig = Rig::new(&config);
        for i in 0..5 {
            rig.commit(vec![Entry::Effect(effect(i))])
                .expect("recorded");
        }
        if errno_by_capacity {
            rig.disk.set_capacity(Some(rig.disk.used()));
        } else {
            fail(&rig.disk, Op::Write, (0, 1), EFBIG);
            rig.disk.set_capacity(Some(rig.disk.used() + 1));
        }
        let mut recorded = rig.entries.clone();
        for i in 5..30 {
            let both = vec![Entry::Effect(effect(i)), note(&i.to_string())];
            if rig.commit(both.clone()).is_ok() {
                recorded.extend(both);
            }
        }
        assert!(matches!(rig.core.health(), Health::Bypass { .. }));
        assert!(rig.core.stats().unrecorded > 5);
        for i in 0..3 {
            let done = Entry::Done(vec![id(i).into()]);
            rig.commit(vec![done.clone()]).expect("from the reserve");
            recorded.push(done);
        }
        let (told, _) = Rig::reopened(&rig.disk, &config);
        assert_eq!(told, Told::by(&recorded));
    }
}

#[test]
fn it_opens_with_no_room_at_all_and_goes_on_when_there_is_some() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    let mut image = rig.disk.files();
    image.remove("reserve.bin");
    // A torn end, that cannot be kept aside now.
    let name = image
        .keys()
        .find(|n| n.starts_with("seg-"))
        .cloned()
        .expect("one");
    image.get_mut(&name).expect("it").extend_from_slice(b"torn");
    let disk = Lying::holding(&image);
    disk.set_capacity(Some(disk.used()));
    let (mut rig, recovered) = Rig::open(&disk, &config).expect("it opens");
    assert_eq!(recovered.live.len(), 1);
    assert!(!rig.core.health().admits());
    rig.commit(vec![Entry::Effect(effect(1))])
        .expect_err("no room");
    rig.disk.set_capacity(None);
    rig.pass(Duration::from_secs(11));
    rig.commit(vec![Entry::Effect(effect(2))])
        .expect("recorded");
    let (told, recovered) = Rig::reopened(&disk, &config);
    assert_eq!(
        told,
        Told::by(&[Entry::Effect(effect(0)), Entry::Effect(effect(2))])
    );
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn a_disk_that_cannot_be_read_is_no_end_of_the_log() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    for i in 0..20 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
    }
    let image = rig.disk.files();
    for nth in 0..3 {
        let disk = Lying::holding(&image);
        fail(&disk, Op::Read, (nth, 1), EIO);
        let refused = Rig::open(&disk, &config).err();
        assert!(
            matches!(refused, Some(OpenError::Read { .. })),
            "{refused:?}"
        );
        assert_eq!(disk.files(), image, "nothing was touched");
    }
}

#[test]
fn a_full_journal_refuses_effects_until_enough_are_settled() {
    let config = Config {
        bytes_max: 8000,
        ..small(Sync::Always)
    };
    let (mut rig, held) = full(&config);
    settle_all(&mut rig, held);
    rig.commit(vec![Entry::Effect(effect(held))])
        .expect("recorded");
}

#[test]
fn an_effect_that_is_there_is_not_taken_twice() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    let other = Effect {
        fingerprint: 7,
        ..effect(0)
    };
    let twice = vec![Entry::Effect(effect(0)), Entry::Effect(other.clone())];
    rig.commit(twice).expect("recorded");
    rig.commit(vec![Entry::Effect(other.clone())])
        .expect("recorded");
    assert_eq!(rig.core.stats().live, 1);
    // Once it is settled, the same id is a new effect; also within one batch.
    rig.commit(vec![
        Entry::Done(vec![id(0).into()]),
        Entry::Effect(other.clone()),
    ])
    .expect("recorded");
    let (told, _) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told.live, [(other, None)]);
}

#[test]
fn a_disk_that_was_nearly_full_is_used_again_with_little_more_than_the_low_water_free() {
    let config = Config {
        low_water_bytes: 1_000_000,
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    let mut with_free = |bytes: u64, i: u64| {
        rig.disk.set_capacity(Some(rig.disk.used() + bytes));
        rig.pass(Duration::from_secs(2));
        let recorded = rig.commit(vec![Entry::Effect(effect(i))]);
        (recorded.map(drop), rig.core.health())
    };
    assert_eq!(with_free(1_050_000, 0), (Ok(()), Health::Ok));
    let (refused, health) = with_free(900_000, 1);
    assert_eq!(refused, Err(Unrecorded::DiskLow));
    assert!(!health.admits());
    assert_eq!(
        with_free(1_050_000, 2).0,
        Err(Unrecorded::DiskLow),
        "not yet"
    );
    assert_eq!(with_free(1_100_000, 3), (Ok(()), Health::Ok));
}

#[test]
fn a_disk_below_the_low_water_or_too_small_says_with_how_much_it_would_do() {
    let config = Config {
        low_water_bytes: 2_000_000,
        reserve_bytes: 500_000,
        ..small(Sync::Always)
    };
    for (used, total, told) in [
        (
            0,
            1_900_000,
            "of its 1 MB, more than 3 MB would have to be free",
        ),
        (6_000_000, 7_000_000, "with more than 3 MB"),
    ] {
        let ballast = ("ballast".to_owned(), vec![0; used]);
        let disk = Lying::holding(&BTreeMap::from([ballast]));
        disk.set_capacity(Some(total));
        let (rig, _) = Rig::open(&disk, &config).expect("it opens");
        let Health::Bypass { why } = rig.core.health() else {
            panic!("{:?}", rig.core.health());
        };
        assert!(why.contains(told), "{why}");
    }
}

#[test]
fn a_segment_that_was_given_up_and_cannot_be_removed_undoes_nothing_written_later() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    // The next segment has its name, and nobody knows if that is durable. The
    // reserve can be given back then, and nothing else be removed.
    fail(&rig.disk, Op::SyncFolder, (0, 1), ENOSPC);
    fail(&rig.disk, Op::Remove, (1, u64::MAX), EIO);
    let mut recorded = Vec::new();
    for i in 0..40 {
        rig.pass(Duration::from_secs(2));
        if rig.commit(vec![Entry::Effect(effect(i))]).is_ok() {
            recorded.push(effect(i).id);
        }
    }
    rig.disk.heal();
    let (told, recovered) = Rig::reopened(&rig.disk, &config);
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
    let live: Vec<_> = told.live.iter().map(|(effect, _)| effect.id).collect();
    assert_eq!(live, recorded);
}

#[test]
fn a_segment_that_was_given_up_and_is_removed_is_not_followed() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    let mut recorded = vec![Entry::Effect(effect(0))];
    rig.commit(recorded.clone()).expect("recorded");
    // Named, but not durably so. It is removed, and nobody knows if that is
    // durable; asked again, the disk does not say that it is gone.
    fail(&rig.disk, Op::Sync, (0, 1), EIO);
    fail(&rig.disk, Op::SyncFolder, (0, 2), EIO);
    fail(&rig.disk, Op::Remove, (1, u64::MAX), EIO);
    let refused = rig.commit(vec![Entry::Effect(effect(1))]);
    assert_eq!(refused, Err(Unrecorded::Bypassed));
    for _ in 0..2 {
        rig.pass(Duration::from_secs(11));
        rig.tick();
    }
    assert_eq!(rig.core.health(), Health::Ok);
    let next = vec![Entry::Effect(effect(2))];
    rig.commit(next.clone()).expect("recorded");
    recorded.extend(next);
    let cuts = (0..8).map(|dice| rig.disk.after_power_cut(&mut Dice(dice)));
    let disks: Vec<_> = cuts.chain([rig.disk.clone()]).collect();
    rig.disk.heal();
    for disk in disks {
        let (told, recovered) = Rig::reopened(&disk, &config);
        assert_eq!(told, Told::by(&recorded));
        assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
    }
}

#[test]
fn nothing_is_written_before_a_segment_that_was_given_up_and_stays() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    // The next segment has its name, and stays; the one after it cannot even be
    // made. Only the reserve can be given back.
    fail(&rig.disk, Op::SyncFolder, (0, 1), ENOSPC);
    fail(&rig.disk, Op::Remove, (1, u64::MAX), EIO);
    fail(&rig.disk, Op::Create, (1, 1), EIO);
    rig.pass(config.segment_age_max + Duration::from_secs(60));
    // Settling goes on, wherever that is written.
    _ = rig.commit(vec![Entry::Done(vec![id(0).into()])]);
    for _ in 0..2 {
        rig.pass(Duration::from_secs(11));
        rig.tick();
    }
    assert_eq!(rig.core.health(), Health::Ok);
    rig.commit(vec![Entry::Effect(effect(1))])
        .expect("recorded");
    rig.disk.heal();
    let (told, recovered) = Rig::reopened(&rig.disk, &config);
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
    assert_eq!(told, Told::by(&rig.entries));
}
