use std::collections::HashSet;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;

use super::super::listing::is_wanted;
use super::*;
use crate::journal::Home;

#[test]
fn a_name_as_long_as_names_may_be_comes_again_as_a_shorter_one() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["a".repeat(249), "\u{e4}".repeat(124)];
    for name in names.map(|stem| OsString::from(stem + ".jsonl")) {
        let mut paths = HashSet::new();
        for _ in 0..12 {
            let path = free_name(folder.path(), &name).unwrap();
            fs::write(&path, "").unwrap();
            assert_eq!(path.extension(), Some(OsStr::new("jsonl")));
            assert!(paths.insert(path), "it was free");
        }
    }
}

/// An inbox in which `a.jsonl` was taken, and is about to be put away.
fn leaving(text: &str) -> (tempfile::TempDir, Folder, PathBuf, Document) {
    let dir = tempfile::tempdir().unwrap();
    let inbox = dir.path().join("inbox");
    DirBuilder::new().mode(0o700).create(&inbox).unwrap();
    let folder = Folder::open(inbox, Home::default()).unwrap();
    let path = folder.path().join("a.jsonl");
    fs::write(&path, text).unwrap();
    let Ok(Opened::Open(document)) = Document::open(&path, None) else {
        panic!("it opens");
    };
    (dir, folder, path, document)
}

fn names(folder: &Path) -> Vec<OsString> {
    let entries = fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.filter(|name| is_wanted(name)).collect();
    names.sort();
    names
}

#[test]
fn a_file_that_was_taken_is_put_away_under_its_name() {
    let (_dir, folder, path, document) = leaving("one\n");
    assert!(folder.put_away(&path, &document, 4).unwrap());
    assert_eq!(names(&folder.done()), ["a.jsonl"]);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_file_that_was_renamed_onto_the_name_of_one_that_was_taken_stays() {
    let (dir, folder, path, document) = leaving("one\n");
    let other = dir.path().join("other");
    fs::write(&other, "two\n").unwrap();
    fs::rename(&other, &path).unwrap();
    assert!(!folder.put_away(&path, &document, 4).unwrap());
    assert!(names(&folder.done()).is_empty());
    assert_eq!(names(folder.path()), ["a.jsonl"]);
    assert_eq!(fs::read(&path).unwrap(), b"two\n");
}

#[test]
fn a_file_that_has_grown_stays() {
    let (_dir, folder, path, document) = leaving("one\n");
    fs::write(&path, "one\ntwo\n").unwrap();
    assert!(!folder.put_away(&path, &document, 4).unwrap());
    assert!(names(&folder.done()).is_empty());
    assert_eq!(names(folder.path()), ["a.jsonl"]);
}

#[test]
fn a_file_whose_name_another_has_by_now_is_read_where_it_is() {
    let (_dir, folder, path, _) = leaving("new\n");
    let long = OsString::from("\u{e4}".repeat(124) + ".jsonl");
    for name in [OsStr::new("a.jsonl"), &long] {
        let aside = folder.path().join(name_aside(name));
        fs::write(&aside, "old\n").unwrap();
        give_back(&aside, &path);
        assert_eq!(fs::read(&path).unwrap(), b"new\n");
        let found = folder.list(&HashSet::new()).unwrap().found;
        let mut found = found.iter().map(|found| folder.path().join(&found.name));
        assert!(found.any(|path| path == aside));
    }
}

#[test]
fn where_nothing_can_be_looked_at_no_name_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let no_folder = folder.path().join("file");
    fs::write(&no_folder, "").unwrap();
    let error = free_name(&no_folder, OsStr::new("a.jsonl")).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
}

#[test]
fn a_name_that_comes_very_often_is_looked_for_among_few() {
    let looks = std::cell::Cell::new(0);
    let mut taken = HashSet::new();
    for n in 1..=5000 {
        looks.set(0);
        let is_free = |n| {
            looks.set(looks.get() + 1);
            Ok(!taken.contains(&n))
        };
        let free = free_number(is_free).unwrap();
        assert_eq!(free, n, "they are in order");
        assert!(looks.get() <= 30, "{} looks at {n}", looks.get());
        taken.insert(free);
    }
    taken.remove(&77);
    let free = free_number(|n| Ok(!taken.contains(&n))).unwrap();
    assert!(!taken.contains(&free));
}

#[test]
fn a_rename_that_is_said_to_fail_and_was_done_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    let failed = || Err(io::Error::other("no answer"));
    fs::write(&from, "").unwrap();
    assert!(done_all_the_same(failed(), &from, &to).is_err());
    fs::rename(&from, &to).unwrap();
    assert!(done_all_the_same(failed(), &from, &to).is_ok());
    fs::remove_file(&to).unwrap();
    assert!(done_all_the_same(failed(), &from, &to).is_err());
}
