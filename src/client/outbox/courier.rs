//! The task that carries effects from the table to Falco.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use rusqlite::Connection;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::warn;

use super::super::{Client, PublishError};
use super::table::{self, Fate, OutboxError, Waiting};
use crate::failpoint::{self, Point};
use crate::protocol::id::EffectId;
use crate::report::Report;
use crate::shutdown::{Drained, Shutdown};
use taken::{Load, Taken};

mod taken;

/// How long SQLite waits for the daemon's own transactions.
const BUSY_PATIENCE: Duration = Duration::from_secs(5);

/// How often the table is looked at when nobody says that something came.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The pause after the database failed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Rows read at once.
const ROWS: usize = 256;

/// Carries effects from the table to Falco, until it is stopped or dropped.
#[derive(Debug)]
pub struct Courier {
    shutdown: Shutdown,
    wake: Arc<Notify>,
}

impl Courier {
    /// Starts carrying what is, and will be, in the outbox of the database at
    /// `path`. It opens a connection of its own and makes the table if it is
    /// not there.
    ///
    /// One courier a database: two would send everything twice.
    ///
    /// # Errors
    ///
    /// When the database cannot be opened or written.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(path: impl AsRef<Path>, client: Client) -> Result<Self, OutboxError> {
        let db = open(path.as_ref())?;
        let shutdown = Shutdown::new();
        let wake = Arc::new(Notify::new());
        let work = Work {
            db: Some(db),
            client,
            taken: Taken::default(),
            answers: FuturesUnordered::new(),
            fates: Vec::new(),
        };
        shutdown.spawn(work.run(shutdown.clone(), wake.clone()));
        Ok(Self { shutdown, wake })
    }

    /// Says that a transaction with effects was committed. Costs next to
    /// nothing; may be called from any thread.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Stops carrying; what Falco has answered by now is written down. Effects
    /// on their way stay in the table and go out again, under their ids, when
    /// the next courier starts.
    pub async fn stop(self, grace: Duration) -> Drained {
        self.shutdown.begin();
        self.shutdown.drain(grace).await
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.shutdown.begin();
    }
}

fn open(path: &Path) -> Result<Connection, OutboxError> {
    let failed = |source| OutboxError::Open {
        path: PathBuf::from(path),
        source,
    };
    let db = Connection::open(path).map_err(failed)?;
    db.busy_timeout(BUSY_PATIENCE).map_err(failed)?;
    table::create(&db)?;
    Ok(db)
}

/// The fate of an effect that an earlier courier has handed to the same client:
/// once that is known, Falco tells it again.
async fn after_its_twin(client: &Client, id: EffectId, effect: Bytes) -> Result<(), PublishError> {
    loop {
        sleep(RETRY_DELAY).await;
        match client.deliver_as(id, effect.clone()).await?.await {
            Err(PublishError::AlreadySubmitted) => {}
            fate => return fate,
        }
    }
}

type Answer = (i64, Load, Result<(), PublishError>);

struct Work {
    /// Absent only while a blocking thread has it.
    db: Option<Connection>,
    client: Client,
    taken: Taken,
    answers: FuturesUnordered<BoxFuture<'static, Answer>>,
    /// What has to be written down.
    fates: Vec<Fate>,
}

/// Why a round of work ended early.
enum Interrupted {
    /// The database failed; the next round may do better.
    Database(OutboxError),
    /// The client or the runtime is going.
    Over,
}

impl Work {
    async fn run(mut self, shutdown: Shutdown, wake: Arc<Notify>) {
        while !shutdown.has_begun() {
            let pause = match self.round(&shutdown).await {
                Ok(()) => LOOK_EVERY,
                Err(Interrupted::Over) => break,
                Err(Interrupted::Database(error)) => {
                    warn!(error = %Report(&error), "The outbox could not be read or written; will try again.");
                    RETRY_DELAY
                }
            };
            tokio::select! {
                Some(answer) = self.answers.next() => self.take(answer),
                () = wake.notified() => self.taken.look_again(),
                () = sleep(pause) => self.taken.look_again(),
                () = shutdown.begun() => {}
            }
        }
        self.take_ready();
        if let Err(Interrupted::Database(error)) = self.settle().await {
            warn!(error = %Report(&error), "Published effects stay in the outbox and will be sent again.");
        }
    }

    /// Writes down what is known, then hands over what there is room for.
    async fn round(&mut self, shutdown: &Shutdown) -> Result<(), Interrupted> {
        self.take_ready();
        self.settle().await?;
        while let Some(wanted) = self.taken.wanted() {
            let query = wanted.clone();
            let read = self.ask(move |db| table::waiting(db, &query)).await?;
            if !read.rows.is_empty() {
                failpoint::reach(Point::RowsRead);
            }
            for row in self.taken.take(&wanted, read) {
                self.hand_over(row, shutdown).await?;
            }
        }
        Ok(())
    }

    async fn hand_over(&mut self, row: Waiting, shutdown: &Shutdown) -> Result<(), Interrupted> {
        let Waiting {
            seq,
            id,
            lane,
            effect,
        } = row;
        let (bytes, effect) = (effect.len(), Bytes::from(effect));
        let ack = tokio::select! {
            ack = self.client.deliver_as(id, effect.clone()) => ack.map_err(|_| Interrupted::Over)?,
            () = shutdown.begun() => return Err(Interrupted::Over),
        };
        let client = self.client.clone();
        let answer = async move {
            let fate = match ack.await {
                Err(PublishError::AlreadySubmitted) => after_its_twin(&client, id, effect).await,
                fate => fate,
            };
            (seq, Load { lane, bytes }, fate)
        };
        self.answers.push(Box::pin(answer));
        Ok(())
    }

    /// Takes every answer that is there.
    fn take_ready(&mut self) {
        while let Some(Some(answer)) = self.answers.next().now_or_never() {
            self.take(answer);
        }
    }

    fn take(&mut self, (seq, load, fate): Answer) {
        match fate {
            Ok(()) => self.fates.push((seq, Ok(()))),
            Err(PublishError::Failed(failed)) => self.fates.push((seq, Err(failed.to_string()))),
            // Nothing is known of it: it stays, and goes out again with the
            // next courier.
            Err(_) => return,
        }
        self.taken.done(&load);
    }

    async fn settle(&mut self) -> Result<(), Interrupted> {
        if self.fates.is_empty() {
            return Ok(());
        }
        let fates = std::mem::take(&mut self.fates);
        let written = self.ask(move |db| {
            let settled = table::settle(db, &fates);
            failpoint::reach(Point::RowsDeleted);
            Ok((fates, settled))
        });
        let (fates, settled) = written.await?;
        settled.map_err(|error| {
            self.fates = fates;
            Interrupted::Database(error)
        })
    }

    /// Runs `work` on a thread that may wait for the disk.
    async fn ask<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Connection) -> Result<R, OutboxError> + Send + 'static,
    ) -> Result<R, Interrupted> {
        let mut db = self.db.take().ok_or(Interrupted::Over)?;
        let blocking = tokio::task::spawn_blocking(move || {
            let done = work(&mut db);
            (db, done)
        });
        let (db, done) = blocking.await.map_err(|_| Interrupted::Over)?;
        self.db = Some(db);
        done.map_err(Interrupted::Database)
    }
}
