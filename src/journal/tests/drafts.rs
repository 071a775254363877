//! Lines that are made before anybody knows where they will stand.

use super::rig::*;
use super::*;

#[test]
fn lines_that_were_made_for_another_place_are_as_good() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    // Over some segments, and numbers of one digit to three.
    for i in 0..60 {
        let mut entries = vec![
            Entry::Effect(effect(2 * i)),
            Entry::Effect(effect(2 * i + 1)),
        ];
        if let Some(before) = i.checked_sub(1) {
            entries.push(Entry::Done(vec![
                id(2 * before).into(),
                id(2 * before + 1).into(),
            ]));
        }
        rig.commit(entries).expect("recorded");
    }
    assert!(1 < segments(&rig));
    let copy = Lying::holding(&rig.disk.files());
    let (_, recovered) = Rig::reopened(&copy, &config);
    assert_eq!(recovered.report.damage, []);
    assert_eq!(recovered.report.torn_bytes, 0);
    let live: Vec<EffectId> = recovered.live.iter().map(|live| live.id).collect();
    assert_eq!(live, [id(118), id(119)]);
    let numbers: Vec<u64> = recovered.live.iter().map(|live| live.n).collect();
    let [first, second] = numbers[..] else {
        panic!("two")
    };
    assert_eq!(second, first + 1);
}

#[test]
fn what_one_append_says_of_an_effect_counts_in_its_order() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    let again = |i| Entry::Effect(effect(i));
    let done = |i| Entry::Done(vec![id(i).into()]);
    for (entries, records, live) in [
        (vec![again(1), again(1)], 1, vec![1]),
        (vec![again(2), done(2)], 2, vec![1]),
        (vec![again(3), done(3), again(3)], 3, vec![1, 3]),
        (vec![done(1), again(1)], 2, vec![3, 1]),
        (vec![again(1), again(3)], 0, vec![3, 1]),
        (vec![again(4), again(3)], 1, vec![3, 1, 4]),
    ] {
        let before = rig.core.stats().records;
        rig.commit(entries).expect("recorded");
        assert_eq!(rig.core.stats().records - before, records);
        let copy = Lying::holding(&rig.disk.files());
        let (_, recovered) = Rig::reopened(&copy, &config);
        let found: Vec<EffectId> = recovered.live.iter().map(|live| live.id).collect();
        let expected: Vec<EffectId> = live.into_iter().map(id).collect();
        assert_eq!(found, expected);
        assert_eq!(rig.core.stats().live, found.len() as u64);
    }
}

#[test]
fn what_appends_that_are_written_together_say_of_an_effect_counts_in_their_order() {
    let config = small(Sync::Always);
    let again = |i| Entry::Effect(effect(i));
    let done = |i| Entry::Done(vec![id(i).into()]);
    for (appends, records, live) in [
        (
            vec![vec![again(1)], vec![again(2)], vec![again(3)]],
            3,
            vec![1, 2, 3],
        ),
        (
            vec![vec![again(1), again(2)], vec![again(3), again(1)]],
            3,
            vec![1, 2, 3],
        ),
        (
            vec![vec![again(1)], vec![done(1)], vec![again(2)]],
            3,
            vec![2],
        ),
        (
            vec![vec![again(1)], vec![done(1)], vec![again(1)]],
            3,
            vec![1],
        ),
        (
            vec![vec![done(1)], vec![again(1)], vec![again(1)]],
            2,
            vec![1],
        ),
        (
            vec![
                vec![again(1)],
                vec![Entry::Discard(id(1)), again(1)],
                vec![again(1)],
            ],
            3,
            vec![1],
        ),
    ] {
        let mut rig = Rig::new(&config);
        let appends = appends.into_iter().map(|entries| (None, entries));
        for result in rig.commit_together(appends.collect()) {
            result.expect("recorded");
        }
        assert_eq!(rig.core.stats().records, records);
        let copy = Lying::holding(&rig.disk.files());
        let (_, recovered) = Rig::reopened(&copy, &config);
        let found: Vec<EffectId> = recovered.live.iter().map(|live| live.id).collect();
        assert_eq!(found, live.into_iter().map(id).collect::<Vec<_>>());
        assert_eq!(recovered.report.damage, []);
    }
}
