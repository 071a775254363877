//! Which file it is, and how far it was taken.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::journal::Note;
use crate::protocol::id::{EffectId, named};

/// Bytes that tell a file from another that has its inode.
pub(super) const HEAD_BYTES: usize = 64;

/// Bytes before the place that tell whether they are those that were taken.
pub(super) const TAIL_BYTES: usize = 64;

/// The namespace of everything that is derived from a file.
const NAMESPACE: Uuid = Uuid::from_u128(0x3f0c_5f5e_9d0b_5c61_8a53_7c1d_90e2_46b8);

/// Where a file stands in its file system, whatever it is called.
///
/// Its device is left out: that number may be another after a reboot, and all
/// of an inbox is on one device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Inode {
    pub ino: u64,
    /// When it was made, in nanoseconds since the epoch, or 0 where nobody can
    /// say: an inode is used again.
    pub born: u64,
}

/// A file, however it grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    #[serde(flatten)]
    pub inode: Inode,
    /// Hash of its first 64 bytes, or of its first line if that is shorter, so
    /// that nothing appended changes it.
    head: Uuid,
}

/// How far a file was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Progress {
    #[serde(flatten)]
    pub file: Identity,
    /// The first byte that was not taken; behind an LF, or the end of a file
    /// that has none there.
    pub at: u64,
    /// What stood before that place; older notes do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tail: Option<Tail>,
}

/// Hash of the last bytes that were taken: a file that was written anew under
/// its inode may begin as before, and be longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Tail(Uuid);

impl Tail {
    /// Of at most [`TAIL_BYTES`].
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(named(&NAMESPACE, &[bytes]))
    }
}

impl Identity {
    /// The file whose first bytes are `head`; `None` until they tell it from
    /// others.
    pub(super) fn new(inode: Inode, head: &[u8]) -> Option<Self> {
        let line = memchr::memchr(b'\n', head).map(|end| end + 1);
        match line {
            Some(length) => Some(Self::of(inode, &head[..length])),
            None if head.len() >= HEAD_BYTES => Some(Self::of(inode, head)),
            None => None,
        }
    }

    fn of(inode: Inode, head: &[u8]) -> Self {
        let head = &head[..head.len().min(HEAD_BYTES)];
        let head = named(&NAMESPACE, &[head]);
        Self { inode, head }
    }

    /// The file whose only bytes are `line`, which will get no LF; the same as
    /// with it.
    pub(super) fn of_line(inode: Inode, line: &[u8]) -> Self {
        Self::of(inode, &[line, b"\n"].concat())
    }

    /// The id of the effect in the line at `at`: the same whenever it is read.
    pub(super) fn effect_id(&self, at: u64, line: &[u8]) -> EffectId {
        let mut name = Vec::with_capacity(48 + line.len());
        for number in [self.inode.ino, self.inode.born, at] {
            name.extend(number.to_le_bytes());
        }
        name.extend(self.head.as_bytes());
        name.extend(line);
        named(&NAMESPACE, &[&name]).into()
    }
}

impl Progress {
    /// For the journal.
    pub(super) fn note(&self) -> Note {
        let text = serde_json::to_string(self).unwrap_or_default();
        let (id, text) = (self.note_id(), text.into());
        Note { id, text }
    }

    /// What makes the journal forget it.
    pub(super) fn no_note(&self) -> Note {
        let (id, text) = (self.note_id(), "".into());
        Note { id, text }
    }

    /// Whether the journal's note is the one that [`Self::note`] replaces; one
    /// that named a device too is not.
    pub(super) fn has_note(&self, note: &Note) -> bool {
        self.note_id() == note.id
    }

    /// What the journal remembered.
    pub(super) fn read(note: &Note) -> Option<Self> {
        serde_json::from_str(&note.text).ok()
    }

    fn note_id(&self) -> Uuid {
        let ino = self.file.inode.ino;
        named(&NAMESPACE, &[ino.to_string().as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INODE: Inode = Inode { ino: 2, born: 3 };

    #[test]
    fn a_file_is_the_same_however_it_grows_and_another_as_soon_as_it_begins_otherwise() {
        assert_eq!(Identity::new(INODE, b"{\"half a li"), None);
        let one = Identity::new(INODE, b"{}\n").unwrap();
        assert_eq!(Identity::new(INODE, b"{}\n{\"more\":1}\n"), Some(one));
        assert_ne!(Identity::new(INODE, b"[]\n"), Some(one));
        let born = Inode { born: 4, ..INODE };
        assert_ne!(Identity::new(born, b"{}\n"), Some(one));
        let long = [b'a'; HEAD_BYTES];
        let grown = [b'a'; HEAD_BYTES + 9];
        assert!(Identity::new(INODE, &long).is_some());
        assert_eq!(Identity::new(INODE, &long), Identity::new(INODE, &grown));
    }

    #[test]
    fn a_file_without_an_lf_is_the_same_once_it_has_one() {
        for length in [1, 62, 63, 64, 65, 200] {
            let line = vec![b'a'; length];
            let with_lf = [&line[..], b"\n{}\n"].concat();
            let same = Identity::new(INODE, &with_lf[..with_lf.len().min(HEAD_BYTES)]);
            assert_eq!(
                Some(Identity::of_line(INODE, &line)),
                same,
                "{length} bytes"
            );
        }
    }

    #[test]
    fn a_note_that_names_a_device_too_is_read_and_found_again_without_it() {
        let file = Identity::new(INODE, b"{}\n").unwrap();
        let (at, tail) = (3, None);
        let progress = Progress { file, at, tail };
        let note = progress.note();
        let text = note.text.replacen('{', r#"{"dev":7,"#, 1).into();
        let id = named(&NAMESPACE, &[b"7:2"]);
        let older = Note { id, text };
        assert_eq!(Progress::read(&older), Some(progress));
        assert!(progress.has_note(&note) && !progress.has_note(&older));
    }

    #[test]
    fn progress_comes_back_from_its_note() {
        let file = Identity::new(INODE, b"{}\n").unwrap();
        let tail = Some(Tail::of(b"{}\n"));
        let progress = Progress { file, at: 3, tail };
        assert_eq!(Progress::read(&progress.note()), Some(progress));
        assert_eq!(progress.note().id, progress.no_note().id);
    }
}
