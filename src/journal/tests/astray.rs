//! Files that somebody moves, removes, replaces or cuts while they are in use.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::super::handle::Journal;
use super::super::storage::{Home, Storage as _, StoredFile as _, write_all};
use super::*;

/// A journal of some segments, with entries that are not settled in each.
fn some_segments(sync: Sync) -> Rig {
    let mut rig = Rig::new(&small(sync));
    for i in 0..12 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
        rig.commit(vec![Entry::Done(vec![id(i / 2).into()])])
            .expect("recorded");
    }
    rig.commit(vec![Entry::Failed(id(11), letter(1)), note("noted")])
        .expect("recorded");
    assert!(2 < segments(&rig));
    rig
}

fn newest(disk: &Lying) -> String {
    let files = disk.files();
    let newest = files.keys().rfind(|name| name.starts_with("seg-"));
    newest.expect("a segment").clone()
}

fn remove(disk: &Lying, name: &str) {
    disk.remove(name).expect("removed");
}

/// As `cp -a` and a swap do.
fn replace(disk: &Lying, name: &str) {
    let bytes = disk.files()[name].clone();
    remove(disk, name);
    let mut copy = disk.create(name).expect("made");
    write_all(&mut copy, &bytes, 0).expect("written");
    copy.sync().expect("synced");
}

/// What is taken after a while, and what the next life makes of all of it.
fn go_on(rig: &mut Rig) -> (Told, Recovered) {
    rig.pass(Duration::from_secs(1));
    rig.commit(vec![Entry::Effect(effect(100))])
        .expect("recorded");
    Rig::reopened(&rig.disk, &rig.config.clone())
}

#[test]
fn what_a_segment_held_that_was_removed_or_replaced_is_written_again() {
    for sync in [Sync::Always, Sync::Interval(Duration::from_secs(3600))] {
        for harm in [remove, replace] {
            let mut rig = some_segments(sync);
            let name = newest(&rig.disk);
            harm(&rig.disk, &name);
            let foreign = rig.disk.files().get(&name).cloned();
            let (told, recovered) = go_on(&mut rig);
            assert_eq!(told, Told::by(&rig.entries));
            assert_eq!(recovered.report.damage, []);
            assert_eq!(rig.disk.files().get(&name).cloned(), foreign);
            let health = rig.core.health();
            assert!(
                matches!(&health, Health::Degraded { why } if why.contains(&name)),
                "{health:?}"
            );
        }
    }
}

#[test]
fn what_was_just_written_to_a_segment_that_was_removed_or_replaced_is_written_again_with_the_rest()
{
    for sync in [Sync::Always, Sync::Interval(Duration::from_secs(3600))] {
        for harm in [remove, replace] {
            let mut rig = some_segments(sync);
            harm(&rig.disk, &newest(&rig.disk));
            // So soon it is looked for only after the write.
            let entries = vec![
                Entry::Effect(effect(100)),
                Entry::Done(vec![id(7).into()]),
                Entry::Requeue(id(11)),
                note("noted anew"),
            ];
            rig.commit(entries).expect("recorded");
            assert_ne!(rig.core.health(), Health::Ok);
            let config = rig.config.clone();
            let (told, recovered) = Rig::reopened(&rig.disk, &config);
            assert_eq!(told, Told::by(&rig.entries));
            assert_eq!(recovered.report.damage, []);
        }
    }
}

/// What the segment that is written takes back of what those before it say.
fn takes_back() -> [(Vec<Entry>, Vec<Entry>); 4] {
    let note_of = |text: &str| vec![note(text)];
    let settled = || Entry::Done(vec![id(2).into()]);
    let effect_of = |i| vec![Entry::Effect(effect(i))];
    [
        (note_of("noted"), note_of("")),
        (
            vec![Entry::Effect(effect(1)), Entry::Failed(id(1), letter(1))],
            vec![Entry::Requeue(id(1))],
        ),
        // By another effect, or by itself anew: each has what is settled synced.
        (effect_of(2), [vec![settled()], effect_of(3)].concat()),
        (effect_of(2), [vec![settled()], effect_of(2)].concat()),
    ]
}

