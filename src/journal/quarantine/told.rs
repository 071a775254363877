//! What a `.json` says: of one range that [`Damage`]; of many, in its first line
//! what they come to, and then each in a line of its own.
//!
//! ```text
//! {"seg":…,"off":…,"len":…,"ranges":100000,"losses":100000,"lost":100000,"class":"corrupt","sha256":…}
//! [off,len,expected_q,next_q,[first missing,last missing],"corrupt","first 16 digits of its sha256"]
//! …
//! ```
//!
//! Then `off` and `len` are where the first begins and how far it is to the end of
//! the last, `lost` how many records are missing, and the `.bin`, whose sum that
//! is, has the ranges one behind another. So the first line is all that has to be
//! read to count. Of a file that somebody has formatted it is its beginning, as
//! long as a first line may be.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::super::lines::Lines;
use super::super::report::{Class, Damage, lost_of};
use super::super::storage::{QUARANTINE, Storage, StoredFile, read_exact};
use super::losses_among;

/// The longest first line that is looked into.
const HEAD_BYTES_MAX: u64 = 64 << 10;

/// Digits of a checksum by which a range is known again where it stands.
const MARK_DIGITS: usize = 16;

/// A range, and which bytes were in it: a later file of that name may have other
/// bytes there.
type Mark = (u64, u64, Box<str>);

/// The ranges that reports tell of, and whether any tells of a loss there.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<Mark, bool>);

impl Known {
    fn add(&mut self, mark: Mark, is_loss: bool) {
        *self.0.entry(mark).or_default() |= is_loss;
    }

    /// Whether there is nothing more to tell of it: where nothing was lost once,
    /// something may be by now.
    pub(super) fn tells(&self, damage: &Damage) -> bool {
        let told = self.0.get(&marked(damage.off, damage.len, &damage.sha256));
        told.is_some_and(|is_loss| *is_loss || damage.class != Class::Corrupt)
    }
}

fn marked(off: u64, len: u64, sha256: &str) -> Mark {
    (off, len, digits(sha256).into())
}

fn digits(sha256: &str) -> &str {
    sha256.get(..MARK_DIGITS).unwrap_or(sha256)
}

/// A range among many.
type Range<'a> = (
    u64,
    u64,
    u64,
    Option<u64>,
    Option<(u64, u64)>,
    Class,
    &'a str,
);

/// What the first line of a report says that has to be known here.
#[derive(Debug, Deserialize)]
pub(super) struct Head {
    #[serde(default)]
    off: u64,
    #[serde(default)]
    len: u64,
    #[serde(default)]
    sha256: Box<str>,
    class: Option<Box<str>>,
    /// How many ranges follow.
    ranges: Option<u64>,
    losses: Option<u64>,
}

impl Head {
    /// `None` if it cannot be read.
    pub(super) fn of<S: Storage>(storage: &S, name: &str) -> Option<Self> {
        let file = storage.open(&format!("{QUARANTINE}/{name}")).ok()?;
        let bytes = beginning(&file)?;
        let first = bytes.split(|byte| *byte == b'\n').next()?;
        Self::parse(first).or_else(|| Self::laid_out(&bytes))
    }

    /// Of a file that somebody has formatted.
    fn laid_out(bytes: &[u8]) -> Option<Self> {
        let is_object = bytes.trim_ascii_start().first() == Some(&b'{');
        let mut values = serde_json::Deserializer::from_slice(bytes).into_iter();
        values.next()?.ok().filter(|_| is_object)
    }

    fn parse(line: &[u8]) -> Option<Self> {
        // An array of the same is none.
        let is_object = line.trim_ascii_start().first() == Some(&b'{');
        serde_json::from_slice(line).ok().filter(|_| is_object)
    }

    /// How many losses it tells of.
    pub(super) fn losses(&self) -> u64 {
        match self.losses.filter(|_| self.ranges.is_some()) {
            Some(losses) => losses,
            None => self.is_of_loss().into(),
        }
    }

    /// Whether it, or the worst of many, is a loss.
    fn is_of_loss(&self) -> bool {
        self.class.as_deref() == Some("corrupt")
    }

    fn mark(&self) -> Mark {
        marked(self.off, self.len, &self.sha256)
    }
}

/// As much of a file as a first line may have.
fn beginning<F: StoredFile>(file: &F) -> Option<Vec<u8>> {
    let bytes = file.bytes().ok()?.min(HEAD_BYTES_MAX);
    read_exact(file, 0, usize::try_from(bytes).ok()?).ok()
}

/// The ranges that these reports tell of; what cannot be read tells of none.
pub(super) fn known<S: Storage>(storage: &S, names: &[String]) -> Known {
    let mut known = Known::default();
    for name in names {
        if let Ok(file) = storage.open(&format!("{QUARANTINE}/{name}")) {
            collect(&file, &mut known);
        }
    }
    known
}

fn collect<F: StoredFile>(file: &F, known: &mut Known) {
    let mut lines = Lines::new(file);
    let Ok(Some(first)) = lines.next() else {
        return;
    };
    match Head::parse(first.bytes) {
        None => return collect_laid_out(file, known),
        Some(head) if head.ranges.is_none() => {
            known.add(head.mark(), head.is_of_loss());
            return;
        }
        Some(_) => {}
    }
    while let Ok(Some(line)) = lines.next() {
        if let Ok(range) = serde_json::from_slice::<Range<'_>>(line.bytes) {
            known.add(marked(range.0, range.1, range.6), range.5 == Class::Corrupt);
        }
    }
}

/// The same, of a file that somebody has formatted: as far as it is looked into.
fn collect_laid_out<F: StoredFile>(file: &F, known: &mut Known) {
    let bytes = beginning(file).unwrap_or_default();
    let Some(head) = Head::laid_out(&bytes) else {
        return;
    };
    if head.ranges.is_none() {
        known.add(head.mark(), head.is_of_loss());
        return;
    }
    let values = serde_json::Deserializer::from_slice(&bytes).into_iter::<&RawValue>();
    let ranges = values.skip(1).map_while(Result::ok);
    for range in ranges.filter_map(|raw| serde_json::from_str::<Range<'_>>(raw.get()).ok()) {
        known.add(marked(range.0, range.1, range.6), range.5 == Class::Corrupt);
    }
}

/// The report on these; `sha256` is the sum of all their bytes.
pub(super) fn report(damage: &[&Damage], sha256: &str) -> serde_json::Result<Vec<u8>> {
    let [first, .., last] = damage else {
        return damage.first().map_or(Ok(Vec::new()), serde_json::to_vec);
    };
    let losses = losses_among(damage);
    let class = damage.iter().map(|damage| damage.class).min();
    let mut report = serde_json::to_vec(&Together {
        seg: &first.seg,
        off: first.off,
        len: last.off + last.len - first.off,
        ranges: damage.len() as u64,
        losses,
        lost: lost_of(damage.iter().copied()),
        class,
        sha256,
    })?;
    for range in damage {
        report.push(b'\n');
        serde_json::to_writer(&mut report, &line(range))?;
    }
    report.push(b'\n');
    Ok(report)
}

#[derive(Serialize)]
struct Together<'a> {
    seg: &'a str,
    off: u64,
    len: u64,
    ranges: u64,
    losses: u64,
    lost: u64,
    /// The worst of them.
    class: Option<Class>,
    sha256: &'a str,
}

fn line(damage: &Damage) -> Range<'_> {
    (
        damage.off,
        damage.len,
        damage.expected_q,
        damage.next_q,
        damage.missing,
        damage.class,
        digits(&damage.sha256),
    )
}
