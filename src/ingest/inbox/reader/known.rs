//! How far each file was taken: what the journal remembers, and when it forgets.

use std::collections::HashSet;

use tracing::debug;

use super::super::Stop;
use super::super::folder::Counted;
use super::super::progress::{Inode, Progress};
use super::{Next, Reader};
use crate::journal::Note;

/// What is known of a file.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) progress: Progress,
    /// Its lines, as far as they were counted.
    pub(super) counted: Counted,
    /// It was not there when last looked for.
    is_absent: bool,
}

impl Known {
    pub(super) fn new(progress: Progress) -> Self {
        Self {
            progress,
            counted: Counted::default(),
            is_absent: false,
        }
    }

    /// The same, with its lines counted so far.
    pub(super) fn counted(self, counted: Counted) -> Self {
        Self { counted, ..self }
    }
}

impl Reader {
    /// Takes over what the journal remembers.
    pub(in super::super) fn remember(&mut self, notes: &[Note]) {
        for note in notes {
            let Some(progress) = Progress::read(note) else {
                continue;
            };
            let inode = progress.file.inode;
            if progress.has_note(note) {
                self.known.insert(inode, Known::new(progress));
            } else {
                self.older.push((note.id, inode));
                let known = || Known::new(progress);
                self.known.entry(inode).or_insert_with(known);
            }
        }
    }

    /// Writes notes of old again, under the ids they have now.
    pub(super) async fn renew(&mut self) -> Result<Next, Stop> {
        while let Some((id, inode)) = self.older.last().copied() {
            if let Some(known) = self.known.get(&inode) {
                let note = known.progress.note();
                if !self.offers.offer(&[], note).await?.is_noted {
                    return Ok(Next::Soon);
                }
            }
            let text = "".into();
            if !self.offers.offer(&[], Note { id, text }).await?.is_noted {
                return Ok(Next::Soon);
            }
            self.older.pop();
        }
        Ok(Next::Never)
    }

    /// Forgets files that are gone; only when they are missed twice, because one
    /// that is being renamed may be in no listing.
    pub(super) async fn forget(&mut self, there: &HashSet<Inode>) -> Result<Next, Stop> {
        let mut next = Next::Never;
        let mut gone = Vec::new();
        for (inode, known) in &mut self.known {
            let was_absent = known.is_absent;
            known.is_absent = !there.contains(inode);
            if known.is_absent && was_absent {
                gone.push(*inode);
            } else if known.is_absent {
                next = Next::Soon;
            }
        }
        for inode in gone {
            self.forget_one(inode).await?;
        }
        Ok(next)
    }

    pub(super) async fn forget_one(&mut self, inode: Inode) -> Result<(), Stop> {
        let Some(known) = self.known.remove(&inode) else {
            return Ok(());
        };
        // Another file may have the inode, and the note.
        if self.known.keys().any(|other| other.ino == inode.ino) {
            return Ok(());
        }
        let offered = self.offers.offer(&[], known.progress.no_note()).await?;
        if !offered.is_noted {
            debug!("The journal still remembers a file that is gone.");
        }
        Ok(())
    }
}
