//! Journals that are not where they were when the next is begun.

use std::fs;
use std::path::PathBuf;

use super::super::handle::Journal;
use super::super::look::verify;
use super::super::report::Report;
use super::super::storage::Home;
use super::*;

/// Where journals are, and their marks.
struct Place {
    base: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let base = tempfile::tempdir().expect("a directory");
        let place = Self { base };
        fs::create_dir(place.run()).expect("made");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn run(&self) -> PathBuf {
        self.at("run")
    }

    fn marks(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.run()).expect("lists");
        entries.map(|entry| entry.expect("lists").path()).collect()
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.at(from), self.at(to)).expect("renamed");
    }

    fn copy(&self, from: &str, to: &str) {
        let (from, to) = (self.at(from), self.at(to));
        fs::create_dir(&to).expect("made");
        let ours = fs::metadata(&from).expect("there").permissions();
        fs::set_permissions(&to, ours).expect("ours");
        for entry in fs::read_dir(from).expect("lists") {
            let path = entry.expect("lists").path();
            if path.is_file() {
                let name = path.file_name().expect("named");
                fs::copy(&path, to.join(name)).expect("copied");
            }
        }
    }

    /// Puts this in the place of the outbox.
    fn put_back(&self, name: &str) {
        fs::remove_dir_all(self.at("outbox")).expect("removed");
        self.rename(name, "outbox");
    }

    /// The number that the only mark says.
    fn said(&self) -> u64 {
        let said = fs::read(self.marks().remove(0)).expect("there");
        let said: serde_json::Value = serde_json::from_slice(&said).expect("whole");
        said["seq"].as_u64().expect("a number")
    }

    fn open(&self) -> (Journal, Recovered) {
        let home = Home::marked_in(self.run());
        let (config, reading) = (Config::default(), Reading::default());
        Journal::open_watched(&self.at("outbox"), &config, &reading, &home).expect("it opens")
    }

    /// What is told to who only looks.
    fn looked_at(&self) -> Report {
        let home = Home::marked_in(self.run());
        verify(&self.at("outbox"), &Config::default(), &home).expect("it is read")
    }

    /// A life in which this is recorded; what was missed in it.
    async fn life(&self, entries: Vec<Entry>) -> Option<Box<str>> {
        let (journal, _) = self.open();
        let missed = journal.stats().missed;
        if !entries.is_empty() {
            let receipt = journal.append(entries).await.expect("open");
            receipt.await.expect("recorded");
        }
        journal.close().await.expect("closed");
        missed
    }
}

fn kept(i: u64) -> Vec<Entry> {
    vec![Entry::Effect(effect(i))]
}

fn done(i: u64) -> Vec<Entry> {
    vec![Entry::Done(vec![id(i).into()])]
}

#[tokio::test]
async fn a_journal_with_something_in_it_is_missed_until_it_is_back() {
    let place = Place::new();
    assert_eq!(place.life(kept(0)).await, None);
    place.rename("outbox", "moved");
    for _ in 0..2 {
        let missed = place.life(vec![]).await.expect("it is not there");
        let mark = place.marks().remove(0);
        assert!(missed.contains(&*mark.to_string_lossy()), "{missed}");
    }
    place.rename("outbox", "empty");
    place.rename("moved", "outbox");
    assert_eq!(place.life(done(0)).await, None);
    // Nothing is in either of them.
    assert!(place.marks().is_empty());
    place.rename("outbox", "moved");
    assert_eq!(place.life(vec![]).await, None);
}

#[tokio::test]
async fn also_the_one_is_missed_that_was_begun_in_the_place_of_another() {
    let place = Place::new();
    place.life(kept(0)).await;
    place.rename("outbox", "first");
    assert!(place.life(kept(1)).await.is_some());
    place.rename("outbox", "second");
    place.rename("first", "outbox");
    assert!(place.life(done(0)).await.is_some());
    fs::remove_dir_all(place.at("outbox")).expect("removed");
    place.rename("second", "outbox");
    assert_eq!(place.life(vec![]).await, None);
}

