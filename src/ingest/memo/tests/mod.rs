//! A memo as the next lives find it.

mod batches;
mod disk;
mod pieces;
mod published;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use bytes::Bytes;

use super::left::Batch;
use super::noted::Noted;
use super::reading::{PIECE, Reading};
use super::*;
use crate::delivery::{
    Admission, Config, Lanes, Peer, Place, Producer, Submitted, fingerprint, known_by,
};
use crate::protocol::envelope::{Operation, SideEffect};
use crate::protocol::id::{EffectId, IdempotencyKey, LaneKey};

/// What a file holds here.
const ROOM: usize = 64 * 1024;

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
            let place = Place::new((*n).into(), Producer(0));
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
        let (_, mut left) = open(&self.dir);
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

    /// The file that is written, and where its records end.
    fn end(&self) -> (PathBuf, usize) {
        let files = &self.memo.files;
        (files.newest().to_owned(), files.with(0) - record::END.len())
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

/// What `file` tells of, and where that ends, read in pieces of so many bytes.
fn read(file: impl io::Read, piece: usize) -> (Noted, usize) {
    let mut noted = Noted::default();
    let mut file = Reading::begin(file, piece).expect("it can be read");
    let end = noted.read(&mut file).expect("it can be read");
    (noted, end)
}

fn open(dir: &tempfile::TempDir) -> (Memo, Left) {
    Memo::open(&place(dir.path(), "boot"), at())
}

fn place(dir: &Path, boot_id: &str) -> MemoPlace {
    MemoPlace {
        file_bytes_max: ROOM,
        ..MemoPlace::new(dir.to_owned(), boot_id.to_owned())
    }
}

fn at() -> BootTime {
    BootTime::from_ms(1_000_000)
}

fn after(seconds: u64) -> BootTime {
    at().after(Duration::from_secs(seconds))
}
