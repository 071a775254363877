//! The reader among its producers and its journal, and what must hold at the end.

use std::collections::{BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::journal::Journal;
use super::producers::{Act, Producers};
use super::*;
use crate::ingest::dispatcher::{Ack, Submission};
use crate::journal::Home;

/// Everybody.
pub(super) struct Story {
    producers: Producers,
    meanwhile: VecDeque<Act>,
    journal: Journal,
    reader: Reader,
    submitted: mpsc::Receiver<Submission>,
    acks: mpsc::Sender<Vec<Ack>>,
}

/// A life of the reader, and what it speaks to.
fn life(
    inbox: PathBuf,
    journal: &Journal,
) -> (Reader, mpsc::Receiver<Submission>, mpsc::Sender<Vec<Ack>>) {
    let (submit, submitted) = mpsc::channel(1);
    let (acks, acked) = mpsc::channel(8);
    let folder = Folder::open(inbox, Home::default()).unwrap();
    let offers = Offers::new(submit, acked);
    let routing = Routing::for_device("d");
    let mut reader = Reader::new(folder, routing, offers, Tally::default());
    let notes: Vec<_> = journal.notes.values().cloned().collect();
    reader.remember(&notes);
    (reader, submitted, acks)
}

impl Story {
    pub(super) fn new(folder: &Path) -> Self {
        let inbox = folder.join("inbox");
        let journal = Journal::default();
        let (reader, submitted, acks) = life(inbox.clone(), &journal);
        Self {
            producers: Producers::new(folder),
            meanwhile: VecDeque::new(),
            journal,
            reader,
            submitted,
            acks,
        }
    }

    fn restart(&mut self) {
        let inbox = self.producers.inbox.clone();
        (self.reader, self.submitted, self.acks) = life(inbox, &self.journal);
    }

    pub(super) async fn step(&mut self, step: Step) {
        match step {
            Step::Act(act) => self.producers.act(act, &self.journal),
            Step::ActMeanwhile(act) => self.meanwhile.push_back(act),
            Step::Next(fate) => self.journal.fates.push_back(fate),
            Step::Look => _ = self.look().await,
            Step::Restart => self.restart(),
        }
    }

    /// Looks once, unless it is killed in the midst of it.
    async fn look(&mut self) -> Next {
        let Self {
            producers,
            meanwhile,
            journal,
            reader,
            submitted,
            acks,
        } = self;
        let mut has_changed = false;
        let killed = async {
            loop {
                let Some(Submission::Piece(piece)) = submitted.recv().await else {
                    continue;
                };
                if let Some(act) = meanwhile.pop_front() {
                    producers.act(act, journal);
                    has_changed = true;
                }
                let Some(told) = journal.append(piece) else {
                    return;
                };
                if !told.is_empty() {
                    acks.send(told).await.unwrap();
                }
            }
        };
        let next = tokio::select! {
            biased;
            () = killed => None,
            next = reader.look() => Some(next.unwrap()),
        };
        match next {
            // The directory says so.
            Some(_) if has_changed => Next::Now,
            Some(next) => next,
            None => {
                self.restart();
                Next::Now
            }
        }
    }

    /// Nothing goes wrong any more: everything is taken in bounded time.
    pub(super) async fn end(&mut self) {
        self.journal.fates.clear();
        self.meanwhile.clear();
        self.producers.end_line();
        for _ in 0..60 {
            match self.look().await {
                Next::Never => return self.check(),
                Next::Soon => sleep(SOON).await,
                Next::Now => {}
            }
        }
        panic!("it never comes to rest: {:?}", self.reader.known);
    }

    fn check(&self) {
        let Self {
            producers, journal, ..
        } = self;
        let taken: BTreeSet<u32> = journal.taken.iter().copied().collect();
        assert_eq!(taken.len(), journal.taken.len(), "taken twice");
        let lost = (1..=producers.numbers).find(|number| {
            let is_known = taken.contains(number) || journal.refused.contains(number);
            !is_known && !producers.gone.contains(number)
        });
        assert_eq!(lost, None, "never taken: {:?}", journal.taken);
        let dropped = producers.dropped.iter();
        let whole = dropped.clone().filter(|(_, has_lf)| *has_lf);
        let whole = whole.flat_map(|(numbers, _)| numbers).copied().collect();
        let dropped = dropped.map(|(numbers, _)| numbers.iter().copied().collect());
        let appended = producers.appended.clone();
        for producer in dropped.chain([whole, appended]) {
            let producer: BTreeSet<u32> = producer;
            let of = journal.taken.iter().filter(|n| producer.contains(n));
            assert!(of.is_sorted(), "out of order: {:?}", journal.taken);
        }
        let left = fs::read_dir(&producers.inbox).unwrap().flatten();
        let left = left.filter(|entry| entry.path().is_file());
        let left: Vec<_> = left.map(|entry| entry.file_name()).collect();
        assert!(left.iter().all(|name| name == "external.jsonl"), "{left:?}");
    }
}
