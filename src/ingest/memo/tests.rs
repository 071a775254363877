use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;

use super::record::Noted;
use super::*;
use crate::delivery::{Config, Lanes, Peer, Place, Producer, Submitted, fingerprint, known_by};
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{IdempotencyKey, LaneKey};

/// Lanes that send batches, and the memo of what they send.
struct Story {
    dir: tempfile::TempDir,
    lanes: Lanes<()>,
    memo: Memo,
    now: Instant,
}

impl Story {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let (memo, left) = open(&dir);
        assert_eq!(left.batches, []);
        let mut lanes = Lanes::new(Config::default());
        lanes.handle_connected(Peer {
            batches: true,
            window: 1000,
        });
        let now = Instant::now();
        Self {
            dir,
            lanes,
            memo,
            now,
        }
    }

    /// Sends effects `numbers` as one batch.
    fn send(&mut self, numbers: &[u8]) -> RequestId {
        for n in numbers {
            let effect = SideEffect {
                id: EffectId::from_bytes([*n; 16]),
                lane: LaneKey::new(numbers[0].to_string()),
                route: None,
                key: IdempotencyKey::Uuid(Uuid::from_bytes([*n; 16])),
                operation: Operation::Publish {
                    channel: "c".into(),
                    event: "e".into(),
                    payload: Bytes::new().into(),
                },
                bytes: 1,
                is_ordered: false,
            };
            let place = Place {
                arrival: (*n).into(),
                producer: Producer(0),
            };
            self.lanes
                .handle_submit(Submitted::new(effect, place, (), self.now));
        }
        let request = self.lanes.poll_request(self.now).expect("sent");
        assert_eq!(request.effects.len(), numbers.len());
        self.memo.handle_sent(0, &request, at());
        self.memo.flush();
        request.id
    }

    /// The lanes lose their connection, and have another.
    fn connect_again(&mut self) {
        self.lanes.handle_disconnected(self.now);
        self.lanes.handle_connected(Peer {
            batches: true,
            window: 1000,
        });
    }

    /// Sends what was sent and not answered once more, under a new id.
    fn send_again(&mut self) -> RequestId {
        self.send_again_at(at())
    }

    fn send_again_at(&mut self, at: BootTime) -> RequestId {
        self.connect_again();
        let request = self.lanes.poll_request(self.now).expect("again");
        self.memo.handle_sent(0, &request, at);
        self.memo.flush();
        request.id
    }

    fn accept(&mut self, id: RequestId) {
        self.memo.handle_accepted(0, id, at());
        self.memo.flush();
        self.lanes.handle_accepted(id);
    }

    /// What the next life finds: the numbers of each batch, and whether it was
    /// accepted.
    fn left(&self) -> Vec<(Vec<u8>, bool)> {
        self.left_at(at())
    }

    fn left_at(&self, at: BootTime) -> Vec<(Vec<u8>, bool)> {
        let (_, left) = Memo::open(&place(self.dir.path(), "boot"), at);
        let numbers = |batch: &Batch| batch.entries.iter().map(|e| e.id.as_bytes()[0]).collect();
        let batches = left.batches.iter();
        let told = batches.map(|batch| (numbers(batch), batch.is_accepted));
        told.collect()
    }

    /// An effect is published, and the daemon is about to be told.
    fn publish(&mut self, n: u8, key: u8) -> Done {
        let done = done(n, key);
        self.memo.handle_done(done, at());
        self.memo.flush();
        done
    }

    /// What the next life is told of effect `n`, if it has that key and payload.
    fn knows(&self, n: u8, key: u8, payload: u8) -> Known {
        let (_, left) = open(&self.dir);
        let mut admission = Admission::new();
        left.tell(&mut admission);
        let effect = message(n, key, payload);
        let admitted = admission.handle_submit(effect, Producer(0), (), at());
        let answer = admission.poll_answer().map(|answer| answer.outcome);
        match (admitted, answer) {
            (Some(_), None) => Known::Not,
            (None, Some(Ok(()))) => Known::Done,
            (None, Some(Err(_))) => Known::Conflict,
            both => panic!("{both:?}"),
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.dir.path()).expect("listed").flatten();
        files.map(|file| file.path()).collect()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Known {
    Not,
    Done,
    Conflict,
}

/// A message under an id, with a key that names it, and a payload.
fn message(n: u8, key: u8, payload: u8) -> SideEffect {
    SideEffect {
        id: EffectId::from_bytes([n; 16]),
        lane: LaneKey::new("lane"),
        route: None,
        key: IdempotencyKey::Uuid(Uuid::from_bytes([key; 16])),
        operation: Operation::Publish {
            channel: "c".into(),
            event: "e".into(),
            payload: Bytes::from(vec![payload]).into(),
        },
        bytes: 1,
        is_ordered: false,
    }
}

/// Message `n`, whose payload says so, is published.
fn done(n: u8, key: u8) -> Done {
    let effect = message(n, key, n);
    Done {
        id: effect.id,
        known_by: known_by(&effect),
        fingerprint: fingerprint(&effect),
    }
}

fn open(dir: &tempfile::TempDir) -> (Memo, Left) {
    Memo::open(&place(dir.path(), "boot"), at())
}

fn place(dir: &Path, boot_id: &str) -> MemoPlace {
    MemoPlace::new(dir.to_owned(), boot_id.to_owned())
}

fn at() -> BootTime {
    BootTime::from_ms(1_000_000)
}

fn after(seconds: u64) -> BootTime {
    at().after(Duration::from_secs(seconds))
}

#[test]
fn the_next_life_finds_what_was_sent_and_what_was_accepted() {
    let mut story = Story::new();
    let first = story.send(&[1, 2]);
    story.send(&[3, 4, 5]);
    story.accept(first);
    let expected = [(vec![1, 2], true), (vec![3, 4, 5], false)];
    assert_eq!(story.left(), expected);
    assert_eq!(story.left(), expected, "and the life after it");
}

#[test]
fn a_message_that_went_out_alone_goes_out_alone_again() {
    let mut story = Story::new();
    story.send(&[1]);
    assert_eq!(story.left(), [(vec![1], false)]);
}

#[test]
fn the_same_keys_sent_over_two_ways_are_two_batches() {
    let mut story = Story::new();
    let first = story.send(&[1, 2]);
    let request = RequestId::clone(&first);
    let batch = |story: &mut Story, way: usize| {
        story.lanes.handle_disconnected(story.now);
        story.lanes.handle_connected(Peer {
            batches: true,
            window: 1000,
        });
        let request = story.lanes.poll_request(story.now).expect("again");
        story.memo.handle_sent(way, &request, at());
        story.memo.flush();
        request.id
    };
    let other = batch(&mut story, 1);
    story.memo.handle_accepted(1, other, at());
    story.memo.flush();
    assert_ne!(request, other);
    let expected = [(vec![1, 2], false), (vec![1, 2], true)];
    assert_eq!(story.left(), expected);
}

#[test]
fn what_was_published_is_known_to_the_next_life_by_its_id_and_by_its_key() {
    let mut story = Story::new();
    story.publish(1, 7);
    story.publish(2, 2);
    assert_eq!(story.knows(1, 7, 1), Known::Done);
    assert_eq!(story.knows(3, 7, 3), Known::Done, "under another id");
    assert_eq!(story.knows(1, 7, 9), Known::Conflict, "other bytes");
    assert_eq!(story.knows(2, 2, 2), Known::Done);
    assert_eq!(story.knows(4, 2, 2), Known::Not, "that key was its id");
    assert_eq!(story.knows(5, 5, 5), Known::Not);
}

#[test]
fn a_life_goes_on_where_the_last_one_was_cut_off() {
    let mut story = Story::new();
    story.publish(1, 7);
    let path = story.memo.files.newest().to_owned();
    let mut torn = fs::read(&path).expect("reads");
    torn.extend(&torn.clone()[..20]);
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
fn the_latest_that_was_published_outlives_every_turn_of_the_files() {
    let mut story = Story::new();
    let small = MemoPlace {
        file_bytes_max: 4096,
        ..place(story.dir.path(), "boot")
    };
    story.memo = Memo::open(&small, at()).0;
    for n in 0..u8::MAX {
        story.publish(n, n);
        story.publish(n, 255);
        assert_eq!(story.knows(n, n, n), Known::Done);
        for file in story.files() {
            assert!(file.metadata().expect("a file").len() <= 4096);
        }
    }
    // One file holds 30 of them in any case, and the two do not hold 120.
    assert_eq!(story.knows(240, 240, 240), Known::Done);
    assert_eq!(story.knows(130, 130, 130), Known::Not);
}

#[test]
fn a_turn_that_was_cut_off_costs_nothing() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    story.publish(3, 3);
    let before = story.left();
    let new = story.memo.files.newest().with_extension("new");
    fs::write(&new, record::begun(9)).expect("writes");
    assert_eq!(story.left(), before);
    assert_eq!(story.knows(3, 3, 3), Known::Done);
    assert!(!new.exists());
}

#[test]
fn batches_that_are_refused_again_and_again_are_not_carried_on() {
    let mut story = Story::new();
    for _ in 0..20_000 {
        let id = story.send(&(1..=32).collect::<Vec<u8>>());
        story.memo.handle_refused(0, id);
        story.lanes.handle_accepted(id);
    }
    assert!(story.memo.unaccepted.is_empty());
    assert!(story.memo.files.with(0) <= FILE_BYTES_MAX);
}

#[test]
fn a_late_refusal_does_not_take_back_that_a_batch_went_out_again() {
    let mut story = Story::new();
    let first = story.send(&[1, 2]);
    let again = story.send_again();
    story.memo.handle_refused(0, first);
    assert_eq!(story.memo.unaccepted.len(), 1, "it is carried on");

    story.accept(again);
    assert_eq!(story.left(), [(vec![1, 2], true)]);
}

#[test]
fn a_batch_that_goes_out_again_is_kept_for_as_long_as_it_is_known_from_then() {
    for is_refused in [true, false] {
        let mut story = Story::new();
        let first = story.send(&[1, 2]);
        story.send(&[3]);
        if is_refused {
            story.memo.handle_refused(0, first);
        }
        story.send_again_at(after(149));
        let expected = [(vec![1, 2], false)];
        assert_eq!(story.left_at(after(151)), expected, "{is_refused}");
        assert_eq!(story.left_at(after(298)), expected, "and the life after it");
        assert_eq!(story.left_at(after(299)), []);
    }
}

#[test]
fn the_batch_that_went_out_last_is_the_newest() {
    let story = Story::new();
    let entry = |n| Entry {
        id: EffectId::from_bytes([n; 16]),
        key: Uuid::from_bytes([n; 16]),
    };
    let sends = [(1, 0), (2, 40), (1, 80)];
    let records = sends.map(|(n, seconds)| {
        let name = Uuid::from_u128(n.into());
        sent(name, after(seconds), &[entry(n)])
    });
    let path = story.memo.files.newest();
    let whole = [fs::read(path).expect("reads"), records.concat()].concat();
    fs::write(path, whole).expect("writes");
    assert_eq!(
        story.left_at(after(81)),
        [(vec![2], false), (vec![1], false)]
    );
}

#[test]
fn a_batch_that_goes_out_again_and_again_is_not_noted_each_time() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    let once = story.memo.files.with(0);
    story.connect_again();
    let mut request = story.lanes.poll_request(story.now).expect("again");
    for seconds in 1..=30 {
        assert_eq!(story.memo.files.with(0), once, "until {seconds} s");
        request.id = format!("0.1.{seconds}").parse().expect("an id");
        story.memo.handle_sent(0, &request, after(seconds));
        story.memo.flush();
    }
    assert!(once < story.memo.files.with(0));
    // What went out at 29 s is known until 149 s.
    assert_eq!(story.left_at(after(149)), [(vec![1, 2], false)]);
}

