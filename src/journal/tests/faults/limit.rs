//! Files that may not become as long as segments are.

use super::super::super::storage::Storage as _;
use super::*;
use crate::clock;

/// No file may have more bytes.
const FILE_MAX: u64 = 2000;

/// Segments that only the limit ends.
fn long(sync: Sync) -> Config {
    Config {
        segment_bytes_max: 1 << 20,
        ..small(sync)
    }
}

/// A journal whose files may become so long from here on.
fn limited(config: &Config, bytes: u64) -> Rig {
    let rig = Rig::new(config);
    rig.disk.set_file_max(bytes);
    rig
}

/// The length of the longest segment; the reserve was made before.
fn longest(rig: &Rig) -> u64 {
    let files = rig.disk.files();
    let segments = files.iter().filter(|(name, _)| name.starts_with("seg-"));
    let longest = segments.map(|(_, bytes)| bytes.len() as u64).max();
    longest.expect("a segment")
}

fn names_the_limit(health: &Health) -> bool {
    match health {
        Health::Degraded { why } | Health::Bypass { why } => why.contains("ulimit -f"),
        _ => false,
    }
}

#[test]
fn a_segment_that_may_not_become_longer_is_followed_by_the_next_and_nothing_is_refused() {
    for sync in [Sync::Always, Sync::INTERVAL] {
        let config = long(sync);
        let mut rig = limited(&config, FILE_MAX);
        for i in 0..60 {
            let entries = vec![Entry::Effect(effect(i)), note(&i.to_string())];
            rig.commit(entries).expect("recorded");
            if i % 3 == 0 {
                let done = Entry::Done(vec![id(i).into()]);
                rig.commit(vec![done]).expect("recorded");
            }
            assert_eq!(rig.core.health(), Health::Ok, "{i}");
        }
        assert!(5 < segments(&rig));
        assert!(longest(&rig) <= FILE_MAX);
        let (told, recovered) = Rig::reopened(&rig.disk, &config);
        assert_eq!(told, Told::by(&rig.entries));
        assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
    }
}

#[test]
fn what_fits_in_no_file_is_refused_and_the_limit_is_named_from_then_on() {
    for sync in [Sync::Always, Sync::INTERVAL] {
        let config = long(sync);
        let mut rig = limited(&config, FILE_MAX);
        let first = Entry::Effect(effect(0));
        rig.commit(vec![first.clone()]).expect("recorded");
        let many: Vec<_> = (1..40).map(|i| Entry::Effect(effect(i))).collect();
        let done = Entry::Done(vec![id(0).into()]);
        let together = vec![(None, many), (None, vec![done.clone()])];
        let results = rig.commit_together(together);
        assert_eq!(results[0], Err(Unrecorded::FileLimit));
        assert!(results[1].is_ok(), "settling goes on: {:?}", results[1]);
        assert_eq!(rig.core.stats().unrecorded, 39);

        // Not only until the disk is looked at.
        let second = Entry::Effect(effect(50));
        for _ in 0..3 {
            assert!(
                names_the_limit(&rig.core.health()),
                "{:?}",
                rig.core.health()
            );
            rig.pass(Duration::from_secs(2));
            rig.tick();
        }
        rig.commit(vec![second.clone()]).expect("it fits");
        assert!(names_the_limit(&rig.core.health()));
        let (told, recovered) = Rig::reopened(&rig.disk, &config);
        assert_eq!(told, Told::by(&[first, done, second]));
        assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
    }
}

#[test]
fn once_something_did_not_fit_nothing_is_refused_for_its_company() {
    let mut rig = limited(&long(Sync::Always), 20_000);
    let burst = |rig: &mut Rig, round: u64| {
        let one = |i| (None, vec![Entry::Effect(effect(round * 1000 + i))]);
        let results = rig.commit_together((0..100).map(one).collect());
        results.iter().filter(|result| result.is_ok()).count()
    };
    assert_eq!(burst(&mut rig, 0), 0, "together they fit in no file");
    assert_eq!(burst(&mut rig, 1), 100);
    assert!(names_the_limit(&rig.core.health()));
}

/// As many effects in one append.
fn append(rig: &mut Rig, first: u64, effects: u64) -> Result<(), Unrecorded> {
    let all = first..first + effects;
    rig.commit(all.map(|i| Entry::Effect(effect(i))).collect())
        .map(drop)
}

#[test]
fn it_is_told_when_something_did_not_fit_last_until_as_much_does() {
    let mut rig = limited(&long(Sync::Always), FILE_MAX);
    for round in 0..2 {
        let refused = append(&mut rig, round * 100, 40 - round);
        assert_eq!(refused, Err(Unrecorded::FileLimit));
        let Health::Degraded { why } = rig.core.health() else {
            panic!("{:?}", rig.core.health());
        };
        let last = format!("last at {}", clock::utc(rig.now.ms));
        assert!(why.contains(&last), "{why}, not {last}");
        rig.now.later(60_000);
    }
    rig.disk.set_file_max(u64::MAX);
    append(&mut rig, 300, 38).expect("it fits");
    assert!(names_the_limit(&rig.core.health()), "so would that before");
    append(&mut rig, 100, 39).expect("it fits");
    assert_eq!(rig.core.health(), Health::Ok);
    let before = rig.core.stats().batches;
    let one = |i: u64| (None, vec![Entry::Effect(effect(500 + i))]);
    rig.commit_together((0..100).map(one).collect());
    assert_eq!(rig.core.stats().batches, before + 1, "together again");
}

