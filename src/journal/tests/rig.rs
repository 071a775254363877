//! A journal whose disk and time are told, and the states tests begin with.

use nix::libc::EIO;

use super::super::draft::{Drafts, records};
use super::super::record::Salt;
use super::super::stamp::Stamp;
use super::super::storage::lying::{Fault, Lying, Op};
use super::*;

/// Small segments, so that everything happens soon.
pub(super) fn small(sync: Sync) -> Config {
    Config {
        on_failure: OnFailure::Bypass,
        segment_bytes_max: 2500,
        bytes_max: 60_000,
        low_water_bytes: 0,
        low_water_percent: 0,
        reserve_bytes: 4096,
        ..Config::with_sync(sync)
    }
}

/// The answer to come to an append.
pub(super) type Awaited = oneshot::Receiver<Result<Appended, Unrecorded>>;

/// A journal whose time is told.
pub(super) struct Rig {
    pub(super) disk: Lying,
    pub(super) core: Core<Lying>,
    pub(super) config: Config,
    pub(super) now: Now,
    /// Everything that was asked for.
    pub(super) entries: Vec<Entry>,
    /// How many appends that were.
    appends: u64,
    /// How much of it is known to be durable.
    pub(super) durable: usize,
    /// Whether anything was asked for in vain.
    has_refused: bool,
}

impl Rig {
    pub(super) fn open(disk: &Lying, config: &Config) -> Result<(Self, Recovered), OpenError> {
        Self::open_at(disk, config, Now::told(Instant::now(), MS))
    }

    pub(super) fn open_at(
        disk: &Lying,
        config: &Config,
        now: Now,
    ) -> Result<(Self, Recovered), OpenError> {
        let (core, recovered) =
            super::super::open_on(disk.clone(), config, now, &Reading::default())?;
        let rig = Self {
            disk: disk.clone(),
            core,
            config: config.clone(),
            now,
            entries: Vec::new(),
            appends: 0,
            durable: 0,
            has_refused: false,
        };
        Ok((rig, recovered))
    }

    pub(super) fn new(config: &Config) -> Self {
        let (rig, recovered) = Self::open(&Lying::default(), config).expect("an empty disk");
        assert_eq!(recovered.report.records, 0);
        rig
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.at += time;
    }

    pub(super) fn commit(&mut self, entries: Vec<Entry>) -> Result<Appended, Unrecorded> {
        self.commit_together(vec![(None, entries)]).remove(0)
    }

    pub(super) fn commit_in(&mut self, round: u64, entry: Entry) -> Result<Appended, Unrecorded> {
        let appends = vec![(Some(Round(round)), vec![entry])];
        self.commit_together(appends).remove(0)
    }

    /// Appends that come to be written in one go.
    pub(super) fn commit_together(
        &mut self,
        appends: Vec<(Option<Round>, Vec<Entry>)>,
    ) -> Vec<Result<Appended, Unrecorded>> {
        self.pass(Duration::from_millis(7));
        let receipts = self.send(appends).into_iter();
        let results: Vec<_> = receipts
            .map(|mut r| r.try_recv().expect("an answer"))
            .collect();
        self.has_refused |= results.iter().any(Result::is_err);
        self.note_durable();
        results
    }

    /// The same, for whoever waits for the answers.
    pub(super) fn send(&mut self, appends: Vec<(Option<Round>, Vec<Entry>)>) -> Vec<Awaited> {
        let mut jobs = Vec::new();
        let mut receipts = Vec::new();
        let mut before = 0;
        for (round, entries) in appends {
            let stamp = self.forecast(before);
            before += records(&entries);
            self.entries.extend(entries.iter().cloned());
            let (answer, receipt) = oneshot::channel();
            jobs.push(Job {
                drafts: Drafts::of(&entries, stamp),
                round,
                answer,
            });
            receipts.push(receipt);
        }
        self.core.commit(jobs, self.now);
        self.core.note_append(self.now);
        receipts
    }

