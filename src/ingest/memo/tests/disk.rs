//! The files: whole, cut, damaged, of others, on a disk without room.

use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
fn a_life_goes_on_where_the_last_one_was_cut_off() {
    let mut story = Story::new();
    story.publish(1, 7);
    let (path, end) = story.end();
    let mut torn = fs::read(&path).expect("reads");
    torn.copy_within(..20, end);
    fs::write(&path, torn).expect("writes");
    story.memo = open(&story.dir).0;
    story.publish(2, 8);
    assert_eq!(story.knows(3, 7, 3), Known::Done);
    assert_eq!(story.knows(3, 8, 3), Known::Done);
}

#[test]
fn what_an_earlier_program_noted_is_read() {
    let mut story = Story::new();
    for file in story.files() {
        fs::remove_file(file).expect("removes");
    }
    let entries = [1, 2].map(|n| Entry {
        id: EffectId::from_bytes([n; 16]),
        key: Uuid::from_bytes([n; 16]),
    });
    let mut bytes = sent(Uuid::from_u128(1), at(), &entries[..1]);
    record::accepted(&mut bytes, Uuid::from_u128(1), at());
    bytes.extend(sent(Uuid::from_u128(2), at(), &entries[1..]));
    record::seal(&mut bytes, 0);
    fs::write(story.dir.path().join("batches-boot.0"), bytes).expect("writes");
    assert_eq!(story.knows(1, 1, 1), Known::Done);
    assert_eq!(story.knows(2, 2, 2), Known::Not);
    // The first look has begun a file of our kind, and left the other alone.
    story.memo = open(&story.dir).0;
    story.publish(3, 7);
    let left = [(vec![1], true), (vec![2], false)];
    assert_eq!(story.left()[..], left);
    assert_eq!(story.knows(4, 7, 4), Known::Done);
}

#[test]
fn a_turn_that_is_cut_off_anywhere_costs_nothing() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    story.memo.turn();
    story.publish(3, 3);
    let before = story.left();
    let newest = story.memo.files.newest().to_owned();
    let older = story.files().into_iter().find(|path| *path != newest);
    let older = older.expect("there are two");
    let was = fs::read(&older).expect("reads");
    story.memo.turn();
    let begun = fs::read(&older).expect("reads");
    let (path, end) = story.end();
    assert_eq!(path, older, "it was begun in its place");
    for cut in 0..=end + record::END.len() {
        fs::write(&older, [&begun[..cut], &was[cut..]].concat()).expect("writes");
        assert_eq!(story.left(), before, "cut at {cut}");
        assert_eq!(story.knows(3, 3, 3), Known::Done, "cut at {cut}");
    }
}

#[test]
fn both_files_have_all_their_room_from_the_start_and_keep_it() {
    let mut story = Story::new();
    let has_room = |story: &Story| {
        let files = story.files();
        assert_eq!(files.len(), 2);
        for meta in files.iter().map(|file| file.metadata().expect("a file")) {
            assert_eq!(meta.len(), ROOM as u64);
            // Elsewhere they may be counted later.
            assert!(!cfg!(target_os = "linux") || meta.len() <= meta.blocks() * 512);
        }
    };
    has_room(&story);
    for n in 0..3 {
        story.send(&[10 * n, 10 * n + 1]);
        story.memo.turn();
        has_room(&story);
    }
    let inodes = |story: &Story| {
        let inodes = story.files().into_iter();
        let mut inodes: Vec<_> = inodes
            .map(|f| f.metadata().expect("a file").ino())
            .collect();
        inodes.sort_unstable();
        inodes
    };
    let before = inodes(&story);
    let next = Memo::open(&place(story.dir.path(), "next boot"), at()).1;
    assert_eq!((next.batches, next.done), (vec![], vec![]));
    assert_eq!(inodes(&story), before, "the next boot has it, too");
    has_room(&story);
}

#[test]
fn what_a_file_held_before_it_was_begun_anew_is_none_of_its_records() {
    let mut story = Story::new();
    for n in 0..4 {
        story.publish(n, n);
    }
    story.memo.turn();
    story.memo.turn();
    let (path, end) = story.end();
    let mut bytes = fs::read(&path).expect("reads");
    // As if the end behind the last record had not been written.
    let first = record::begun(1).len();
    assert_eq!(end, first, "there is nothing in it");
    assert_ne!(
        bytes[end + record::END.len()..][..8],
        [0; 8],
        "but what was"
    );
    let mut done = Vec::new();
    record::done(&mut done, at(), &[super::done(9, 9)]);
    record::seal(&mut done, 1);
    bytes[end..end + done.len()].copy_from_slice(&done);
    let (noted, read) = read(&bytes[..], PIECE);
    assert_eq!((noted.done, read), (vec![], end));
}

