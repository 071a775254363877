use std::fs;

use super::super::sink::Kind;
use super::*;

/// A log whose disk refuses as long as a directory stands in its place.
fn refused(dir: &tempfile::TempDir) -> Writer {
    fs::create_dir(dir.path().join("x.log")).unwrap();
    let journal = Sink::new(dir.path(), "events", Kind::Journal);
    Writer {
        logs: HashMap::new(),
        journal: Arc::new(journal),
    }
}

fn sink(dir: &tempfile::TempDir) -> Arc<Sink> {
    Arc::new(Sink::new(dir.path(), "x", Kind::Child))
}

#[test]
fn what_a_disk_refuses_waits_and_is_written_when_it_takes_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, sink) = (refused(&dir), sink(&dir));
    for text in ["one\n", "two\n", "three\n"] {
        writer.write(&sink, text.as_bytes().to_vec());
    }
    assert!(sink.usage().trouble.is_some());
    fs::remove_dir(dir.path().join("x.log")).unwrap();
    writer.retry(false);
    assert!(!dir.path().join("x.log").exists(), "not before it is due");
    writer.retry(true);
    let text = fs::read_to_string(dir.path().join("x.log")).unwrap();
    assert_eq!(text, "one\ntwo\nthree\n");
    assert_eq!(sink.usage().trouble, None);
    let journal = fs::read_to_string(dir.path().join("events.jsonl")).unwrap();
    assert_eq!(
        journal.lines().count(),
        2,
        "it began and it ended: {journal}"
    );
}

#[test]
fn what_a_disk_refuses_for_too_long_is_counted_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let (mut writer, sink) = (refused(&dir), sink(&dir));
    let chunk = [vec![b'x'; 1023], vec![b'\n']].concat();
    for _ in 0..1030 {
        writer.write(&sink, chunk.clone());
    }
    fs::remove_dir(dir.path().join("x.log")).unwrap();
    writer.retry(true);
    let text = fs::read_to_string(dir.path().join("x.log")).unwrap();
    assert!(text.lines().next().unwrap().contains("dropped 6 lines"));
    assert_eq!(text.lines().count(), 1025);
    assert_eq!(sink.usage().dropped, 6);
}

#[test]
fn a_directory_that_was_removed_is_made_anew_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let logs = dir.path().join("logs");
    let new = |name, kind| Arc::new(Sink::new(&logs, name, kind));
    let mut writer = Writer {
        logs: HashMap::new(),
        journal: new("events", Kind::Journal),
    };
    let sink = new("x", Kind::Child);
    writer.write(&sink, b"one\n".to_vec());
    assert!(!logs.exists(), "whoever removed it may remove more");
    writer.retry(true);
    assert_eq!(fs::read_to_string(logs.join("x.log")).unwrap(), "one\n");
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&logs).unwrap());
    assert_eq!(mode & 0o777, 0o700);
    assert_eq!(sink.usage().trouble, None);
}

#[test]
fn a_child_that_is_called_as_the_journal_has_a_log_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let journal = Arc::new(Sink::new(dir.path(), "events", Kind::Journal));
    let child = Arc::new(Sink::new(dir.path(), "events", Kind::Child));
    let mut writer = Writer {
        logs: HashMap::new(),
        journal: Arc::clone(&journal),
    };
    writer.write(&journal, b"happened\n".to_vec());
    writer.write(&child, b"said\n".to_vec());
    let read = |name| fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(read("events.jsonl"), "happened\n");
    assert_eq!(read("events.log"), "said\n");
}

#[test]
fn lines_that_never_came_are_counted_before_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(&dir);
    let journal = Arc::new(Sink::new(dir.path(), "events", Kind::Journal));
    let mut writer = Writer {
        logs: HashMap::new(),
        journal,
    };
    sink.refused(3);
    writer.write(&sink, b"next\n".to_vec());
    let text = fs::read_to_string(dir.path().join("x.log")).unwrap();
    assert!(text.lines().next().unwrap().contains("dropped 3 lines"));
    assert!(text.ends_with("next\n"));
    assert_eq!(sink.usage().dropped, 3);
    assert_eq!(text.lines().count(), 2);
}
