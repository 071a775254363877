use std::io::Write as _;

use super::*;
use crate::logfile::{Limits, LogFile};

const SMALL: Limits = Limits {
    bytes: 100,
    old_files: 4,
};

fn number(line: &[u8]) -> u32 {
    std::str::from_utf8(line).unwrap().parse().unwrap()
}

#[test]
fn lines_are_read_backwards_over_all_files() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let mut log = LogFile::new(&path, SMALL);
    for n in 0..60 {
        log.append(format!("{n}\n").as_bytes()).unwrap();
    }
    let all: Vec<_> = Follower::open(&path).1.map(|l| number(&l)).collect();
    assert_eq!(all, (0..60).rev().collect::<Vec<_>>());
}

#[test]
fn lines_longer_than_a_block_are_read_backwards_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let long = "x".repeat(BLOCK_BYTES * 2 + 17);
    fs::write(&path, format!("one\n{long}\ntwo\n{long}{long}\nno end")).unwrap();
    let all: Vec<_> = Follower::open(&path).1.map(|l| l.len()).collect();
    assert_eq!(all, [long.len() * 2, 3, long.len(), 3]);
}

#[test]
fn following_yields_each_complete_line_once_also_across_many_rotations() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let (mut follower, before) = Follower::open(&path);
    assert_eq!(before.count(), 0);
    let mut log = LogFile::new(&path, SMALL);
    let (mut next, mut seen) = (100, Vec::new());
    for step in [1, 3, 40, 0, 70, 2] {
        for _ in 0..step {
            log.append(format!("{next}\n").as_bytes()).unwrap();
            next += 1;
        }
        seen.extend(follower.new_lines().iter().map(|l| number(l)));
    }
    assert_eq!(seen, (100..next).collect::<Vec<_>>());
}

#[test]
fn a_line_is_told_when_its_end_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    let mut file = File::create(&path).unwrap();
    file.write_all(b"1\n2").unwrap();
    let (mut follower, before) = Follower::open(&path);
    assert_eq!(before.map(|l| number(&l)).collect::<Vec<_>>(), [1]);
    assert!(follower.new_lines().is_empty());
    file.write_all(b"3\n").unwrap();
    assert_eq!(number(&follower.new_lines()[0]), 23);
}

#[test]
fn a_file_that_was_cut_or_replaced_is_followed_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.log");
    fs::write(&path, "1\n2\n3\n").unwrap();
    let (mut follower, _) = Follower::open(&path);
    fs::write(&path, "4\n").unwrap();
    assert_eq!(number(&follower.new_lines()[0]), 4);
    fs::remove_file(&path).unwrap();
    assert!(follower.new_lines().is_empty());
    fs::write(&path, "5\n").unwrap();
    assert_eq!(number(&follower.new_lines()[0]), 5);
}