#[tokio::test]
async fn what_was_killed_may_have_held_something() {
    let place = Place::new();
    let (journal, _) = place.open();
    let mark = place.marks().remove(0);
    let said = fs::read(&mark).expect("it is there before anything is taken");
    journal.close().await.expect("closed");
    assert!(!mark.exists());
    // As a kill would have left it.
    fs::write(&mark, said).expect("written");
    assert_eq!(place.life(vec![]).await, None, "it is still there");
    fs::write(&mark, "").expect("written");
    fs::remove_dir_all(place.at("outbox")).expect("removed");
    let (journal, _) = place.open();
    assert!(journal.stats().missed.is_some());
    fs::remove_file(&mark).expect("removed");
    // Whoever waits for nothing has the thread go round.
    journal.read(Vec::new()).await.expect("open");
    while journal.stats().missed.is_some() {
        tokio::task::yield_now().await;
    }
    journal.close().await.expect("closed");
}

#[tokio::test]
async fn a_journal_as_it_was_earlier_is_not_taken_for_what_it_came_to_be() {
    let place = Place::new();
    place.life(kept(0)).await;
    place.copy("outbox", "copy");
    place.life(kept(1)).await;
    place.rename("outbox", "later");
    place.rename("copy", "outbox");
    assert!(place.life(vec![]).await.is_some());
    assert!(place.life(done(0)).await.is_some(), "it still is not");
    place.rename("outbox", "copy");
    place.rename("later", "outbox");
    assert_eq!(place.life(vec![]).await, None);
}

#[tokio::test]
async fn what_is_damaged_is_told_as_that_and_is_not_missed() {
    let place = Place::new();
    place.life(kept(0)).await;
    place.life(kept(1)).await;
    let entries = fs::read_dir(place.at("outbox")).expect("lists");
    let names = entries.map(|entry| entry.expect("lists").path());
    let mut segments: Vec<_> = names
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    segments.sort();
    let last = segments.pop().expect("a segment");
    let length = fs::metadata(&last).expect("there").len();
    fs::write(&last, vec![0; usize::try_from(length).expect("small")]).expect("written");
    for _ in 0..2 {
        assert_eq!(place.life(vec![]).await, None);
    }
}

