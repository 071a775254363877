//! Stories of producers and a reader that is killed, checked against what was
//! written: every line is taken once, those of one producer in their order, and
//! those of dropped files in the order of their names.

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::PathBuf;

use proptest::prelude::*;
use tokio::runtime::Builder;
use tokio::sync::mpsc;

use super::*;
use crate::delivery::{Class, Failure};
use crate::ingest::dispatcher::{Ack, Piece, Submission};
use crate::journal::{Home, Note};
use crate::protocol::envelope::Operation;
use crate::protocol::id::EffectId;

/// What a producer does.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// To the file for that; of the last line perhaps one half only.
    Append { lines: u8, is_half: bool },
    /// A line that is no effect, to the same.
    Spoil,
    /// That file is written anew.
    Rewrite,
    /// It gets another name, and so is complete.
    Rotate,
    /// A complete file comes, the last line of which may have no LF.
    Drop { lines: u8, has_lf: bool },
    /// To the last such file, if it is still there.
    Grow,
}

/// What becomes of an append to the journal.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Taken,
    /// The disk does not take it for now.
    Refused,
    /// Its first effect never will be.
    OneRefused,
    /// Falco is killed before it is there.
    KilledBefore,
    /// It is, and Falco is killed before anybody knows.
    KilledBehind,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Act(Act),
    /// The same in the midst of a later append.
    ActMeanwhile(Act),
    Next(Fate),
    Look,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let act = || {
        prop_oneof![
            6 => (1..4u8, any::<bool>()).prop_map(|(lines, is_half)| Act::Append { lines, is_half }),
            1 => Just(Act::Spoil),
            1 => Just(Act::Rewrite),
            2 => Just(Act::Rotate),
            3 => (1..4u8, any::<bool>()).prop_map(|(lines, has_lf)| Act::Drop { lines, has_lf }),
            2 => Just(Act::Grow),
        ]
    };
    let fate = prop_oneof![
        Just(Fate::Taken),
        Just(Fate::Refused),
        Just(Fate::OneRefused),
        Just(Fate::KilledBefore),
        Just(Fate::KilledBehind),
    ];
    let step = prop_oneof![
        4 => act().prop_map(Step::Act),
        2 => act().prop_map(Step::ActMeanwhile),
        3 => fate.prop_map(Step::Next),
        5 => Just(Step::Look),
        1 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 0..40)
}

/// What was written, and where.
struct Producers {
    inbox: PathBuf,
    /// Where files are made before they are dropped.
    aside: PathBuf,
    numbers: u32,
    files: u32,
    /// The rest of a line that was begun.
    half: Option<String>,
    /// Lines appended; and those in the file that has the name for that.
    appended: BTreeSet<u32>,
    here: Vec<u32>,
    /// Of each file its lines, and whether it ends with an LF: of one that does not
    /// nobody knows for how long it may be waited for.
    dropped: Vec<(Vec<u32>, bool)>,
    /// The last file that was dropped, and whether it ends with an LF.
    last: Option<(PathBuf, bool)>,
    /// Written over: perhaps nobody has read them.
    gone: BTreeSet<u32>,
}

