//! The table, and everything that is asked of it.
//!
//! | column | what |
//! |---|---|
//! | `seq` | the order of commits; never used twice |
//! | `effect_id` | 16 bytes, the id it is sent under, always |
//! | `lane` | what it must stay in order with |
//! | `effect` | the side-effect JSON |
//! | `rejected` | why it can never be published; NULL while it waits |

use rusqlite::types::Value;
use rusqlite::{Connection, Row, Transaction, params, params_from_iter};

use super::super::lane_of;
use crate::protocol::id::{EffectId, LaneKey};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS falco_outbox (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    effect_id BLOB NOT NULL UNIQUE,
    lane      TEXT NOT NULL,
    effect    BLOB NOT NULL,
    rejected  TEXT
) STRICT;
CREATE INDEX IF NOT EXISTS falco_outbox_waiting ON falco_outbox (lane, seq) WHERE rejected IS NULL;
";

/// The database did not do what the outbox asked of it.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
    /// The database could not be opened.
    #[error("failed to open the database of the outbox at {path}")]
    Open {
        /// Where it was expected.
        path: std::path::PathBuf,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
    /// The table could not be made, read or changed.
    #[error("failed to {doing} the outbox table falco_outbox")]
    Table {
        /// What was tried.
        doing: &'static str,
        /// What SQLite says.
        #[source]
        source: rusqlite::Error,
    },
}

/// Names what was tried when SQLite refused it.
fn cannot(doing: &'static str) -> impl FnOnce(rusqlite::Error) -> OutboxError {
    move |source| OutboxError::Table { doing, source }
}

/// An effect that can never be published as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The id it was sent under.
    pub effect_id: EffectId,
    /// The side-effect JSON.
    pub effect: Vec<u8>,
    /// Falco's words.
    pub reason: String,
}

/// Makes the table, if it is not there.
///
/// # Errors
///
/// When the database cannot be written.
pub fn create(db: &Connection) -> Result<(), OutboxError> {
    db.execute_batch(SCHEMA).map_err(cannot("create"))
}

/// Writes an effect into the outbox, as part of the daemon's own transaction.
///
/// `json` is the side effect: an object with at least `type` or `event`. Call
/// [`Courier::wake`](super::Courier::wake) after the commit.
///
/// # Errors
///
/// When the database refuses it; roll the transaction back then.
pub fn enqueue(
    transaction: &Transaction<'_>,
    json: impl Into<Vec<u8>>,
) -> Result<EffectId, OutboxError> {
    let id = EffectId::random();
    let effect: Vec<u8> = json.into();
    let lane = lane_of(id, &effect.clone().into());
    let sql = "INSERT INTO falco_outbox (effect_id, lane, effect) VALUES (?1, ?2, ?3)";
    let row = params![id.as_bytes(), lane.as_str(), effect];
    let inserted = transaction.prepare_cached(sql);
    let inserted = inserted.and_then(|mut insert| insert.execute(row));
    inserted.map_err(cannot("add to"))?;
    Ok(id)
}

/// How many effects are committed and not published yet.
///
/// # Errors
///
/// When the table cannot be read.
pub fn pending(db: &Connection) -> Result<u64, OutboxError> {
    let sql = "SELECT count(*) FROM falco_outbox WHERE rejected IS NULL";
    let count: i64 = db
        .query_row(sql, [], |row| row.get(0))
        .map_err(cannot("read"))?;
    Ok(count.unsigned_abs())
}

/// The effects Falco refused for good, oldest first, at most `count`.
///
/// # Errors
///
/// When the table cannot be read.
pub fn rejected(db: &Connection, count: u32) -> Result<Vec<Rejected>, OutboxError> {
    let sql = "SELECT effect_id, effect, rejected FROM falco_outbox
               WHERE rejected IS NOT NULL ORDER BY seq LIMIT ?1";
    let read = |row: &Row<'_>| {
        Ok(Rejected {
            effect_id: EffectId::from_bytes(row.get(0)?),
            effect: row.get(1)?,
            reason: row.get(2)?,
        })
    };
    let mut select = db.prepare_cached(sql).map_err(cannot("read"))?;
    let rows = select.query_map([count], read).map_err(cannot("read"))?;
    rows.collect::<Result<_, _>>().map_err(cannot("read"))
}