#[test]
fn old_batches_and_those_of_another_boot_are_forgotten() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    let later = at().after(KEPT);
    let left = |boot, now| Memo::open(&place(story.dir.path(), boot), now).1;
    assert_eq!(left("boot", later).batches, []);

    let mut story = Story::new();
    story.send(&[1, 2]);
    story.publish(3, 3);
    let left = Memo::open(&place(story.dir.path(), "other"), at()).1;
    assert_eq!((left.batches, left.done), (vec![], vec![]));
    let is_other = |path: &PathBuf| path.to_string_lossy().contains("other");
    assert!(story.files().iter().all(is_other));
}

#[test]
fn the_files_stay_bounded_and_what_is_open_is_carried_over() {
    let mut story = Story::new();
    let open: Vec<u8> = (1..=30).collect();
    story.send(&open);
    for _ in 0..20_000 {
        let id = story.send(&(31..=62).collect::<Vec<u8>>());
        story.accept(id);
    }
    for file in story.files() {
        let bytes = file.metadata().expect("a file").len();
        assert!(bytes <= ROOM as u64 + 4096, "{bytes}");
    }
    assert!(story.left().contains(&(open, false)));
}

#[test]
fn a_damaged_or_cut_file_is_read_up_to_the_damage() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    story.send(&[3, 4]);
    let (path, end) = story.end();
    let whole = &fs::read(&path).expect("read")[..end];
    let head = record::begun(1).len();
    let told = |bytes: &[u8]| read(bytes, PIECE).0.batches.len();
    for at in head..end {
        assert_eq!(told(&whole[..at]), (at - head) / ((end - head) / 2));
        let mut flipped = whole.to_vec();
        flipped[at] ^= 1;
        assert!(told(&flipped) < 2);
    }
}

#[test]
fn wherever_the_writing_is_cut_nothing_else_is_taken_for_what_was_published() {
    let mut story = Story::new();
    let request = story.send(&[1]);
    let (path, before) = story.end();
    let was = fs::read(&path).expect("read");
    story.memo.handle_accepted(0, request, at());
    story.publish(1, 1);
    let whole = fs::read(&path).expect("read");
    for end in before..=story.end().1 {
        fs::write(&path, [&whole[..end], &was[end..]].concat()).expect("written");
        assert_ne!(story.knows(1, 1, 9), Known::Done, "cut at {end}");
    }
    fs::write(&path, &whole).expect("written");
    assert_eq!(story.knows(1, 1, 1), Known::Done);
}

#[test]
fn without_a_place_to_write_nothing_is_noted_and_nothing_fails() {
    let (mut memo, left) = Memo::open(&place(Path::new("/nonexistent"), "boot"), at());
    assert_eq!((left.batches, left.done), (vec![], vec![]));
    memo.handle_done(done(1, 1), at());
    memo.flush();
    assert!(!memo.files.is_open());
}

#[test]
fn a_trouble_is_told_once_until_it_is_another_or_over() {
    let mut story = Story::new();
    let errors = [io::ErrorKind::StorageFull, io::ErrorKind::FileTooLarge];
    let [full, limit] = errors.map(io::Error::from);
    assert!(story.memo.tell(&full));
    assert!(!story.memo.tell(&full));
    assert!(story.memo.tell(&limit));
    assert!(story.memo.tell(&full));
    story.publish(1, 7);
    assert!(story.memo.tell(&full), "it was written meanwhile");
    let path = story.dir.path().to_owned();
    fs::remove_dir_all(&path).expect("removes");
    story.memo.turn();
    story.publish(2, 8);
    fs::create_dir(&path).expect("makes");
    story.memo.turn();
    let missing = io::Error::from_raw_os_error(nix::libc::ENOENT);
    assert!(!story.memo.tell(&missing), "nothing was written yet");
}

#[test]
fn a_disk_that_takes_some_again_is_written_again() {
    let mut story = Story::new();
    let path = story.dir.path().to_owned();
    fs::remove_dir_all(&path).expect("removes");
    story.memo.turn();
    fs::create_dir(&path).expect("makes");
    story.send(&[1, 2]);
    assert_eq!(story.left(), [], "it is left alone for a while");
    story.memo.failed_at = Some(BootTime::from_ms(at().to_ms() - 10_000));
    story.send(&[3, 4]);
    assert_eq!(story.left(), [(vec![3, 4], false)]);
}