impl Producers {
    fn line(&mut self) -> (u32, String) {
        self.numbers += 1;
        let number = self.numbers;
        let line = format!(r#"{{"type":"t","channel":"c","payload":{number}}}"#);
        (number, line)
    }

    fn external(&self) -> PathBuf {
        self.inbox.join("external.jsonl")
    }

    fn write(path: &PathBuf, text: &str) {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).open(path);
        file.unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn has_appended(&mut self, number: u32) {
        self.appended.insert(number);
        self.here.push(number);
    }

    fn end_line(&mut self) {
        if let Some(rest) = self.half.take() {
            Self::write(&self.external(), &rest);
        }
    }

    fn fresh_path(&mut self) -> PathBuf {
        self.files += 1;
        self.inbox.join(format!("{:03}.jsonl", self.files))
    }

    fn act(&mut self, act: Act, journal: &Journal) {
        match act {
            Act::Append { lines, is_half } => {
                self.end_line();
                for left in (0..lines).rev() {
                    let (number, line) = self.line();
                    self.has_appended(number);
                    let line = format!("{line}\n");
                    let is_half = is_half && left == 0;
                    let at = if is_half { line.len() / 2 } else { line.len() };
                    Self::write(&self.external(), &line[..at]);
                    self.half = is_half.then(|| line[at..].to_owned());
                }
            }
            Act::Spoil => {
                self.end_line();
                Self::write(&self.external(), "nonsense\n");
            }
            Act::Rewrite => {
                self.half = None;
                let here = std::mem::take(&mut self.here).into_iter();
                self.gone
                    .extend(here.filter(|number| !journal.has(*number)));
                if self.external().exists() {
                    let (number, line) = self.line();
                    self.has_appended(number);
                    fs::write(self.external(), format!("{line}\n")).unwrap();
                }
            }
            Act::Rotate => {
                self.end_line();
                let to = self.fresh_path();
                _ = fs::rename(self.external(), to);
                self.here.clear();
            }
            Act::Drop { lines, has_lf } => {
                let mut numbers = Vec::new();
                let lines = (0..lines).map(|_| {
                    let (number, line) = self.line();
                    numbers.push(number);
                    line
                });
                let mut text = lines.collect::<Vec<_>>().join("\n");
                text.extend(has_lf.then_some('\n'));
                fs::write(&self.aside, text).unwrap();
                let path = self.fresh_path();
                fs::rename(&self.aside, &path).unwrap();
                self.dropped.push((numbers, has_lf));
                self.last = Some((path, has_lf));
            }
            Act::Grow => self.grow(),
        }
    }

    fn grow(&mut self) {
        let Some((path, has_lf)) = self.last.clone().filter(|(path, _)| path.exists()) else {
            return;
        };
        let (number, line) = self.line();
        let lf = if has_lf { "" } else { "\n" };
        Self::write(&path, &format!("{lf}{line}\n"));
        self.last = Some((path, true));
        let (numbers, has_lf) = self.dropped.last_mut().unwrap();
        numbers.push(number);
        *has_lf = true;
    }
}

/// The simplest journal that could be right.
#[derive(Default)]
struct Journal {
    fates: VecDeque<Fate>,
    taken: Vec<u32>,
    ids: HashSet<EffectId>,
    notes: BTreeMap<uuid::Uuid, Note>,
    /// What nothing may offer again: it is noted.
    noted: HashSet<EffectId>,
    never: HashSet<EffectId>,
    refused: BTreeSet<u32>,
}

fn number(operation: &Operation) -> u32 {
    let Operation::Publish { payload, .. } = operation else {
        panic!("nobody sets objects");
    };
    let payload = String::from_utf8(payload.to_vec()).unwrap();
    payload.parse().unwrap()
}

impl Journal {
    fn has(&self, number: u32) -> bool {
        self.taken.contains(&number)
    }

    /// Takes an append; `None` if Falco is killed meanwhile.
    fn append(&mut self, piece: Piece) -> Option<Vec<Ack>> {
        let again = piece.effects.iter().find(|e| self.noted.contains(&e.id));
        assert!(again.is_none(), "{again:?} was taken, and is read again");
        let fate = self.fates.pop_front().unwrap_or(Fate::Taken);
        if let Fate::KilledBefore = fate {
            return None;
        }
        if let (Fate::OneRefused, Some(first)) = (fate, piece.effects.first())
            && !self.ids.contains(&first.id)
        {
            self.never.insert(first.id);
        }
        let mut acks = Vec::new();
        for effect in &piece.effects {
            let outcome = if let Fate::Refused = fate {
                Err(Failure::new(Class::Unrecorded, "the disk is full"))
            } else if self.never.contains(&effect.id) {
                self.refused.insert(number(&effect.operation));
                Err(Failure::new(Class::Rejected, "never"))
            } else {
                if self.ids.insert(effect.id) {
                    self.taken.push(number(&effect.operation));
                }
                Ok(())
            };
            acks.push(Ack {
                id: effect.id,
                bytes: effect.bytes,
                outcome,
            });
        }
        let is_whole = acks.iter().all(|ack| ack.outcome.is_ok());
        if is_whole && !matches!(fate, Fate::Refused) {
            self.noted.extend(piece.effects.iter().map(|e| e.id));
            if piece.note.text.is_empty() {
                self.notes.remove(&piece.note.id);
            } else {
                self.notes.insert(piece.note.id, piece.note);
            }
            _ = piece.noted.send(());
        }
        (!matches!(fate, Fate::KilledBehind)).then_some(acks)
    }
}

/// Everybody.
struct Story {
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
    fn new(folder: &std::path::Path) -> Self {
        let inbox = folder.join("inbox");
        let journal = Journal::default();
        let (reader, submitted, acks) = life(inbox.clone(), &journal);
        Self {
            producers: Producers {
                inbox,
                aside: folder.join("aside"),
                numbers: 0,
                files: 0,
                half: None,
                appended: BTreeSet::new(),
                here: Vec::new(),
                dropped: Vec::new(),
                last: None,
                gone: BTreeSet::new(),
            },
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

    async fn step(&mut self, step: Step) {
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
    async fn end(&mut self) {
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_line_is_taken_once_and_in_order_whatever_is_done_and_killed(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let mut story = Story::new(folder.path());
            for step in steps {
                story.step(step).await;
            }
            story.end().await;
        });
    }
}
