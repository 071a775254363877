//! What a table in SQLite would be: the same effects, WAL, synchronous FULL.

use std::path::Path;
use std::time::{Duration, Instant};

use falco::journal::{Entry, Journal, Sync};
use rusqlite::{Connection, params};

use crate::entries::entries;
use crate::{TURNS, config, report, through};

pub fn against_sqlite(runtime: &tokio::runtime::Runtime) {
    const RECORDS: usize = 512;
    const BATCHES: usize = 20;
    let base = tempfile::tempdir_in(".").expect("a directory");
    let config = config(Sync::Always);
    let (journal, _) = Journal::open(&base.path().join("outbox"), &config).expect("opens");
    let mut sqlite = Table::at(&base.path().join("sqlite"));
    let mut times = Vec::new();
    for _ in 0..TURNS {
        let work = (0..BATCHES).map(|_| entries(RECORDS)).collect();
        let ours = through(runtime, &journal, work);
        let work: Vec<Vec<Entry>> = (0..BATCHES).map(|_| entries(RECORDS)).collect();
        times.push((ours, sqlite.write(&work)));
    }
    report("512 records a commit", RECORDS * BATCHES, &times[1..]);
}

struct Table(Connection);

impl Table {
    fn at(path: &Path) -> Self {
        let connection = Connection::open(path).expect("opens");
        let setup = "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
            CREATE TABLE effects (seq INTEGER PRIMARY KEY, id BLOB, lane TEXT, key TEXT,
                channel TEXT, event TEXT, arrived_ms INTEGER, payload BLOB);";
        connection.execute_batch(setup).expect("set up");
        Self(connection)
    }

    /// One transaction a batch.
    fn write(&mut self, batches: &[Vec<Entry>]) -> Duration {
        let begun = Instant::now();
        for batch in batches {
            let transaction = self.0.transaction().expect("begun");
            for entry in batch {
                let Entry::Effect(effect) = entry else {
                    continue;
                };
                let insert =
                    "INSERT INTO effects (id, lane, key, channel, event, arrived_ms, payload)
                    VALUES (?, ?, ?, ?, ?, ?, ?)";
                transaction
                    .prepare_cached(insert)
                    .and_then(|mut insert| {
                        insert.execute(params![
                            effect.id.as_bytes().as_slice(),
                            effect.lane.as_str(),
                            effect.key.to_string(),
                            effect.operation.channel(),
                            effect.operation.name(),
                            i64::try_from(effect.arrived_ms).unwrap_or(0),
                            effect.operation.body().as_ref(),
                        ])
                    })
                    .expect("inserted");
            }
            transaction.commit().expect("committed");
        }
        begun.elapsed()
    }
}
