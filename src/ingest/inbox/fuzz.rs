//! What fuzzers may call; compiled for them only.

use uuid::Uuid;

use super::cut::{Cut, cut, cut_last};
use super::progress::{Identity, Inode, Progress};
use crate::journal::Note;
use crate::protocol::envelope::Routing;

/// A file that is read as it grows gives the effects that it gives when it is
/// read at once, each with the same id.
pub fn lines(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let inode = Inode { ino: 1, born: 2 };
    let Some(file) = Identity::new(inode, data) else {
        return;
    };
    let routing = Routing::for_device("d");
    let read = |from: usize, to: usize| -> (Vec<Found>, usize) {
        let (mut found, mut at) = (Vec::new(), from);
        loop {
            let piece = cut(&data[at..to], at as u64, &file, &routing);
            let end = usize::try_from(piece.end).expect("in memory");
            assert!(at <= end && end <= to);
            found.extend(told(piece));
            if end == at {
                return (found, at);
            }
            at = end;
        }
    };
    let (at_once, end) = read(0, data.len());
    assert!(data[end..].iter().all(|byte| *byte != b'\n'));
    let (mut grown, at) = read(0, data.len() * usize::from(first) / 256);
    grown.extend(read(at, data.len()).0);
    assert_eq!(grown, at_once);
    let last = cut_last(&data[end..], end as u64, &file, &routing);
    assert!(last.is_none_or(|last| last.end == data.len() as u64));
}

/// Where it stands, and the effect's id or why it is none.
type Found = (u64, String);

fn told(cut: Cut) -> Vec<Found> {
    let lines = cut.lines.into_iter();
    let lines = lines.map(|line| (line.at, line.effect.id.to_string()));
    let rejects = cut.rejects.into_iter().map(|no| (no.at, no.reason));
    let mut told: Vec<Found> = lines.chain(rejects).collect();
    told.sort();
    told
}

/// What the journal remembers of a file reads as one place or as none.
pub fn place(text: &str) {
    let id = Uuid::nil();
    let note = Note {
        id,
        text: text.into(),
    };
    if let Some(progress) = Progress::read(&note) {
        assert_eq!(Progress::read(&progress.note()), Some(progress));
    }
}
