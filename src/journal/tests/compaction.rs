//! Giving space back never changes what the journal tells.

use nix::libc::{EIO, ENOSPC};

mod pauses;

use super::super::storage::lying::Op;
use super::*;

/// Records that come and go; every tenth stays, dead.
fn churn(rig: &mut Rig, from: u64, to: u64) {
    for i in from..to {
        if rig.commit(vec![Entry::Effect(effect(i))]).is_err() {
            return;
        }
        let end = match i % 10 {
            0 => Entry::Failed(id(i), letter(i)),
            _ => Entry::Done(vec![id(i).into()]),
        };
        if rig.commit(vec![end]).is_err() {
            return;
        }
    }
}

#[test]
fn what_nobody_needs_goes_and_what_is_told_stays() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    churn(&mut rig, 0, 60);
    let before = segments(&rig);
    idle(&mut rig, 200);
    assert!(segments(&rig) < before, "{before} then {}", segments(&rig));
    let (told, recovered) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told, Told::by(&rig.entries));
    assert_eq!(recovered.report.damage, []);
    assert!(rig.core.stats().compactions > 0);
}

#[test]
fn segments_go_once_their_ids_are_beyond_the_horizon() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    for i in 0..30 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
        rig.commit(vec![Entry::Done(vec![id(i).into()])])
            .expect("recorded");
    }
    let before = segments(&rig);
    rig.now.later(16 * 60 * 1000);
    rig.tick();
    assert!(before > 3);
    assert_eq!(segments(&rig), 1);
}

#[test]
fn a_crash_anywhere_in_compaction_keeps_what_is_told() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    // No time passes for compaction until the ticks begin.
    churn(&mut rig, 0, 40);
    let image = rig.disk.files();
    let entries = rig.entries;
    let ticks = 120;
    let (mut rig, _) = Rig::open(&Lying::holding(&image), &config).expect("it opens");
    let from = rig.disk.changes();
    idle(&mut rig, ticks);
    let changes = rig.disk.changes() - from;
    assert!(rig.core.stats().compactions > 2);
    for cut in 0..=changes {
        let (mut rig, _) = Rig::open(&Lying::holding(&image), &config).expect("it opens");
        rig.disk.cut_after(cut);
        idle(&mut rig, ticks);
        for dice in 0..2 {
            let disk = rig.disk.after_power_cut(&mut Dice(cut * 7 + dice));
            let (told, recovered) = Rig::reopened(&disk, &config);
            assert_eq!(told, Told::by(&entries), "cut {cut}");
            assert!(
                !recovered.report.is_corrupt(),
                "cut {cut}: {:?}",
                recovered.report
            );
        }
    }
}

#[test]
fn nothing_goes_before_its_copy_is_durable_though_the_disk_fails_and_is_full() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    churn(&mut rig, 0, 60);
    let image = rig.disk.files();
    let expected = Told::by(&rig.entries).live;
    for (sync, rename) in (0..8).flat_map(|sync| (0..4).map(move |rename| (sync, rename))) {
        let (mut rig, _) = Rig::open(&Lying::holding(&image), &config).expect("it opens");
        rig.now.later(16 * 60 * 1000);
        // A copy cannot be synced, and there is no room to write it again.
        fail(&rig.disk, Op::Sync, (sync, 1), EIO);
        fail(&rig.disk, Op::Rename, (rename, 100), ENOSPC);
        idle(&mut rig, 60);
        for dice in 0..4 {
            let disk = rig.disk.after_power_cut(&mut Dice(dice));
            let (told, recovered) = Rig::reopened(&disk, &config);
            assert_eq!(told.live, expected, "sync {sync}, rename {rename}");
            assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
        }
    }
}

#[test]
fn effects_go_on_coming_while_space_is_given_back() {
    for seed in 0..20 {
        // Nearly full, it would forget ids.
        let config = Config {
            bytes_max: 200_000,
            ..small(Sync::Always)
        };
        let mut rig = Rig::new(&config);
        let mut dice = Dice(seed);
        for _ in 0..150 {
            let entries = some_entries(&mut dice, &rig.entries);
            rig.commit(entries).expect("recorded");
            if dice.below(3) == 0 {
                rig.tick();
            }
        }
        rig.core.compact(rig.now);
        idle(&mut rig, 100);
        let (told, recovered) = Rig::reopened(&rig.disk, &config);
        assert_eq!(told, Told::by(&rig.entries), "seed {seed}");
        assert_eq!(recovered.report.damage, []);
    }
}

