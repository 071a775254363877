//! A chat daemon that tells the world of every message it has committed.

use std::error::Error;
use std::path::{Path, PathBuf};

use falco::client::Client;
use falco::client::outbox::{self, Courier, rusqlite::Connection};

/// Where it keeps its messages, and how it tells of them.
pub struct Chat {
    db: Connection,
    courier: Courier,
}

impl Chat {
    /// Opens the database and goes on telling what was not told before a crash.
    pub fn start(database: &Path, falco_socket: PathBuf) -> Result<Self, Box<dyn Error>> {
        let db = Connection::open(database)?;
        db.pragma_update(None, "journal_mode", "WAL")?;
        db.execute_batch(
            "CREATE TABLE IF NOT EXISTS messages (session TEXT NOT NULL, n INTEGER NOT NULL)",
        )?;
        outbox::create(&db)?;
        let courier = Courier::start(database, Client::new(falco_socket))?;
        Ok(Self { db, courier })
    }

    /// Commits a message and what the world is told of it, together or not at
    /// all. From here on it is told for certain.
    pub fn append(&mut self, session: &str, n: u32) -> Result<(), Box<dyn Error>> {
        let transaction = self.db.transaction()?;
        transaction.execute("INSERT INTO messages VALUES (?1, ?2)", (session, n))?;
        let effect = format!(
            r#"{{"type":"message_appended","session_id":"{session}",
                "channel":"session:{session}:conversation","payload":{{"n":{n}}}}}"#
        );
        outbox::enqueue(&transaction, effect)?;
        transaction.commit()?;
        self.courier.wake();
        Ok(())
    }

    /// How many messages the world has not been told of yet.
    pub fn untold(&self) -> Result<u64, Box<dyn Error>> {
        Ok(outbox::pending(&self.db)?)
    }
}