#[tokio::test]
async fn where_no_mark_can_be_left_it_opens_and_one_is_left_once_that_is_possible() {
    let place = Place::new();
    fs::remove_dir(place.run()).expect("removed");
    let (journal, _) = place.open();
    fs::create_dir(place.run()).expect("made");
    while place.marks().is_empty() {
        journal.read(Vec::new()).await.expect("open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    journal.close().await.expect("closed");
    assert!(place.marks().is_empty());
}

#[tokio::test]
async fn a_damaged_journal_is_missed_while_it_is_away_and_damaged_once_it_is_back() {
    let place = Place::new();
    place.life(kept(0)).await;
    place.life(kept(1)).await;
    let first = place.at("outbox").join(super::super::segment::name(1));
    let mut bytes = fs::read(&first).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).expect("written");
    place.rename("outbox", "moved");
    assert!(place.life(vec![]).await.is_some());
    fs::remove_dir_all(place.at("outbox")).expect("removed");
    place.rename("moved", "outbox");
    for _ in 0..2 {
        let (journal, _) = place.open();
        assert_eq!(journal.stats().missed, None);
        assert_eq!(journal.stats().quarantined, 1);
        // Also while it is moved under our hands.
        place.rename("outbox", "moved");
        journal.read(Vec::new()).await.expect("open");
        assert_eq!(journal.stats().quarantined, 1);
        assert!(journal.close().await.is_err());
        place.rename("moved", "outbox");
    }
}

#[tokio::test]
async fn a_copy_made_while_it_was_open_is_not_taken_for_what_was_killed_later() {
    let place = Place::new();
    let (journal, _) = place.open();
    let record = async |i| {
        let receipt = journal.append(kept(i)).await.expect("open");
        receipt.await.expect("recorded").last_seq
    };
    record(0).await;
    place.copy("outbox", "copy");
    let mut last = 0;
    for i in 1..20 {
        last = record(i).await;
    }
    // Nothing else wakes the thread.
    tokio::time::timeout(Duration::from_secs(4), async {
        while place.said() < last {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is said soon");
    let mark = place.marks().remove(0);
    let said = fs::read(&mark).expect("there");
    place.copy("outbox", "killed");
    journal.close().await.expect("closed");
    // As a kill would have left it.
    fs::write(&mark, said).expect("written");
    place.put_back("killed");
    assert_eq!(place.life(vec![]).await, None, "it has all it had");
    place.put_back("copy");
    assert!(place.life(vec![]).await.is_some());
}

#[tokio::test]
async fn no_mark_says_a_number_that_is_not_durable() {
    let place = Place::new();
    let home = Home::marked_in(place.run());
    let hour = Duration::from_secs(3600);
    let config = Config {
        sync: Sync::Interval(hour),
        ..Config::default()
    };
    let at = place.at("outbox");
    let opened = Journal::open_watched(&at, &config, &Reading::default(), &home);
    let (journal, _) = opened.expect("it opens");
    let until = Instant::now() + Duration::from_millis(300);
    for i in (0..).take_while(|_| Instant::now() < until) {
        let receipt = journal.append(kept(i)).await.expect("open");
        receipt.await.expect("recorded");
        journal.look().await.expect("open");
        let progress = *journal.progress().borrow();
        assert!(progress.durable < progress.written);
        assert!(place.said() <= progress.durable);
    }
    journal.close().await.expect("closed");
}

#[tokio::test]
async fn a_mark_that_somebody_removes_while_it_is_needed_is_left_again() {
    let place = Place::new();
    let (journal, _) = place.open();
    fs::remove_file(place.marks().remove(0)).expect("removed");
    let receipt = journal.append(kept(0)).await.expect("open");
    receipt.await.expect("recorded");
    tokio::time::timeout(Duration::from_secs(10), async {
        while place.marks().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("it is left again");
    journal.close().await.expect("closed");
}

#[tokio::test]
async fn a_loss_of_long_ago_does_not_hide_that_it_is_as_it_was_earlier() {
    let place = Place::new();
    place.life(kept(0)).await;
    place.life(kept(1)).await;
    let first = place.at("outbox").join(super::super::segment::name(1));
    let mut bytes = fs::read(&first).expect("there");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&first, bytes).expect("written");
    assert_eq!(place.life(kept(2)).await, None, "it is told as damage");
    place.copy("outbox", "copy");
    place.life(kept(3)).await;
    place.put_back("copy");
    assert!(place.life(vec![]).await.is_some());
}

#[tokio::test]
async fn who_only_looks_is_told_what_a_start_would_say_and_changes_nothing() {
    let place = Place::new();
    place.life(kept(0)).await;
    place.copy("outbox", "copy");
    place.life(kept(1)).await;
    let (whole, had) = (place.looked_at(), place.said());
    assert_eq!((whole.missed, whole.had_seq), (None, None));

    // Two are missed: this one as it came to be, and another.
    place.put_back("copy");
    fs::write(place.run().join(format!("outbox-{}", Uuid::nil())), "").expect("written");
    let marks = place.marks();
    let looked = place.looked_at();
    assert_eq!(looked, place.looked_at());
    assert_eq!(place.marks(), marks);
    assert_eq!(looked.had_seq, Some(had));
    let (journal, _) = place.open();
    assert_eq!(journal.stats().missed, looked.missed);
    let missed = looked.missed.expect("both");
    assert!(missed.contains(" and "), "{missed}");
    // Its mark is another by now, and says no more than there is.
    let open = place.looked_at();
    assert_eq!((open.missed, open.had_seq), (Some(missed), None));
    journal.close().await.expect("closed");
}

#[tokio::test]
async fn who_only_looks_is_told_of_a_damaged_end_as_damage() {
    let place = Place::new();
    place.life(kept(0)).await;
    let segment = place.at("outbox").join(super::super::segment::name(1));
    let bytes = fs::read(&segment).expect("there");
    // Cut off at the end of a record, where nothing shows, and in the midst of one.
    let ends: Vec<usize> = memchr::memchr_iter(b'\n', &bytes).collect();
    for cut in [ends[2] + 1, ends[2] + 9] {
        fs::write(&segment, &bytes[..cut]).expect("written");
        let looked = place.looked_at();
        assert!(
            !looked.is_corrupt() && looked.missed.is_some(),
            "{looked:?}"
        );
        assert_eq!(looked.had_seq, Some(place.said()));
    }
    fs::write(&segment, vec![0; bytes.len()]).expect("written");
    let looked = place.looked_at();
    assert!(looked.is_corrupt() && looked.missed.is_none(), "{looked:?}");
}
