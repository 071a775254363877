//! Real directories and the real thread.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::super::handle::Journal;
use super::super::report::Report;
use super::*;

fn journal(directory: &Path) -> Result<(Journal, Recovered), OpenError> {
    Journal::open(directory, &Config::default())
}

fn base() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

#[tokio::test]
async fn what_was_recorded_comes_back_whole() {
    let base = base();
    let directory = base.path().join("outbox");
    let (journal, recovered) = Journal::open(&directory, &Config::default()).expect("it opens");
    assert_eq!(recovered.report, Report::default());
    let entries: Vec<Entry> = (0..5).map(|i| Entry::Effect(effect(i))).collect();
    let receipt = journal.append(entries.clone()).await.expect("it is open");
    let appended = receipt.await.expect("recorded");
    assert_eq!(journal.progress().borrow().durable, appended.last_seq);
    let more = vec![Entry::Done(vec![id(1)]), Entry::Failed(id(2), letter(2))];
    let receipt = journal.try_append(more.clone()).expect("there is room");
    receipt.await.expect("recorded");
    let stored = journal.read(vec![id(0), id(1), id(4)]).await.expect("open");
    let stored: Vec<_> = stored.into_iter().map(|s| s.map(|s| s.effect)).collect();
    assert_eq!(stored, [Some(effect(0)), None, Some(effect(4))]);
    journal.close().await.expect("closed");

    let (journal, recovered) = Journal::open(&directory, &Config::default()).expect("it opens");
    assert!(recovered.report.clean);
    let ids: Vec<EffectId> = recovered.live.iter().map(|live| live.id).collect();
    assert_eq!(ids, [id(0), id(2), id(3), id(4)]);
    assert_eq!(recovered.live[1].state, State::Dead(letter(2)));
    assert_eq!(journal.stats().live, 4);
    assert_eq!(
        super::super::verify(&directory, &Config::default())
            .expect("read")
            .live,
        4
    );
}

#[test]
fn only_one_may_have_it_open() {
    let base = base();
    let directory = base.path().join("outbox");
    let (_open, _) = journal(&directory).expect("it opens");
    match journal(&directory).err() {
        Some(OpenError::Locked { holder, .. }) => {
            let us = format!("pid {}", std::process::id());
            assert!(holder.contains(&us), "{holder}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_directory_others_may_enter_is_refused() {
    let base = base();
    let directory = base.path().join("outbox");
    fs::create_dir(&directory).expect("made");
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o750)).expect("ours");
    assert!(matches!(
        journal(&directory),
        Err(OpenError::Insecure { .. })
    ));
}

#[test]
fn a_link_in_the_way_is_refused() {
    let base = base();
    let elsewhere = base.path().join("elsewhere");
    drop(journal(&elsewhere).expect("it opens"));
    let directory = base.path().join("outbox");
    symlink(&elsewhere, &directory).expect("linked");
    assert!(matches!(journal(&directory), Err(OpenError::Io { .. })));

    let linked = base.path().join("linked");
    fs::create_dir(&linked).expect("made");
    fs::set_permissions(&linked, fs::Permissions::from_mode(0o700)).expect("ours");
    fs::write(base.path().join("victim"), "untouched").expect("written");
    symlink(base.path().join("victim"), linked.join("LOCK")).expect("linked");
    assert!(journal(&linked).is_err());
    let victim = fs::read_to_string(base.path().join("victim")).expect("read");
    assert_eq!(victim, "untouched");
}

#[tokio::test]
async fn everything_in_it_is_its_users_only() {
    let base = base();
    let directory = base.path().join("outbox");
    let (journal, _) = journal(&directory).expect("it opens");
    let receipt = journal.append(vec![Entry::Effect(effect(0))]).await;
    receipt.expect("open").await.expect("recorded");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn the_last_handle_closes_it() {
    let base = base();
    let directory = base.path().join("outbox");
    let (first, _) = journal(&directory).expect("it opens");
    let receipt = first
        .append(vec![Entry::Effect(effect(0))])
        .await
        .expect("open");
    let mut progress = first.progress();
    drop(first);
    receipt.await.expect("recorded all the same");
    // The thread has ended when nobody tells progress any more.
    while progress.changed().await.is_ok() {}
    let (_, recovered) = journal(&directory).expect("the lock is gone");
    assert!(recovered.report.clean);
    assert_eq!(recovered.live.len(), 1);
}
