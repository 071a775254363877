//! Real directories and the real thread.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::Path;

use super::super::handle::Journal;
use super::super::report::Report;
use super::super::stats::Progress;
use super::super::storage::Home;
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
    let mut progress = journal.progress();
    let is_durable = |progress: &Progress| appended.last_seq <= progress.durable;
    progress.wait_for(is_durable).await.expect("it is told");
    let more = vec![
        Entry::Done(vec![id(1).into()]),
        Entry::Failed(id(2), letter(2)),
    ];
    let receipt = journal.try_append(more.clone()).expect("there is room");
    receipt.await.expect("recorded");
    let stored = journal.read(vec![id(0), id(1), id(4)]).await.expect("open");
    let stored: Vec<_> = stored
        .into_iter()
        .map(|s| s.map(|s| s.map(|s| s.effect)))
        .collect();
    assert_eq!(stored, [Ok(Some(effect(0))), Ok(None), Ok(Some(effect(4)))]);
    journal.close().await.expect("closed");

    let (journal, recovered) = Journal::open(&directory, &Config::default()).expect("it opens");
    assert!(recovered.report.clean);
    let ids: Vec<EffectId> = recovered.live.iter().map(|live| live.id).collect();
    assert_eq!(ids, [id(0), id(2), id(3), id(4)]);
    assert_eq!(recovered.live[1].state, State::Dead(letter(2).into()));
    assert_eq!(journal.stats().live, 4);
    assert_eq!(
        super::super::verify(&directory, &Config::default(), &Home::default())
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
fn a_file_of_another_user_is_refused_only_if_it_would_be_used() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("only root gives files away: not tested");
        return;
    }
    let segment = super::super::segment::name(1);
    let copy = format!("{segment}.bak");
    for (name, is_used) in [(&*copy, false), ("next-copy", false), (&*segment, true)] {
        let base = base();
        let directory = base.path().join("outbox");
        fs::create_dir(&directory).expect("made");
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).expect("ours");
        let path = directory.join(name);
        fs::write(&path, "").expect("written");
        chown(&path, Some(12_345), None).expect("given away");
        let opened = journal(&directory).map(drop);
        let is_refused = matches!(opened, Err(OpenError::Insecure { .. }));
        assert_eq!(is_refused, is_used, "{name}: {opened:?}");
    }
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

/// A small filesystem, gone with this.
struct Small(std::path::PathBuf);

impl Small {
    /// `None` where nobody may mount one.
    fn mount(at: &Path) -> Option<Self> {
        fs::create_dir(at).expect("made");
        let options = ["-t", "tmpfs", "-o", "size=512k,mode=0700", "tmpfs"];
        let mut mount = std::process::Command::new("mount");
        let mounted = mount.args(options).arg(at).output();
        let is_mounted = mounted.is_ok_and(|mounted| mounted.status.success());
        is_mounted.then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let mut umount = std::process::Command::new("umount");
        _ = umount.arg("-l").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_real_disk_that_fills_takes_no_effect_and_keeps_what_it_took() {
    let base = base();
    let Some(small) = Small::mount(&base.path().join("small")) else {
        eprintln!("nobody may mount here: not tested");
        return;
    };
    let config = Config {
        on_failure: OnFailure::Bypass,
        low_water_bytes: 0,
        low_water_percent: 0,
        reserve_bytes: 64 << 10,
        ..Config::default()
    };
    let (journal, _) = Journal::open(&small.0, &config).expect("it opens");
    let mut taken = 0;
    let refused = loop {
        let mut large = effect(taken);
        large.operation = Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::from(vec![b'1'; 8000]).into(),
        };
        let receipt = journal.append(vec![Entry::Effect(large)]).await;
        match receipt.expect("open").await {
            Ok(_) => taken += 1,
            Err(refused) => break refused,
        }
        assert!(taken < 100);
    };
    assert_eq!(refused, Unrecorded::DiskLow);
    assert!(taken > 20 && !journal.health().borrow().admits());
    let receipt = journal.append(vec![Entry::Done(vec![id(0).into()])]).await;
    receipt.expect("open").await.expect("from the reserve");
    journal.close().await.expect("closed");
    let (journal, recovered) = Journal::open(&small.0, &config).expect("it opens");
    assert_eq!(recovered.live.len() as u64, taken - 1);
    assert_eq!(recovered.report.damage, []);
    drop(journal);
}
