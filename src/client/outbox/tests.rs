use rusqlite::Connection;

use super::super::Client;
use super::super::tests::Falco;
use super::*;
use crate::protocol::frame::Status;

struct Daemon {
    falco: Falco,
    db: Connection,
    path: std::path::PathBuf,
}

impl Daemon {
    fn new() -> Self {
        let falco = Falco::listening();
        let path = falco.dir.path().join("daemon.db");
        let db = Connection::open(&path).unwrap();
        db.pragma_update(None, "journal_mode", "WAL").unwrap();
        create(&db).unwrap();
        Self { falco, db, path }
    }

    fn commit(&mut self, effects: &[&str]) -> Vec<super::super::EffectId> {
        let transaction = self.db.transaction().unwrap();
        let ids = effects.iter().map(|e| enqueue(&transaction, *e).unwrap());
        let ids = ids.collect();
        transaction.commit().unwrap();
        ids
    }

    fn courier(&self) -> Courier {
        Courier::start(&self.path, Client::new(self.falco.socket())).unwrap()
    }

    /// Waits until so many effects are left.
    async fn left(&self, count: u64) {
        while pending(&self.db).unwrap() != count {
            tokio::task::yield_now().await;
        }
    }
}

const EFFECT: &str = r#"{"type":"t","session_id":"s"}"#;

#[tokio::test]
async fn committed_effects_go_out_in_order_and_leave_the_table_once_published() {
    let mut daemon = Daemon::new();
    let ids = daemon.commit(&[EFFECT, EFFECT]);
    let courier = daemon.courier();
    let mut session = daemon.falco.accept().await;
    for id in &ids {
        assert_eq!(session.read().await, (*id, EFFECT.to_owned()));
    }
    session.ack(ids[0], Status::Success, "").await;
    daemon.left(1).await;
    session.ack(ids[1], Status::Success, "").await;
    daemon.left(0).await;
    drop(courier);
}

#[tokio::test]
async fn a_transaction_that_is_rolled_back_tells_nobody_anything() {
    let mut daemon = Daemon::new();
    let courier = daemon.courier();
    let transaction = daemon.db.transaction().unwrap();
    enqueue(&transaction, EFFECT).unwrap();
    transaction.rollback().unwrap();
    let ids = daemon.commit(&[EFFECT]);
    courier.wake();
    let mut session = daemon.falco.accept().await;
    assert_eq!(session.read().await.0, ids[0]);
}

#[tokio::test]
async fn what_was_not_published_goes_out_again_under_its_id_after_a_crash() {
    let mut daemon = Daemon::new();
    let ids = daemon.commit(&[EFFECT]);
    let courier = daemon.courier();
    let mut session = daemon.falco.accept().await;
    assert_eq!(session.read().await.0, ids[0]);
    drop(courier);
    drop(session);

    let _courier = daemon.courier();
    let mut session = daemon.falco.accept().await;
    assert_eq!(session.read().await.0, ids[0]);
    session.ack(ids[0], Status::Success, "").await;
    daemon.left(0).await;
}

#[tokio::test]
async fn what_can_never_be_published_stays_with_its_reason_until_it_is_dropped() {
    let mut daemon = Daemon::new();
    let ids = daemon.commit(&["{}", EFFECT]);
    let _courier = daemon.courier();
    let mut session = daemon.falco.accept().await;
    session.read().await;
    session
        .ack(ids[0], Status::Failed, "rejected: no event")
        .await;
    session.read().await;
    session.ack(ids[1], Status::Success, "").await;
    daemon.left(0).await;
    let left = rejected(&daemon.db, 10).unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].effect_id, ids[0]);
    assert_eq!(left[0].effect, b"{}");
    assert_eq!(left[0].reason, "rejected: no event");
    assert!(drop_rejected(&daemon.db, ids[0]).unwrap());
    assert!(rejected(&daemon.db, 10).unwrap().is_empty());
}

#[tokio::test]
async fn large_effects_are_read_a_few_at_a_time_and_all_go_out_in_order() {
    const COUNT: usize = 20;
    let mut daemon = Daemon::new();
    let padding = " ".repeat(600_000);
    let large = |n| format!(r#"{{"type":"t","session_id":"s","n":{n},"x":"{padding}"}}"#);
    let effects: Vec<String> = (0..COUNT).map(large).collect();
    let ids = daemon.commit(&effects.iter().map(String::as_str).collect::<Vec<_>>());
    let _courier = daemon.courier();
    let mut session = daemon.falco.accept().await;
    let mut read = Vec::new();
    for n in 0..COUNT {
        // One session has no more than two of them on its way.
        while read.len() < COUNT && read.len() <= n {
            read.push(session.read().await.0);
        }
        session.ack(read[n], Status::Success, "").await;
    }
    assert_eq!(read, ids);
    daemon.left(0).await;
}

#[tokio::test]
async fn a_stop_writes_down_what_was_published() {
    let mut daemon = Daemon::new();
    let ids = daemon.commit(&[EFFECT, EFFECT]);
    let courier = daemon.courier();
    let mut session = daemon.falco.accept().await;
    session.read().await;
    session.ack(ids[0], Status::Success, "").await;
    daemon.left(1).await;
    let grace = std::time::Duration::from_secs(10);
    assert_eq!(courier.stop(grace).await, crate::shutdown::Drained::InTime);
    assert_eq!(pending(&daemon.db).unwrap(), 1);
}

#[tokio::test]
async fn a_courier_that_takes_over_a_client_learns_what_became_of_the_effects_before() {
    let mut daemon = Daemon::new();
    let ids = daemon.commit(&[EFFECT]);
    let client = Client::new(daemon.falco.socket());
    let first = Courier::start(&daemon.path, client.clone()).unwrap();
    let mut session = daemon.falco.accept().await;
    session.read().await;
    let grace = std::time::Duration::from_secs(10);
    first.stop(grace).await;
    let _second = Courier::start(&daemon.path, client).unwrap();
    session.ack(ids[0], Status::Success, "").await;
    assert_eq!(session.read().await.0, ids[0], "asked for again");
    session.ack(ids[0], Status::Success, "").await;
    daemon.left(0).await;
}
