use super::*;

fn log(dir: &tempfile::TempDir, bytes: u64, old_files: u32) -> LogFile {
    LogFile::new(dir.path().join("x.log"), Limits { bytes, old_files })
}

/// As if a second had gone by.
fn later(log: &mut LogFile) {
    log.looked = Instant::now().checked_sub(LOOK_AGAIN).unwrap();
}

fn text(dir: &tempfile::TempDir) -> String {
    fs::read_to_string(dir.path().join("x.log")).unwrap()
}

#[test]
fn a_log_stays_under_its_cap_and_keeps_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir, 100, 2);
    for n in 0..1000 {
        log.append(format!("line {n:04}\n").as_bytes()).unwrap();
    }
    let files: Vec<_> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap())
        .collect();
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|f| f.metadata().unwrap().len() <= 100));
    assert!(text(&dir).ends_with("line 0999\n"));
    let limits = Limits {
        bytes: 100,
        old_files: 2,
    };
    assert_eq!(limits.cap(), 300);
    assert!(used(&dir.path().join("x.log"), limits) <= 300);
}

#[test]
fn many_records_at_once_are_split_between_files_and_none_is_torn() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir, 100, 20);
    let records: Vec<_> = (0..100).map(|n| format!("line {n:04}\n")).collect();
    let records = records.concat();
    log.append(records.as_bytes()).unwrap();
    let mut all = String::new();
    for n in (0..=20).rev() {
        let path = dir.path().join("x.log");
        let path = if n == 0 { path } else { older(&path, n) };
        let text = fs::read_to_string(path).unwrap_or_default();
        assert!(text.len() <= 100 && (text.is_empty() || text.ends_with('\n')));
        all.push_str(&text);
    }
    assert_eq!(all, records);
}

#[test]
fn a_record_beyond_the_limit_has_a_file_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir, 10, 1);
    log.append(b"short\na record that is too long\n").unwrap();
    assert_eq!(text(&dir), "a record that is too long\n");
}

#[test]
fn a_removed_moved_or_cut_log_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let mut log = log(&dir, 100, 2);
    log.append(b"one\n").unwrap();
    fs::remove_file(&path).unwrap();
    later(&mut log);
    log.append(b"two\n").unwrap();
    assert_eq!(text(&dir), "two\n");
    fs::rename(&path, dir.path().join("away")).unwrap();
    later(&mut log);
    log.append(b"three\n").unwrap();
    assert_eq!(text(&dir), "three\n");
    log.append(&[b'x'; 90]).unwrap();
    File::create(&path).unwrap();
    later(&mut log);
    log.append(b"after a cut there is room\n").unwrap();
    assert_eq!(text(&dir), "after a cut there is room\n");
    assert!(!older(&path, 1).exists());
}

#[test]
fn what_cannot_be_written_is_said_and_the_next_record_tries_again() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("x.log")).unwrap();
    let mut log = log(&dir, 100, 2);
    assert_eq!(log.append(b"one\n").unwrap_err().written, 0);
    fs::remove_dir(dir.path().join("x.log")).unwrap();
    log.append(b"two\n").unwrap();
    assert_eq!(text(&dir), "two\n");
}

#[test]
fn fewer_old_files_than_before_leaves_no_forgotten_ones() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir, 10, 5);
    for _ in 0..10 {
        log.append(b"a line..\n").unwrap();
    }
    log.limit(Limits {
        bytes: 10,
        old_files: 1,
    });
    log.append(b"a line..\n").unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn a_log_goes_on_where_the_last_run_ended() {
    let dir = tempfile::tempdir().unwrap();
    log(&dir, 100, 2).append(b"one\n").unwrap();
    log(&dir, 100, 2).append(b"two\n").unwrap();
    assert_eq!(text(&dir), "one\ntwo\n");
}