#[test]
fn requests_that_nobody_answers_are_not_counted_for_ever() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    story.connect_again();
    let mut request = story.lanes.poll_request(story.now).expect("again");
    for seconds in 0..2000 {
        request.id = format!("0.1.{seconds}").parse().expect("an id");
        story.memo.handle_sent(0, &request, after(seconds));
        story.memo.flush();
        let open = story.memo.open.len();
        assert!(open <= 2 * 150 + 1, "{open} after {seconds} s");
        assert!(story.memo.open.contains_key(&(0, request.id)));
    }
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
        assert!(bytes <= FILE_BYTES_MAX as u64 + 4096, "{bytes}");
    }
    assert!(story.left().contains(&(open, false)));
}

#[test]
fn a_damaged_or_cut_file_is_read_up_to_the_damage() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    story.send(&[3, 4]);
    let path = story.memo.files.newest().to_owned();
    let whole = fs::read(&path).expect("read");
    let whole = &whole[record::begun(1).len()..];
    for end in 0..whole.len() {
        let told = |bytes: &[u8]| {
            let mut noted = Noted::default();
            noted.read(bytes);
            noted.batches.len()
        };
        assert_eq!(told(&whole[..end]), end / (whole.len() / 2));
        let mut flipped = whole.to_vec();
        flipped[end] ^= 1;
        assert!(told(&flipped) < 2);
    }
}

#[test]
fn wherever_the_writing_is_cut_nothing_else_is_taken_for_what_was_published() {
    let mut story = Story::new();
    let request = story.send(&[1]);
    let path = story.memo.files.newest().to_owned();
    let before = fs::read(&path).expect("read").len();
    story.memo.handle_accepted(0, request, at());
    story.publish(1, 1);
    let whole = fs::read(&path).expect("read");
    for end in before..=whole.len() {
        fs::write(&path, &whole[..end]).expect("written");
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
