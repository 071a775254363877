//! Emptying waits for a pause between appends, but not for ever.

use super::*;

/// Appends as they come to the journal's thread, which looks around after each.
fn churn_busily(rig: &mut Rig, from: u64, to: u64) {
    for i in from..to {
        churn(rig, i, i + 1);
        rig.core.tick(rig.now);
    }
}

/// With so much room that it waits.
fn roomy() -> Config {
    Config {
        bytes_max: 1 << 20,
        ..small(Sync::Always)
    }
}

#[test]
fn while_appends_come_thick_nothing_is_copied_until_there_is_a_pause() {
    let config = roomy();
    let mut rig = Rig::new(&config);
    churn_busily(&mut rig, 0, 60);
    assert!(8 < segments(&rig) && rig.core.stats().compactions == 0);
    let due = rig.core.due(rig.now);
    assert_eq!(due - rig.now.at, Duration::from_millis(50));
    rig.pass(Duration::from_millis(50));
    let before = segments(&rig);
    idle(&mut rig, 200);
    assert!(segments(&rig) < before && 0 < rig.core.stats().compactions);
    let (told, _) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told, Told::by(&rig.entries));
}

#[test]
fn with_a_quarter_of_its_size_used_it_waits_for_no_pause() {
    let mut rig = Rig::new(&small(Sync::Always));
    churn_busily(&mut rig, 0, 60);
    assert!(0 < rig.core.stats().compactions);
}

#[test]
fn a_disk_that_is_smaller_than_that_does_not_run_full_of_what_nobody_needs() {
    let config = Config {
        bytes_max: 1 << 40,
        low_water_bytes: 20_000,
        reserve_bytes: 1000,
        dedupe_horizon: Duration::from_millis(1),
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    rig.disk.set_capacity(Some(120_000));
    for i in 0..1000 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("there is room: one effect is kept");
        let end = match i {
            0 => Entry::Failed(id(i), letter(i)),
            _ => Entry::Done(vec![id(i).into()]),
        };
        rig.commit(vec![end]).expect("there is room");
        rig.now.later(14);
        rig.core.tick(rig.now);
    }
}

#[test]
fn however_large_a_journal_may_get_it_waits_for_no_pause_for_ever() {
    let config = Config {
        bytes_max: 1 << 40,
        segment_bytes_max: 50_000,
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    let mut most = 0;
    for i in 0..1500 {
        churn_busily(&mut rig, i, i + 1);
        if rig.core.stats().compactions == 0 {
            most = rig.core.stats().bytes;
        }
    }
    assert!(0 < rig.core.stats().compactions);
    assert!((500_000..600_000).contains(&most), "{most}");
}

#[test]
fn the_end_of_a_pause_is_not_slept_through() {
    let mut rig = Rig::new(&roomy());
    churn_busily(&mut rig, 0, 60);
    rig.commit(vec![Entry::Effect(effect(1000))])
        .expect("recorded");
    rig.commit(vec![Entry::Done(vec![id(1000).into()])])
        .expect("recorded");
    // The answer came a moment after the append had begun, and the sync that is due
    // just before the end of the pause takes longer than to that.
    rig.pass(Duration::from_millis(1));
    rig.core.note_append(rig.now);
    rig.core.tick(rig.now);
    rig.now.at = rig.core.due(rig.now);
    rig.core.tick(rig.now);
    rig.pass(Duration::from_millis(2));
    assert!(rig.core.due(rig.now) <= rig.now.at);
    let records = rig.core.stats().records;
    rig.core.tick(rig.now);
    assert!(records < rig.core.stats().records, "some are copied");
}

#[test]
fn where_nothing_is_worth_it_nobody_wakes_for_a_pause() {
    let mut rig = Rig::new(&roomy());
    for i in 0..100 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
    }
    rig.core.tick(rig.now);
    assert!(1 < segments(&rig));
    assert_eq!(rig.core.due(rig.now) - rig.now.at, Duration::from_secs(5));
}

#[test]
fn an_operator_gets_at_once_all_that_waits_for_a_pause() {
    let mut rig = Rig::new(&roomy());
    churn_busily(&mut rig, 0, 120);
    let before = segments(&rig);
    assert_eq!(rig.core.stats().compactions, 0);
    assert!(!rig.core.stats().compacting, "it waits");
    rig.core.compact(rig.now);
    for i in 0..40 {
        assert!(i > 3 || rig.core.stats().compacting, "{i}");
        rig.commit(vec![Entry::Effect(effect(5000 + i))])
            .expect("recorded");
        rig.pass(Duration::from_millis(20));
        rig.core.tick(rig.now);
    }
    assert!(segments(&rig) < before / 2 + 5, "{before}");
}

#[test]
fn what_an_operator_asked_for_is_no_reason_for_what_comes_later() {
    let mut rig = Rig::new(&roomy());
    churn_busily(&mut rig, 0, 60);
    rig.core.compact(rig.now);
    for _ in 0..50 {
        rig.commit(vec![Entry::Requeue(id(0))]).expect("recorded");
        rig.commit(vec![Entry::Failed(id(0), letter(0))])
            .expect("recorded");
        rig.pass(Duration::from_millis(20));
        rig.core.tick(rig.now);
    }
    let asked = rig.core.stats().compactions;
    assert!(0 < asked);
    churn_busily(&mut rig, 1000, 1200);
    assert_eq!(rig.core.stats().compactions, asked);
    assert!(!rig.core.stats().compacting, "it waits");
}

#[test]
fn an_operator_has_a_full_journal_keep_nothing_that_gives_way_by_itself() {
    let mut ends = Vec::new();
    for asks in [false, true] {
        let mut rig = full_of_ids();
        rig.disk.set_capacity(Some(rig.disk.used() + 10_000));
        rig.pass(Duration::from_secs(2));
        rig.core.tick(rig.now);
        if asks {
            rig.core.compact(rig.now);
        }
        idle(&mut rig, 100);
        ends.push(rig.core.health());
    }
    assert_eq!(ends, [Health::Ok, Health::Ok]);
}

/// Two segments of ids, and live effects until it is full.
fn full_of_ids() -> Rig {
    let config = Config {
        segment_bytes_max: 7500,
        ..small(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    for round in 0..2 {
        rig.commit(vec![Entry::Effect(effect(round))])
            .expect("recorded");
        let from = segments(&rig);
        for i in 0..1000 {
            let done = id(100_000 + round * 10_000 + i).into();
            rig.commit(vec![Entry::Done(vec![done])]).expect("recorded");
            if from < segments(&rig) {
                break;
            }
        }
    }
    (100..10_000).find(|i| rig.commit(vec![Entry::Effect(effect(*i))]).is_err());
    rig
}
