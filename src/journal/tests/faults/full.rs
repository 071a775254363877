//! A disk, or a journal, without room.

use super::*;

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
fn what_was_not_synced_is_not_taken_for_durable_where_a_torn_end_cannot_be_cut_off() {
    let config = small(Sync::INTERVAL);
    let mut rig = Rig::new(&config);
    let entries = [0, 1].map(|i| Entry::Effect(effect(i)));
    rig.commit(entries.to_vec()).expect("recorded");
    assert!(!rig.core.is_durable());
    let mut image = rig.disk.files();
    image.remove("reserve.bin");
    let segment = image.iter_mut().find(|(name, _)| name.starts_with("seg-"));
    segment.expect("one").1.extend_from_slice(b"torn");
    let disk = Lying::holding(&image);
    disk.set_capacity(Some(disk.used()));
    let (mut rig, recovered) = Rig::open(&disk, &config).expect("it opens");
    assert_eq!(recovered.live.len(), 2);
    assert!(!recovered.is_durable, "a sync of them may have failed");

    rig.disk.set_capacity(None);
    rig.pass(Duration::from_secs(11));
    rig.tick();
    assert!(rig.core.is_durable(), "they are written again");
    let (told, recovered) = Rig::reopened(&disk, &config);
    assert_eq!(told, Told::by(&entries));
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
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