#[test]
fn what_a_segment_took_back_that_was_removed_does_not_come_again() {
    for (said, taken_back) in takes_back() {
        let mut rig = Rig::new(&small(Sync::Always));
        rig.commit(vec![Entry::Effect(effect(0))])
            .expect("recorded");
        rig.commit(said.clone()).expect("recorded");
        let first = newest(&rig.disk);
        let mut others = 10..;
        while newest(&rig.disk) == first {
            let i = others.next().expect("endless");
            rig.commit(vec![Entry::Effect(effect(i))])
                .expect("recorded");
        }
        rig.commit(taken_back.clone()).expect("recorded");
        let last = newest(&rig.disk);
        rig.now.later(16 * 60 * 1000);
        remove(&rig.disk, &last);
        let (told, recovered) = go_on(&mut rig);
        let expected = Told::by(&rig.entries);
        let about = format!("{said:?}, then {taken_back:?}");
        assert_eq!(
            (told.live, told.notes),
            (expected.live, expected.notes),
            "{about}"
        );
        assert_eq!(recovered.report.damage, [], "{about}");
    }
}

#[test]
fn a_file_in_the_place_of_a_segment_is_never_removed() {
    let mut rig = some_segments(Sync::Always);
    let name = newest(&rig.disk);
    replace(&rig.disk, &name);
    let foreign = rig.disk.files()[&name].clone();
    rig.pass(Duration::from_secs(1));
    for i in 0..12 {
        rig.commit(vec![Entry::Done(vec![id(i).into()]), note("")])
            .expect("recorded");
    }
    rig.now.later(16 * 60 * 1000);
    idle(&mut rig, 100);
    assert_eq!(rig.disk.files()[&name], foreign);
    assert!(segments(&rig) <= 2, "all others went");
}

#[test]
fn a_segment_that_is_cut_costs_what_was_cut_and_that_is_told() {
    let mut rig = some_segments(Sync::Always);
    let name = newest(&rig.disk);
    let mut file = rig.disk.open_to_change(&name).expect("there");
    file.truncate(600).expect("cut");
    let (told, recovered) = go_on(&mut rig);
    assert!(told.live.iter().any(|(effect, _)| effect.id == id(100)));
    assert!(recovered.report.is_corrupt(), "{:?}", recovered.report);
}

#[test]
fn no_write_makes_a_segment_long_again_that_was_cut_a_moment_ago() {
    let mut rig = some_segments(Sync::Always);
    rig.commit(vec![Entry::Effect(effect(100))])
        .expect("recorded");
    let name = newest(&rig.disk);
    let mut file = rig.disk.open_to_change(&name).expect("there");
    file.truncate(600).expect("cut");
    rig.commit(vec![Entry::Effect(effect(101))])
        .expect("recorded");
    assert_eq!(rig.disk.files()[&name].len(), 600);
    let health = rig.core.health();
    assert!(
        matches!(&health, Health::Degraded { why } if why.contains(&name)),
        "{health:?}"
    );
}

#[test]
fn nothing_is_lost_when_the_segment_is_gone_and_the_disk_fails_for_a_while() {
    let mut rig = some_segments(Sync::Always);
    let name = newest(&rig.disk);
    remove(&rig.disk, &name);
    break_syncs(&rig);
    rig.pass(Duration::from_secs(1));
    rig.tick();
    assert!(!rig.core.health().admits());
    rig.disk.heal();
    rig.pass(Duration::from_secs(11));
    let (told, recovered) = go_on(&mut rig);
    assert_eq!(told, Told::by(&rig.entries));
    assert_eq!(recovered.report.damage, []);
}

fn open(directory: &Path) -> Journal {
    let opened = Journal::open(directory, &Config::default());
    opened.expect("it opens").0
}

async fn append(journal: &Journal, i: u64) -> Result<Appended, Unrecorded> {
    let receipt = journal.append(vec![Entry::Effect(effect(i))]).await;
    receipt.expect("it is open").await
}

#[tokio::test]
async fn a_directory_that_was_moved_takes_no_more_and_what_is_in_its_place_is_left_alone() {
    for in_its_place in [true, false] {
        let base = tempfile::tempdir().expect("a directory");
        let directory = base.path().join("outbox");
        let journal = open(&directory);
        append(&journal, 0).await.expect("recorded");
        // Longer ago than anything is believed without a look.
        tokio::time::sleep(Duration::from_millis(30)).await;
        fs::rename(&directory, base.path().join("moved")).expect("moved");
        if in_its_place {
            fs::create_dir(&directory).expect("made");
        }
        let refused = append(&journal, 1).await.expect_err("it would be lost");
        let text = refused.to_string();
        assert!(
            text.contains(&*directory.to_string_lossy()) && text.contains("was moved"),
            "{text}"
        );
        drop(journal);
        let names = fs::read_dir(&directory).map_or(0, Iterator::count);
        assert_eq!(names, 0, "nothing was put there");
    }
}

