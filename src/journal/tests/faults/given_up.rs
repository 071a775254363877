//! Segments that were given up: what may stand in them, and whom they are in the way of.

use super::*;

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
            rig.now.later(16 * 60 * 1000);
            rig.core.compact(rig.now);
            idle(&mut rig, 20);
            assert_eq!(segments(&rig), 1, "{sync:?} {given_up}");
        }
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
