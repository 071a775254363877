//! Has lines recorded, each with how far its file was taken by then.

use tokio::time::sleep;
use tracing::warn;

use super::super::blocking;
use super::super::cut::{Cut, Reject};
use super::super::folder::{Counted, FolderError, Found};
use super::super::progress::Progress;
use super::known::Known;
use super::{Halt, Reader};
use crate::clock;
use crate::ingest::dispatcher::Submission;
use crate::protocol::outbox::RejectedLine;

impl Reader {
    /// Has a piece recorded, however long that takes.
    pub(super) async fn record(
        &mut self,
        found: &Found,
        mut cut: Cut,
        progress: Progress,
    ) -> Result<(), Halt> {
        let mut refused = None;
        let known = self.known.get(&found.inode);
        let mut counted = known.map_or_else(Counted::default, |known| {
            known.counted.up_to(known.progress.at)
        });
        loop {
            let rejects = std::mem::take(&mut cut.rejects);
            counted = self.reject(found, rejects, counted).await?;
            if let Some(refused) = refused.take() {
                self.offers.count(Submission::Refused(refused)).await?;
            }
            let offered = self.offers.offer(&cut.lines, progress.note()).await?;
            if offered.is_noted {
                let taken = Submission::Taken(cut.lines.len() as u64);
                self.offers.count(taken).await?;
                self.tally.count_taken(cut.lines.len());
                self.tally.set_trouble(None);
                let known = Known::new(progress).counted(counted);
                self.known.insert(found.inode, known);
                return Ok(());
            }
            if let Some(failure) = offered.trouble() {
                self.tally.set_trouble(Some(failure.to_string()));
            }
            refused = offered.refused();
            sleep(offered.sort_out(&mut cut)).await;
        }
    }

    async fn reject(
        &self,
        found: &Found,
        mut rejects: Vec<Reject>,
        mut counted: Counted,
    ) -> Result<Counted, FolderError> {
        let count = rejects.len();
        // Lines that nobody took come behind those that are none.
        rejects.sort_unstable_by_key(|reject| reject.at);
        let Some(last) = rejects.last().map(|reject| reject.reason.clone()) else {
            return Ok(counted);
        };
        let (folder, file) = (self.folder.clone(), found.clone());
        let write = move || {
            let numbers = folder.reject(&file, &rejects, &mut counted)?;
            Ok::<_, FolderError>((numbers, counted))
        };
        let (numbers, counted) = blocking(write).await?;
        let file = found.name.to_string_lossy();
        let (first, number) = (numbers.first().copied().flatten(), numbers.last().copied());
        warn!(%file, line = first, count, "Lines of the inbox were rejected.");
        let last = RejectedLine {
            file: file.into_owned(),
            number: number.flatten(),
            reason: last,
            at_ms: clock::now_ms(),
        };
        self.tally.count_rejected(count, last);
        Ok(counted)
    }
}