#[tokio::test]
async fn a_closing_journal_says_that_its_directory_is_gone() {
    let base = tempfile::tempdir().expect("a directory");
    let directory = base.path().join("outbox");
    let journal = open(&directory);
    append(&journal, 0).await.expect("recorded");
    fs::remove_dir_all(&directory).expect("removed");
    let closed = journal.close().await;
    assert!(
        matches!(closed, Err(Unrecorded::Astray { .. })),
        "{closed:?}"
    );
}

#[tokio::test]
async fn everything_removed_from_the_directory_is_made_again() {
    let base = tempfile::tempdir().expect("a directory");
    let directory = base.path().join("outbox");
    let journal = open(&directory);
    append(&journal, 0).await.expect("recorded");
    for entry in fs::read_dir(&directory).expect("listed") {
        fs::remove_file(entry.expect("listed").path()).expect("removed");
    }
    tokio::time::sleep(Duration::from_millis(30)).await;
    append(&journal, 1).await.expect("recorded");
    let again = Journal::open(&directory, &Config::default()).err();
    assert!(matches!(again, Some(OpenError::Locked { .. })), "{again:?}");
    journal.close().await.expect("closed");
    let (_, recovered) = Journal::open(&directory, &Config::default()).expect("it opens");
    assert_eq!(recovered.live.len(), 2);
    assert_eq!(recovered.report.damage, []);
}

/// The directory of `rig` is moved right after it was seen where it belongs.
fn moved_since_the_last_look(sync: Sync, on_failure: OnFailure) -> Rig {
    let config = Config {
        on_failure,
        ..small(sync)
    };
    let mut rig = Rig::new(&config);
    for i in 0..3 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
    }
    rig.disk.set_away(true);
    rig
}

const EVERY: [(Sync, OnFailure); 4] = [
    (Sync::Always, OnFailure::Exit),
    (Sync::Always, OnFailure::Bypass),
    (Sync::Interval(Duration::from_secs(3600)), OnFailure::Exit),
    (Sync::Interval(Duration::from_secs(3600)), OnFailure::Bypass),
];

#[test]
fn nothing_is_recorded_in_a_directory_that_was_moved_a_moment_ago() {
    for (sync, on_failure) in EVERY {
        let mut rig = moved_since_the_last_look(sync, on_failure);
        for (i, wait) in [(3, 0), (4, 0), (5, 30)] {
            rig.pass(Duration::from_millis(wait));
            let refused = rig.commit(vec![Entry::Effect(effect(i))]);
            assert!(
                matches!(refused, Err(Unrecorded::Astray { .. })),
                "{refused:?}"
            );
        }
        // Nor is what it has already said to be recorded.
        let again = rig.commit(vec![Entry::Effect(effect(0))]);
        assert!(again.is_err(), "{again:?}");
        assert!(matches!(rig.core.health(), Health::Astray { .. }));
        assert_eq!(rig.core.stats().live, 3);
    }
}

#[test]
fn a_directory_that_is_put_back_goes_on_with_everything_it_took_and_nothing_it_refused() {
    for (sync, on_failure) in EVERY {
        for commits in [0, 2] {
            let mut rig = moved_since_the_last_look(sync, on_failure);
            for i in 0..commits {
                _ = rig.commit(vec![Entry::Effect(effect(10 + i))]);
            }
            let read = rig.core.read(&[id(2)]).remove(0);
            assert!(matches!(read, Ok(Some(_))), "{read:?}");
            rig.pass(Duration::from_millis(30));
            _ = rig.commit(vec![Entry::Done(vec![id(0).into()])]);
            rig.disk.set_away(false);
            rig.pass(Duration::from_millis(30));
            rig.tick();
            assert_eq!(rig.core.health(), Health::Ok);
            rig.commit(vec![Entry::Effect(effect(20))])
                .expect("recorded");
            let now = rig.now;
            rig.core.close(now).expect("closed");
            let (told, recovered) = Rig::reopened(&rig.disk, &rig.config.clone());
            let ids: Vec<_> = told.live.iter().map(|(effect, _)| effect.id).collect();
            assert_eq!(ids, [id(1), id(2), id(20)]);
            assert_eq!(recovered.report.damage, []);
        }
    }
}

