//! Syncs that fail: once, again, and for good.

use super::*;

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
