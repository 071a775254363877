//! Files that somebody moves, removes, replaces or cuts while they are in use.

use std::fs;
use std::path::Path;

use super::super::handle::Journal;
use super::super::storage::{Storage as _, StoredFile as _, write_all};
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
    rig.now.ms += 16 * 60 * 1000;
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
        matches!(closed, Err(Unrecorded::Failed { .. })),
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