#[test]
fn what_a_directory_refused_does_not_come_back_with_it_after_the_end() {
    for (sync, on_failure) in EVERY {
        let mut rig = moved_since_the_last_look(sync, on_failure);
        let refused = rig.commit(vec![Entry::Effect(effect(3))]);
        assert!(refused.is_err());
        let now = rig.now;
        assert!(rig.core.close(now).is_err());
        rig.disk.set_away(false);
        let (told, recovered) = Rig::reopened(&rig.disk, &rig.config.clone());
        let ids: Vec<_> = told.live.iter().map(|(effect, _)| effect.id).collect();
        assert_eq!(ids, [id(0), id(1), id(2)]);
        assert!(!recovered.report.is_corrupt());
    }
}

#[test]
fn a_directory_that_is_put_back_after_the_end_knows_what_was_published_meanwhile() {
    for (sync, on_failure) in EVERY {
        let mut rig = moved_since_the_last_look(sync, on_failure);
        rig.pass(Duration::from_millis(30));
        _ = rig.commit(vec![Entry::Done(vec![id(0).into(), id(1).into()])]);
        let now = rig.now;
        let closed = rig.core.close(now);
        assert!(
            matches!(closed, Err(Unrecorded::Astray { .. })),
            "{closed:?}"
        );
        rig.disk.set_away(false);
        let (told, recovered) = Rig::reopened(&rig.disk, &rig.config.clone());
        let ids: Vec<_> = told.live.iter().map(|(effect, _)| effect.id).collect();
        assert_eq!(ids, [id(2)]);
        assert_eq!(recovered.report.damage, []);
    }
}

#[test]
fn a_sealed_segment_that_is_gone_is_told_of_until_it_is_back() {
    let mut rig = some_segments(Sync::Always);
    let files = rig.disk.files();
    let needed = format!("\"k\":\"E\",\"id\":\"{}\"", id(6).as_uuid());
    let holds_it = |bytes: &[u8]| memchr::memmem::find(bytes, needed.as_bytes()).is_some();
    let mut holding = files.iter().filter(|(_, bytes)| holds_it(bytes));
    let name = holding.next().expect("it is kept").0.clone();
    assert_ne!(name, newest(&rig.disk));
    remove(&rig.disk, &name);
    rig.pass(Duration::from_secs(2));
    rig.tick();
    let health = rig.core.health();
    assert!(
        matches!(&health, Health::Degraded { why } if why.contains(&name)),
        "{health:?}"
    );
    let mut file = rig.disk.create(&name).expect("made");
    write_all(&mut file, &files[&name], 0).expect("written");
    rig.pass(Duration::from_secs(2));
    rig.tick();
    assert_eq!(rig.core.health(), Health::Ok);
}

#[test]
fn a_run_keeps_to_the_directory_it_began_with_until_that_is_back() {
    let base = tempfile::tempdir().expect("a directory");
    let (directory, moved) = (base.path().join("outbox"), base.path().join("moved"));
    let home = Home::default();
    let open = || {
        let (config, reading) = (Config::default(), Reading::default());
        Journal::open_watched(&directory, &config, &reading, &home).map(drop)
    };
    open().expect("it opens");
    fs::rename(&directory, &moved).expect("moved");
    for in_its_place in [false, true] {
        if in_its_place {
            fs::DirBuilder::new()
                .mode(0o700)
                .create(&directory)
                .expect("made");
        }
        let refused = open().expect_err("it is another");
        assert!(matches!(refused, OpenError::Astray(_)), "{refused}");
        let left = fs::read_dir(&directory).map(Iterator::count).ok();
        assert_eq!(left, in_its_place.then_some(0), "nothing was put there");
    }
    fs::remove_dir(&directory).expect("removed");
    fs::rename(&moved, &directory).expect("put back");
    let until = Instant::now() + Duration::from_secs(10);
    while let Err(error) = open() {
        assert!(Instant::now() < until, "{error}");
    }
}
