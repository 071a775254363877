//! What fuzzers may call; compiled for them only.

use std::collections::BTreeMap;

use super::config::Config;
use super::record::{self, Salt};
use super::storage::lying::Lying;
use super::writer::Now;
use super::{Done, Live, Reading, Recovered, open_on, recovery, scan};

/// A line, made to fit its checksum where it has the shape for it, reads as one
/// thing or as nothing.
pub fn line(data: &[u8]) {
    let salt = Salt::new(1);
    _ = record::newer_version(data, None);
    _ = record::header_salt(data);
    if data.len() < 200 || data.contains(&b'\n') {
        return;
    }
    let mut line = data.to_vec();
    let at = line.len() - 16;
    line[at..].copy_from_slice(br#","c":"00000000"}"#);
    record::restamp(&mut line, salt, 7);
    let Some(frame) = record::frame(&line, salt) else {
        return;
    };
    assert_eq!(frame.q, 7);
    if let Some(found) = record::parse(&line, &frame)
        && let record::Payload::Effect(effect) = &found.payload
    {
        let whole = effect.to_effect(frame.id.into(), found.t);
        assert!(whole.is_none_or(|whole| whole.operation.body().len() == effect.bytes()));
    }
}

/// Whatever files there are, reading them ends, gives the same twice, and the
/// same after the repair.
pub fn recovery(data: &[u8]) {
    let mut files = BTreeMap::new();
    for (at, bytes) in data.split(|byte| *byte == 0xff).take(4).enumerate() {
        files.insert(super::segment::name(1 + 4 * at as u64), bytes.to_vec());
    }
    let now = Now::read();
    let Ok(first) = recovery::read(&Lying::holding(&files), <_>::default(), scan::OLDER) else {
        return;
    };
    let second =
        recovery::read(&Lying::holding(&files), <_>::default(), scan::OLDER).expect("as before");
    assert_eq!(first.report, second.report);
    let disk = Lying::holding(&files);
    let config = Config {
        dedupe_horizon: std::time::Duration::MAX,
        ..Config::default()
    };
    let (_, opened) = open_on(disk.clone(), &config, now, &Reading::default()).expect("as before");
    assert_eq!(opened.live.len(), first.fold.live.len());
    let (_, again) = open_on(disk, &config, now, &Reading::default()).expect("after the repair");
    assert_eq!(told(opened), told(again));
}

/// All but where its records stand: the end of the log may be written again.
fn told(recovered: Recovered) -> (Vec<Live>, Vec<Done>) {
    let mut live = recovered.live;
    live.iter_mut().for_each(|live| live.seq = 0);
    (live, recovered.done)
}