#[test]
fn what_is_settled_never_makes_a_journal_full_and_its_size_holds() {
    for is_pinned in [false, true] {
        let config = small(Sync::Always);
        let mut rig = Rig::new(&config);
        if is_pinned {
            rig.commit(vec![Entry::Effect(effect(5000))])
                .expect("recorded");
        }
        // Four times its size, within the horizon.
        for i in 0..600 {
            rig.commit(vec![Entry::Effect(effect(i))])
                .expect("nothing else is kept");
            rig.commit(vec![Entry::Done(vec![id(i).into()])])
                .expect("recorded");
            rig.tick();
            let bytes = rig.core.stats().bytes;
            assert!(bytes <= config.bytes_max, "{bytes}");
        }
        let (told, recovered) = Rig::reopened(&rig.disk, &config);
        let kept = rig.entries.iter().take(usize::from(is_pinned));
        let kept: Vec<_> = kept.cloned().collect();
        assert_eq!(told.live, Told::by(&kept).live);
        assert_eq!(recovered.report.damage, []);
    }
}

#[test]
fn a_backlog_that_is_all_live_is_not_copied_over_and_over() {
    let config = Config {
        bytes_max: 1 << 20,
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    for i in 0..100 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
    }
    assert!(segments(&rig) > 10);
    let records = rig.core.stats().records;
    idle(&mut rig, 100);
    assert_eq!(rig.core.stats().records, records);
}

#[test]
fn nothing_is_copied_without_room_for_it() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    churn(&mut rig, 0, 40);
    let used = rig.disk.used();
    rig.disk.set_capacity(Some(used + 300));
    rig.pass(Duration::from_secs(2));
    let records = rig.core.stats().records;
    rig.core.tick(rig.now);
    assert_eq!(rig.core.stats().records, records);
}

#[test]
fn a_disk_that_is_nearly_full_gets_back_what_nobody_needs() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    churn(&mut rig, 0, 60);
    let image = rig.disk.files();
    let expected = Told::by(&rig.entries).live;
    let low = Config {
        low_water_bytes: 1_000_000,
        ..config
    };
    let disk = Lying::holding(&image);
    disk.set_capacity(Some(disk.used() + 10_000));
    let (mut rig, _) = Rig::open(&disk, &low).expect("it opens");
    assert!(!rig.core.health().admits());
    let before = segments(&rig);
    idle(&mut rig, 200);
    assert!(segments(&rig) < before, "{before} then {}", segments(&rig));
    assert_eq!(rig.core.stats().last_error, None);
    let (told, recovered) = Rig::reopened(&disk, &low);
    assert_eq!(told.live, expected);
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn a_disk_is_not_nearly_full_for_long_of_what_is_settled_in_the_one_segment_there_is() {
    let config = Config {
        bytes_max: 64 << 20,
        segment_bytes_max: 8 << 20,
        low_water_bytes: 1_000_000,
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    rig.disk.set_capacity(Some(4_000_000));
    let mut kept = 0;
    while rig.commit(vec![Entry::Effect(effect(kept))]).is_ok() {
        if kept % 40 == 39 {
            let done = (kept - 38..=kept).map(|i| id(i).into());
            let done = Entry::Done(done.collect());
            rig.commit(vec![done]).expect("recorded");
        }
        kept += 1;
        rig.now.later(20);
    }
    assert_eq!((segments(&rig), rig.core.stats().compactions), (1, 0));
    idle(&mut rig, 300);
    let again = rig.commit(vec![Entry::Effect(effect(kept))]);
    again.expect("there is room again");
    let (told, _) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told, Told::by(&rig.entries));
}

#[test]
fn a_segment_whose_removal_was_not_synced_goes_all_the_same() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    for i in 0..40 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
        rig.commit(vec![Entry::Done(vec![id(i).into()])])
            .expect("recorded");
    }
    let before = rig.core.stats().segments;
    rig.now.later(16 * 60 * 1000);
    fail(&rig.disk, Op::SyncFolder, (0, 1), EIO);
    idle(&mut rig, 20);
    let after = rig.core.stats().segments;
    assert!(after < before && after <= 2, "{after} of {before}");
}

#[test]
fn what_is_settled_is_recognised_after_a_restart_also_when_its_record_is_gone() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    let settled = |i| {
        let effect = effect(i);
        let known_by = match &effect.operation {
            Operation::Publish { channel, .. } => {
                effect.key.comparable(effect.route.as_deref(), channel)
            }
            Operation::ObjectSet { .. } => effect.id.as_uuid(),
        };
        Settled {
            id: effect.id,
            known_by,
            fingerprint: effect.fingerprint,
        }
    };
    for i in 1..40 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
        if i % 10 > 0 {
            rig.commit(vec![Entry::Done(vec![settled(i)])])
                .expect("recorded");
        }
    }
    for _ in 0..2 {
        let disk = Lying::holding(&rig.disk.files());
        let (_, recovered) = Rig::reopened(&disk, &config);
        let told = recovered.done.iter().map(|done| done.settled);
        let mut told: Vec<_> = told.collect();
        told.sort_unstable_by_key(|settled| settled.id);
        let expected: Vec<_> = (1..40).filter(|i| i % 10 > 0).map(settled).collect();
        assert_eq!(told, expected);
        for live in recovered.live {
            let same = settled(live.id.as_uuid().as_u64_pair().1);
            assert_eq!(live.known_by, same.known_by);
        }
        compact(&mut rig);
    }
    assert!(rig.core.stats().compactions > 0);
}