    /// Where an append will stand behind so many records; that turns out wrong in every
    /// way in turn.
    fn forecast(&mut self, before: u64) -> Stamp {
        let right = self.core.stamp(self.now);
        let right = Stamp {
            first: right.first + before,
            ..right
        };
        self.appends += 1;
        let first = match self.appends % 7 {
            0 | 1 => right.first,
            2 => right.first + 1,
            3 => right.first.saturating_sub(1),
            4 => 10_u64.pow(right.first.ilog10() + 1) - 2,
            _ => 0,
        };
        match self.appends % 7 {
            0 => right,
            1 => Stamp {
                durable: Some(0),
                now_ms: right.now_ms + 1,
                ..right
            },
            2..5 => Stamp { first, ..right },
            5 => Stamp {
                salt: Salt::new(7),
                ..right
            },
            _ => Stamp::default(),
        }
    }

    fn note_durable(&mut self) {
        self.has_refused |= self.core.health() != Health::Ok;
        let progress = self.core.progress();
        if progress.written == progress.durable && !self.has_refused {
            self.durable = self.entries.len();
        }
    }

    /// Lets the thread's idle work happen.
    pub(super) fn tick(&mut self) {
        self.pass(Duration::from_millis(20));
        self.core.tick(self.now);
        self.note_durable();
    }

    /// What is told when it is opened from what is there.
    pub(super) fn reopened(disk: &Lying, config: &Config) -> (Told, Recovered) {
        let (rig, recovered) = Self::open(disk, config).expect("it opens");
        (Told::from(&recovered, &rig.core), recovered)
    }
}

/// Has calls of `op` fail: `times` of them, after `nth` that do not.
pub(super) fn fail(disk: &Lying, op: Op, (nth, times): (u64, u64), errno: i32) {
    disk.fail(Fault {
        op,
        nth,
        times,
        errno,
    });
}

/// No sync succeeds any more.
pub(super) fn break_syncs(rig: &Rig) {
    fail(&rig.disk, Op::Sync, (0, u64::MAX), EIO);
}

/// The disk works again, and the journal has found out.
pub(super) fn mend(rig: &mut Rig) {
    rig.disk.heal();
    rig.pass(Duration::from_secs(11));
    rig.tick();
    assert_eq!(rig.core.health(), Health::Ok);
}

/// Commits effects until one is refused; returns how many were not.
pub(super) fn fill(rig: &mut Rig) -> u64 {
    (0..100_000)
        .find(|&i| rig.commit(vec![Entry::Effect(effect(i))]).is_err())
        .expect("it is full")
}

/// A journal that is full, and the effects in it.
pub(super) fn full(config: &Config) -> (Rig, u64) {
    let mut rig = Rig::new(config);
    let held = fill(&mut rig);
    assert_eq!(rig.core.health(), Health::Full);
    (rig, held)
}

/// Has the effects up to this one published; their ids are soon forgotten.
pub(super) fn settle_all(rig: &mut Rig, held: u64) {
    for i in 0..held {
        rig.commit(vec![Entry::Done(vec![id(i).into()])])
            .expect("recorded");
    }
    rig.now.later(16 * 60 * 1000);
    idle(rig, 100);
    assert_eq!(rig.core.health(), Health::Ok);
}

pub(super) fn idle(rig: &mut Rig, ticks: usize) {
    (0..ticks).for_each(|_| rig.tick());
}

/// How many segments there are on disk.
pub(super) fn segments(rig: &Rig) -> usize {
    let files = rig.disk.files();
    files.keys().filter(|name| name.starts_with("seg-")).count()
}

/// What a note of these tests is about.
const NOTED: Uuid = Uuid::from_u128(7);

pub(super) fn note(text: &str) -> Entry {
    let text = text.into();
    Entry::Note { id: NOTED, text }
}
