//! The loop that the journal is measured beside.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use falco::journal::Entry;

pub struct Bare {
    file: File,
    end: u64,
}

impl Bare {
    pub fn at(path: &Path) -> Self {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(true).write(true).open(path);
        Self {
            file: file.expect("a file"),
            end: 0,
        }
    }

    /// Appends as many bytes in as many batches, each in one write, and syncs it.
    pub fn write(&mut self, (batches, bytes): (u64, u64)) -> Duration {
        let bytes = vec![b'x'; usize::try_from(bytes / batches).expect("some")];
        let begun = Instant::now();
        for _ in 0..batches {
            self.file.write_all_at(&bytes, self.end).expect("written");
            self.end += bytes.len() as u64;
            self.file.sync_data().expect("synced");
        }
        begun.elapsed()
    }

    /// Appends a line for each of `entries` in one write, and syncs it.
    pub fn write_lines(&mut self, entries: &[Entry]) -> Duration {
        let begun = Instant::now();
        let mut lines = Vec::new();
        for entry in entries {
            line(&mut lines, entry);
            lines.push(b'\n');
        }
        self.file.write_all_at(&lines, self.end).expect("written");
        self.end += lines.len() as u64;
        self.file.sync_data().expect("synced");
        begun.elapsed()
    }
}

/// An entry as a loop by hand would write it, without a checksum or a number.
fn line(out: &mut Vec<u8>, entry: &Entry) {
    match entry {
        Entry::Effect(effect) => {
            let (id, lane, key) = (effect.id, effect.lane.as_str(), &effect.key);
            let (channel, event) = (effect.operation.channel(), effect.operation.name());
            let (hash, at) = (effect.fingerprint, effect.arrived_ms);
            write!(
                out,
                r#"{{"id":"{id}","lane":"{lane}","key":"{key}","hash":{hash},"at":{at},"channel":"{channel}","event":"{event}","payload":"#
            )
            .expect("written");
            // It is JSON already.
            out.extend_from_slice(effect.operation.body());
            out.push(b'}');
        }
        Entry::Done(done) => {
            out.extend_from_slice(br#"{"done":["#);
            for (at, done) in done.iter().enumerate() {
                let comma = if at == 0 { "" } else { "," };
                write!(out, r#"{comma}"{}""#, done.id).expect("written");
            }
            out.extend_from_slice(b"]}");
        }
        _ => {}
    }
}
