use std::time::Instant;

use bytes::Bytes;

use super::*;
use crate::delivery::{Config, Lanes, Peer, Place, Producer};
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
        assert_eq!(left, []);
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
                    payload: Bytes::new(),
                },
                bytes: 1,
                is_ordered: false,
            };
            let place = Place {
                arrival: (*n).into(),
                producer: Producer(0),
            };
            self.lanes.handle_submit(effect, place, (), self.now);
        }
        let request = self.lanes.poll_request(self.now).expect("sent");
        assert_eq!(request.effects.len(), numbers.len());
        self.memo.handle_sent(0, &request, at());
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
        let (_, left) = open(&self.dir);
        let numbers = |batch: &Batch| batch.entries.iter().map(|e| e.id.as_bytes()[0]).collect();
        left.iter()
            .map(|batch| (numbers(batch), batch.is_accepted))
            .collect()
    }
}

fn open(dir: &tempfile::TempDir) -> (Memo, Vec<Batch>) {
    Memo::open(dir.path(), "boot", at())
}

fn at() -> BootTime {
    BootTime::from_ms(1_000_000)
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
fn batches_that_are_refused_again_and_again_are_not_carried_on() {
    let mut story = Story::new();
    for _ in 0..20_000 {
        let id = story.send(&(1..=32).collect::<Vec<u8>>());
        story.memo.handle_refused(0, id);
        story.lanes.handle_accepted(id);
    }
    assert!(story.memo.unaccepted.is_empty());
    assert!(story.memo.written <= FILE_BYTES_MAX);
}

#[test]
fn old_batches_and_those_of_another_boot_are_forgotten() {
    let mut story = Story::new();
    story.send(&[1, 2]);
    let later = at().after(KEPT);
    assert_eq!(Memo::open(story.dir.path(), "boot", later).1, []);

    let mut story = Story::new();
    story.send(&[1, 2]);
    assert_eq!(Memo::open(story.dir.path(), "other", at()).1, []);
    let names = fs::read_dir(story.dir.path()).expect("listed").flatten();
    assert!(
        names
            .into_iter()
            .all(|f| f.file_name().to_string_lossy().contains("other"))
    );
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
    let files = fs::read_dir(story.dir.path()).expect("listed").flatten();
    for file in files {
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
    let path = in_turn(&story.memo.paths)[0].clone();
    let whole = fs::read(&path).expect("read");
    for end in 0..whole.len() {
        let told = |bytes: &[u8]| {
            let mut noted = Noted::default();
            noted.read(bytes);
            noted.batches.len()
        };
        assert_eq!(told(&whole[..end]), end / (whole.len() / 2));
        let mut flipped = whole.clone();
        flipped[end] ^= 1;
        assert!(told(&flipped) < 2);
    }
}

#[test]
fn without_a_place_to_write_nothing_is_noted_and_nothing_fails() {
    let (mut memo, left) = Memo::open(Path::new("/nonexistent"), "boot", at());
    assert_eq!(left, []);
    memo.flush();
    assert!(memo.file.is_none());
}

#[test]
fn a_disk_that_takes_some_again_is_written_again() {
    let mut story = Story::new();
    let path = story.dir.path().to_owned();
    fs::remove_dir_all(&path).expect("removes");
    story.memo.begin(1);
    fs::create_dir(&path).expect("makes");
    story.send(&[1, 2]);
    assert_eq!(story.left(), [], "it is left alone for a while");
    story.memo.failed_at = Some(BootTime::from_ms(at().to_ms() - 10_000));
    story.send(&[3, 4]);
    assert_eq!(story.left(), [(vec![3, 4], false)]);
}