#[test]
fn a_segment_that_cannot_be_begun_for_another_reason_is_not_blamed_on_the_limit() {
    let mut rig = limited(&long(Sync::Always), FILE_MAX);
    fail(&rig.disk, Op::Create, (0, 1), EMFILE);
    let mut refused = Vec::new();
    for i in 0..60 {
        refused.extend(rig.commit(vec![Entry::Effect(effect(i))]).err());
        rig.pass(Duration::from_secs(1));
        rig.tick();
    }
    assert!(!refused.is_empty());
    assert!(!refused.contains(&Unrecorded::FileLimit), "{refused:?}");
    assert!(refused.len() < 20, "it goes on: {refused:?}");
    assert_eq!(rig.core.health(), Health::Ok);
}

#[test]
fn what_was_published_without_a_disk_is_written_in_pieces_that_fit() {
    let config = Config {
        bytes_max: 10_000_000,
        ..long(Sync::Always)
    };
    let mut rig = Rig::new(&config);
    for i in 0..2000 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
    }
    fail(&rig.disk, Op::Sync, (0, u64::MAX), EIO);
    rig.commit(vec![Entry::Effect(effect(5000))])
        .expect_err("no disk");
    for i in 0..2000 {
        _ = rig.commit(vec![Entry::Done(vec![id(i).into()])]);
    }
    assert_eq!(rig.core.stats().owed, 2000);
    rig.disk.heal();
    rig.disk.set_file_max(60_000);
    rig.pass(Duration::from_secs(11));
    rig.tick();
    rig.commit(vec![Entry::Effect(effect(6000))])
        .expect("recorded");
    assert_eq!(rig.core.stats().owed, 0);
    let (told, _) = Rig::reopened(&rig.disk, &config);
    let live: Vec<_> = told.live.iter().collect();
    assert_eq!(live.len(), 1, "{live:?}");
}

#[test]
fn a_batch_survives_that_its_segment_is_found_gone_while_it_fails_to_be_written() {
    for errno in [EFBIG, EIO] {
        let config = long(Sync::Always);
        let mut rig = Rig::new(&config);
        for i in 0..3 {
            rig.commit(vec![Entry::Effect(effect(i))])
                .expect("recorded");
        }
        let files = rig.disk.files();
        let name = files.keys().rfind(|name| name.starts_with("seg-"));
        rig.disk.remove(name.expect("a segment")).expect("removed");
        fail(&rig.disk, Op::Write, (0, 1), errno);
        rig.commit(vec![Entry::Effect(effect(9))])
            .expect("recorded elsewhere");
        rig.disk.heal();
        rig.commit(vec![Entry::Effect(effect(10))])
            .expect("recorded");
        let (told, _) = Rig::reopened(&rig.disk, &config);
        assert_eq!(told, Told::by(&rig.entries), "{errno}");
    }
}

#[test]
fn where_no_segment_can_be_begun_at_all_the_limit_is_named_until_one_can() {
    let config = long(Sync::Always);
    let disk = Lying::default();
    disk.set_file_max(100);
    let (mut rig, _) = Rig::open(&disk, &config).expect("it opens");
    for i in 0..4 {
        assert!(
            names_the_limit(&rig.core.health()),
            "{:?}",
            rig.core.health()
        );
        let refused = rig.commit(vec![Entry::Effect(effect(i))]);
        assert_eq!(refused.map(drop), Err(Unrecorded::Bypassed));
        rig.pass(Duration::from_secs(2));
        rig.tick();
    }
    mend(&mut rig);
    rig.commit(vec![Entry::Effect(effect(9))])
        .expect("recorded");
    let (told, _) = Rig::reopened(&disk, &config);
    assert_eq!(told, Told::by(&[Entry::Effect(effect(9))]));
}

#[test]
fn a_segment_that_ends_at_the_limit_can_be_emptied_into_others() {
    let config = Config {
        bytes_max: 20_000,
        ..long(Sync::Always)
    };
    let mut rig = limited(&config, FILE_MAX);
    for i in 0..150 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
        // All but a few are published, so that old segments have little left.
        if i % 10 != 0 {
            rig.commit(vec![Entry::Done(vec![id(i).into()])])
                .expect("recorded");
        }
        rig.now.later(16 * 60 * 1000);
        idle(&mut rig, 4);
    }
    assert!(0 < rig.core.stats().compactions);
    assert!(longest(&rig) <= FILE_MAX);
    let (told, recovered) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told.live, Told::by(&rig.entries).live);
    assert!(!recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn what_goes_to_the_next_segment_and_cannot_be_synced_there_does_not_come_back() {
    let config = long(Sync::Always);
    let mut rig = Rig::new(&config);
    let effects = (0..3).map(|i| Entry::Effect(effect(i)));
    // Nobody waits for these to be synced.
    let settled = (0..3).map(|i| Entry::Done(vec![id(i).into()]));
    let recorded: Vec<_> = effects.chain(settled).collect();
    for entry in &recorded {
        rig.commit(vec![entry.clone()]).expect("recorded");
    }
    fail(&rig.disk, Op::Write, (0, 1), EFBIG);
    // But for those that close the one segment and begin the other.
    fail(&rig.disk, Op::Sync, (2, u64::MAX), EIO);
    rig.commit(vec![Entry::Effect(effect(9))])
        .expect_err("it is not durable");
    mend(&mut rig);
    let (told, _) = Rig::reopened(&rig.disk, &config);
    assert_eq!(told, Told::by(&recorded));
}
