//! What is refused: in which order, what stands all the same, and that nothing
//! of it comes back.

use super::*;

#[test]
fn what_follows_a_refused_effect_in_its_round_is_refused_though_there_is_room_again() {
    let config = Config {
        bytes_max: 8000,
        ..small(Sync::Always)
    };
    let (mut rig, held) = full(&config);
    let refused = rig.commit_in(3, Entry::Effect(effect(100)));
    assert_eq!(refused, Err(Unrecorded::Full));
    settle_all(&mut rig, held);
    for round in [3, 2] {
        let behind = rig.commit_in(round, Entry::Effect(effect(101)));
        assert_eq!(behind, Err(Unrecorded::Full), "round {round}");
    }
    rig.commit_in(3, Entry::Done(vec![id(0).into()]))
        .expect("no effect");
    rig.commit_in(4, Entry::Effect(effect(100)))
        .expect("its daemon was told");
    rig.commit(vec![Entry::Effect(effect(101))])
        .expect("of no round");
}

#[test]
fn effects_written_together_with_a_refused_one_of_their_round_are_refused_too() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    break_syncs(&rig);
    let append = |i| (Some(Round(1)), vec![Entry::Effect(effect(i))]);
    let results = rig.commit_together(vec![append(0), append(1)]);
    assert_eq!(results, vec![Err(Unrecorded::Bypassed); 2]);
    mend(&mut rig);
    let behind = rig.commit_in(1, Entry::Effect(effect(2)));
    assert_eq!(behind, Err(Unrecorded::Bypassed));
}

#[test]
fn without_room_for_effects_what_operators_decide_and_what_is_settled_is_recorded() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    for i in 0..4 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
    }
    rig.commit(vec![Entry::Failed(id(0), letter(0))])
        .expect("recorded");
    let before = rig.entries.clone();
    rig.disk.set_capacity(Some(rig.disk.used()));
    let decided = vec![
        Entry::Requeue(id(0)),
        Entry::Discard(id(1)),
        Entry::Failed(id(2), letter(2)),
        Entry::Done(vec![id(3).into()]),
    ];
    // More than the reserve gives back.
    let effects: Vec<_> = (10..60).map(|i| Entry::Effect(effect(i))).collect();
    let appends = vec![(Some(Round(1)), effects), (None, decided.clone())];
    let results = rig.commit_together(appends);
    assert_eq!(results[0], Err(Unrecorded::DiskLow));
    assert!(results[1].is_ok(), "{results:?}");
    let (told, _) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told, Told::by(&[before, decided].concat()));
}

#[test]
fn a_disk_that_was_full_is_used_again_within_a_second_of_having_room() {
    for on_failure in [OnFailure::Bypass, OnFailure::Exit] {
        let config = Config {
            on_failure,
            ..small(Sync::Always)
        };
        let disk = Lying::default();
        disk.set_capacity(Some(0));
        let (mut rig, _) = Rig::open(&disk, &config).expect("it opens");
        for i in 0..3 {
            rig.pass(Duration::from_millis(1100));
            rig.tick();
            let refused = rig.commit(vec![Entry::Effect(effect(i))]);
            assert_eq!(refused, Err(Unrecorded::DiskLow));
        }
        disk.set_capacity(None);
        rig.pass(Duration::from_secs(1));
        rig.tick();
        rig.commit(vec![Entry::Effect(effect(3))])
            .expect("there is room");
        assert_eq!(rig.core.health(), Health::Ok);
    }
}

#[test]
fn what_an_operator_was_refused_leaves_everything_as_it_was_also_when_the_disk_is_back() {
    for refused in [
        Entry::Requeue(id(0)),
        Entry::Discard(id(0)),
        Entry::Discard(id(1)),
        note("two"),
    ] {
        for sync in [Sync::Always, Sync::INTERVAL] {
            if sync != Sync::Always && matches!(refused, Entry::Note { .. }) {
                // That counts as recorded without a sync.
                continue;
            }
            let config = small(sync);
            let mut rig = Rig::new(&config);
            let mut recorded = vec![
                Entry::Effect(effect(0)),
                Entry::Effect(effect(1)),
                Entry::Failed(id(0), letter(0)),
                note("one"),
            ];
            rig.commit(recorded.clone()).expect("recorded");
            break_syncs(&rig);
            let answer = rig.commit(vec![refused.clone()]);
            assert_eq!(answer, Err(Unrecorded::Bypassed), "{refused:?}");
            // And once more, where there is no segment at all.
            rig.tick();
            let answer = rig.commit(vec![refused.clone()]);
            assert_eq!(answer, Err(Unrecorded::Bypassed), "{refused:?}");
            mend(&mut rig);
            let (live, dead) = (rig.core.stats().live, rig.core.stats().dead);
            assert_eq!((live, dead), (2, 1), "{refused:?}");
            // Nothing that is needed is given back.
            rig.core.compact(rig.now);
            idle(&mut rig, 50);
            let copy = Lying::holding(&rig.disk.files());
            let (told, _) = Rig::reopened(&copy, &config);
            assert_eq!(told, Told::by(&recorded), "{refused:?} {sync:?}");
            rig.commit(vec![refused.clone()]).expect("now it can be");
            recorded.push(refused.clone());
            let (told, _) = Rig::reopened(&rig.disk, &config);
            assert_eq!(told, Told::by(&recorded), "{refused:?} {sync:?}");
        }
    }
}

#[test]
fn what_was_published_and_what_was_given_up_without_a_disk_is_written_once_there_is_one() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    let recorded = vec![Entry::Effect(effect(0)), Entry::Effect(effect(1))];
    rig.commit(recorded.clone()).expect("recorded");
    break_syncs(&rig);
    let facts = vec![
        Entry::Done(vec![id(0).into()]),
        Entry::Failed(id(1), letter(1)),
    ];
    assert!(rig.commit(facts.clone()).is_err());
    mend(&mut rig);
    let (told, _) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told, Told::by(&[recorded, facts].concat()));
}
