//! Damaged files: what is lost, what is told, and that nothing is made up.

mod anywhere;
mod aside;
mod ends;
mod many;
mod records;
mod segments;
mod told;

use std::collections::BTreeMap;

use super::super::recovery;
use super::super::report::Class;
use super::super::scan;
use super::*;

type Files = BTreeMap<String, Vec<u8>>;

const FIRST: &str = "seg-0000000000000001.jsonl";

/// Roomy segments: one file holds it all.
fn roomy() -> Config {
    Config {
        segment_bytes_max: 1 << 20,
        bytes_max: 1 << 30,
        ..small(Sync::Always)
    }
}

/// A closed journal of these entries, one a batch, and its files.
fn closed(entries: &[Entry], config: &Config) -> Files {
    closed_on(&Lying::default(), entries, config)
}

fn closed_on(disk: &Lying, entries: &[Entry], config: &Config) -> Files {
    let (mut rig, _) = Rig::open(disk, config).expect("an empty disk");
    for entry in entries {
        rig.commit(vec![entry.clone()]).expect("recorded");
    }
    rig.core.close(rig.now).expect("closed");
    segments(&rig.disk)
}

fn segments(disk: &Lying) -> Files {
    let files = disk.files().into_iter();
    files.filter(|(name, _)| name.starts_with("seg-")).collect()
}

fn few() -> Vec<Entry> {
    let mut entries: Vec<Entry> = (0..7).map(|i| Entry::Effect(effect(i))).collect();
    entries.insert(3, Entry::Done(vec![id(0).into()]));
    entries.insert(5, Entry::Failed(id(1), letter(1)));
    entries.push(Entry::Done(vec![id(2).into(), id(3).into()]));
    entries.push(Entry::Requeue(id(1)));
    entries
}

/// Only reads, as the exhaustive tests do thousands of times.
fn read(files: &Files) -> recovery::Read {
    recovery::read(&Lying::holding(files), <_>::default(), scan::OLDER).expect("it is read")
}

/// Opens what `spoil` left of a closed journal of [`few`].
fn spoiled(config: &Config, spoil: impl FnOnce(&mut Files)) -> (Lying, Told, Recovered) {
    let mut files = closed(&few(), config);
    spoil(&mut files);
    let disk = Lying::holding(&files);
    let (told, recovered) = Rig::reopened(&disk, config);
    (disk, told, recovered)
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect()
}

fn classes(recovered: &Recovered) -> Vec<Class> {
    recovered
        .report
        .damage
        .iter()
        .map(|damage| damage.class)
        .collect()
}

/// A journal of [`few`] whose end was never synced.
fn unsynced() -> (Config, Files) {
    let config = Config {
        sync: Sync::Interval(Duration::from_secs(3600)),
        ..roomy()
    };
    let mut rig = Rig::new(&config);
    for entry in few() {
        rig.commit(vec![entry]).expect("written");
    }
    let files = segments(&rig.disk);
    (config, files)
}

/// The same values, as a person likes to read them.
fn formatted(report: &[u8]) -> Vec<u8> {
    let values = serde_json::Deserializer::from_slice(report).into_iter::<serde_json::Value>();
    let values = values.map(|value| serde_json::to_vec_pretty(&value.expect("whole")));
    let values: Vec<_> = values.map(|value| value.expect("a value")).collect();
    values.join(&b'\n')
}

/// What the quarantine holds, by the ends of the names.
fn aside(disk: &Lying, kind: &str) -> Vec<Vec<u8>> {
    let files = disk.files().into_iter();
    let aside = files.filter(|(name, _)| name.starts_with("quarantine/") && name.ends_with(kind));
    aside.map(|(_, bytes)| bytes).collect()
}
