use super::*;

fn found(name: &str) -> Found {
    Found {
        name: name.into(),
        inode: Inode { ino: 1, born: 2 },
        shape: Shape {
            bytes: 9,
            modified: (0, 0),
        },
        is_calm: false,
    }
}

#[test]
fn a_line_without_its_end_is_told_after_a_while_in_which_nothing_came() {
    let mut holds = Holds::default();
    let begin = Instant::now();
    holds.wait(&found("a.jsonl"), 9, false, begin);
    holds.wait(&found("a.jsonl"), 12, false, begin + PATIENCE);
    assert!(holds.told().is_empty(), "somebody is still at it");
    holds.wait(&found("a.jsonl"), 12, false, begin + PATIENCE * 2);
    assert_eq!(holds.told()[0].file, "a.jsonl");
    holds.free(found("a.jsonl").inode);
    assert!(holds.told().is_empty());
}

#[test]
fn a_line_without_its_end_is_looked_for_again_only_in_a_file_that_has_changed() {
    let (mut holds, now) = (Holds::default(), Instant::now());
    let calm = Found {
        is_calm: true,
        ..found("external.jsonl")
    };
    assert_eq!(holds.waits_still(&calm), None, "it was never read");
    holds.wait(&found("external.jsonl"), 9, false, now);
    assert_eq!(
        holds.waits_still(&calm),
        None,
        "it was not calm when it was read"
    );
    holds.wait(&calm, 9, true, now);
    assert_eq!(holds.waits_still(&calm), Some(9));
    let mut grown = calm.clone();
    grown.shape.bytes = 10;
    let renamed = Found {
        name: "a.jsonl".into(),
        ..calm.clone()
    };
    for changed in [grown, renamed, found("external.jsonl")] {
        assert_eq!(holds.waits_still(&changed), None, "{changed:?}");
    }
    holds.fail(&calm, "no disk".to_owned());
    assert_eq!(holds.waits_still(&calm), None, "it was not read to its end");
}

#[test]
fn the_files_behind_a_dropped_one_wait_for_its_last_line_but_not_for_long() {
    let (mut holds, begin) = (Holds::default(), Instant::now());
    let (appended, dropped) = (found("external.jsonl"), found("a.jsonl"));
    holds.wait(&appended, 9, false, begin);
    assert!(!holds.holds_up(&appended, begin), "nothing is behind it");
    assert!(!holds.holds_up(&dropped, begin), "it was not read as such");
    let renamed = begin + PATIENCE;
    holds.wait(&dropped, 9, false, renamed);
    assert!(holds.holds_up(&dropped, renamed));
    let calm = Found {
        is_calm: true,
        ..dropped.clone()
    };
    assert!(
        holds.holds_up(&calm, renamed),
        "it was not so when it was read"
    );
    holds.wait(&calm, 9, true, renamed);
    assert!(!holds.holds_up(&calm, renamed), "it waits by itself");
    let last = renamed + OTHERS_PATIENCE;
    holds.wait(&dropped, 12, false, last - Duration::from_secs(1));
    assert!(holds.holds_up(&dropped, last - Duration::from_millis(1)));
    assert!(!holds.holds_up(&dropped, last), "it changes all the while");
    holds.free(dropped.inode);
    holds.wait(&dropped, 15, false, last);
    assert!(holds.holds_up(&dropped, last), "it was read to its end");
    holds.fail(&dropped, "no disk".to_owned());
    assert!(!holds.holds_up(&dropped, last));
}

#[test]
fn a_file_that_is_not_read_is_told_at_once_and_by_its_name_of_now() {
    let mut holds = Holds::default();
    holds.refuse(&found("a.jsonl"), "it is a symbolic link");
    holds.refuse(&found("b.jsonl"), "it is a symbolic link");
    let told = holds.told();
    assert_eq!((told.len(), told[0].file.as_str()), (1, "b.jsonl"));
    holds.retain(&HashSet::new());
    assert!(holds.told().is_empty());
}