/// Deletes an effect that was refused for good; whether there was one.
///
/// # Errors
///
/// When the table cannot be changed.
pub fn drop_rejected(db: &Connection, id: EffectId) -> Result<bool, OutboxError> {
    let sql = "DELETE FROM falco_outbox WHERE effect_id = ?1 AND rejected IS NOT NULL";
    let deleted = db.execute(sql, [id.as_bytes()]);
    Ok(deleted.map_err(cannot("delete from"))? > 0)
}

/// An effect that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub seq: i64,
    pub id: EffectId,
    pub lane: LaneKey,
    pub effect: Vec<u8>,
}

impl Waiting {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            id: EffectId::from_bytes(row.get(1)?),
            lane: LaneKey::new(row.get::<_, String>(2)?),
            effect: row.get(3)?,
        })
    }
}

/// What waits behind `seq`, of lane `lane` or of all but `except`: so many rows,
/// and none after those that come to so many bytes.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub behind: i64,
    pub lane: Option<LaneKey>,
    pub except: Vec<LaneKey>,
    pub count: usize,
    pub bytes: usize,
}

/// Rows as they were wanted.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub rows: Vec<Waiting>,
    /// Nothing of the kind comes after them.
    pub is_end: bool,
}

/// The rows wanted, in order; one at least, if there is one.
pub(super) fn waiting(db: &Connection, wanted: &Wanted) -> Result<Rows, OutboxError> {
    let places = vec!["?"; wanted.except.len()].join(",");
    let lanes = match &wanted.lane {
        Some(_) => "lane = ?".to_owned(),
        None => format!("lane NOT IN ({places})"),
    };
    let sql = format!(
        "SELECT seq, effect_id, lane, effect FROM falco_outbox
         WHERE rejected IS NULL AND seq > ? AND {lanes} ORDER BY seq LIMIT ?"
    );
    let named = wanted.lane.iter().chain(&wanted.except);
    let mut values = vec![Value::from(wanted.behind)];
    values.extend(named.map(|lane| Value::from(lane.as_str().to_owned())));
    values.push(Value::from(i64::try_from(wanted.count).unwrap_or(i64::MAX)));
    let mut select = db.prepare_cached(&sql).map_err(cannot("read"))?;
    let rows = select.query_map(params_from_iter(values), Waiting::read);
    let mut read = Rows::default();
    let mut bytes = 0;
    for row in rows.map_err(cannot("read"))? {
        let row = row.map_err(cannot("read"))?;
        bytes += row.effect.len();
        read.rows.push(row);
        if wanted.bytes <= bytes {
            return Ok(read);
        }
    }
    read.is_end = read.rows.len() < wanted.count;
    Ok(read)
}

/// What became of an effect: published, or refused for good with this reason.
pub(super) type Fate = (i64, Result<(), String>);

/// Writes down what became of effects, all of it or nothing.
pub(super) fn settle(db: &mut Connection, fates: &[Fate]) -> Result<(), OutboxError> {
    let settled = (|| {
        let transaction = db.transaction()?;
        for (seq, fate) in fates {
            match fate {
                Ok(()) => transaction
                    .prepare_cached("DELETE FROM falco_outbox WHERE seq = ?1")?
                    .execute([seq])?,
                Err(reason) => transaction
                    .prepare_cached("UPDATE falco_outbox SET rejected = ?2 WHERE seq = ?1")?
                    .execute(params![seq, reason])?,
            };
        }
        transaction.commit()
    })();
    settled.map_err(cannot("settle effects in"))
}