fn compact(rig: &mut Rig) {
    rig.core.compact(rig.now);
    while rig.core.stats().compacting {
        rig.tick();
    }
}

#[test]
fn a_full_journal_is_emptied_by_who_asks_wherever_there_is_something_to_gain() {
    for is_newest in [false, true] {
        let config = Config {
            segment_bytes_max: 400_000,
            bytes_max: 1_300_000,
            ..small(Sync::Always)
        };
        let mut rig = Rig::new(&config);
        let count = fill(&mut rig);
        rig.entries.pop();
        assert_eq!(rig.core.health(), Health::Full);
        // Of two segments nothing is dropped, and of the third two in five.
        let from = if is_newest {
            count * 4 / 5
        } else {
            count * 2 / 5
        };
        let dropped = (from..from + count / 5)
            .filter(|i| i % 5 < 2)
            .map(|i| Entry::Discard(id(i)));
        rig.commit(dropped.collect()).expect("recorded");
        idle(&mut rig, 100);
        assert_eq!(rig.core.health(), Health::Full, "not worth it by itself");
        compact(&mut rig);
        assert_eq!(rig.core.stats().no_gain, None);
        assert_eq!(rig.core.health(), Health::Ok);
        rig.commit(vec![Entry::Effect(effect(count))])
            .expect("recorded");
        let (told, recovered) = Rig::reopened(&rig.disk, &config);
        assert_eq!(told, Told::by(&rig.entries));
        assert_eq!(recovered.report.damage, []);
    }
}

#[test]
fn a_full_journal_frees_by_itself_what_is_settled_behind_dead_letters() {
    // Less than a segment is written after the first is closed.
    let config = Config {
        segment_bytes_max: 40_000,
        bytes_max: 60_000,
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    let held = fill(&mut rig);
    rig.entries.pop();
    assert_eq!((segments(&rig), rig.core.health()), (2, Health::Full));
    let in_first = (0..held).filter(|i| i * 3 < held);
    let letters: Vec<_> = in_first.map(|i| Entry::Failed(id(i), letter(i))).collect();
    for letter in letters {
        rig.commit(vec![letter]).expect("settling goes on");
    }
    let others = (0..held).filter(|i| held <= i * 3);
    for i in others {
        rig.commit(vec![Entry::Done(vec![id(i).into()])])
            .expect("settling goes on");
    }
    idle(&mut rig, 200);
    assert_eq!(rig.core.health(), Health::Ok, "without an operator");
    rig.commit(vec![Entry::Effect(effect(held))])
        .expect("recorded");
    let (told, recovered) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told, Told::by(&rig.entries));
    assert_eq!(recovered.report.damage, []);
}

#[test]
fn a_full_journal_of_which_all_is_needed_is_not_copied_over_and_over() {
    let config = Config {
        bytes_max: 30_000,
        ..small(Sync::Always)
    };
    let (mut rig, _) = full(&config);
    let records = rig.core.stats().records;
    idle(&mut rig, 200);
    assert_eq!(rig.core.stats().records, records);
}

#[test]
fn a_compaction_that_gains_nothing_says_why_and_copies_nothing() {
    let config = Config {
        segment_bytes_max: 400_000,
        bytes_max: 1_000_000,
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    let count = fill(&mut rig);
    let (files, records) = (segments(&rig), rig.core.stats().records);
    compact(&mut rig);
    let why = rig.core.stats().no_gain.clone().expect("a reason");
    assert!(why.starts_with("all of it is needed"), "{why}");
    assert_eq!((segments(&rig), rig.core.stats().records), (files, records));
    let dropped = (0..count).filter(|i| i % 3 == 0);
    rig.commit(dropped.map(|i| Entry::Discard(id(i))).collect())
        .expect("recorded");
    rig.disk.set_capacity(Some(rig.disk.used() + 50_000));
    rig.pass(Duration::from_secs(2));
    rig.tick();
    compact(&mut rig);
    let why = rig.core.stats().no_gain.clone().expect("a reason");
    assert!(why.contains("have to be free"), "{why}");
}
