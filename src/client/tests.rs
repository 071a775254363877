use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;
use crate::protocol::frame::{self, Decoded, Decoder, Kind, Status};

/// A Falco whose answers a test writes.
pub(super) struct Falco {
    pub(super) dir: tempfile::TempDir,
    listener: Option<UnixListener>,
}

pub(super) struct Session {
    stream: UnixStream,
    decoder: Decoder,
    input: BytesMut,
}

impl Falco {
    pub(super) fn listening() -> Self {
        let mut falco = Self::absent();
        falco.listen();
        falco
    }

    fn absent() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = None;
        Self { dir, listener }
    }

    fn listen(&mut self) {
        self.listener = Some(UnixListener::bind(self.socket()).unwrap());
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.dir.path().join("falco.sock")
    }

    pub(super) async fn accept(&self) -> Session {
        let listener = self.listener.as_ref().unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let decoder = Decoder::new(Kind::SideEffect, frame::Limits::default());
        let input = BytesMut::new();
        Session {
            stream,
            decoder,
            input,
        }
    }
}

impl Session {
    pub(super) async fn read(&mut self) -> (EffectId, String) {
        loop {
            if let Some(decoded) = self.decoder.decode(&mut self.input).unwrap() {
                let Decoded::Frame { id, body, .. } = decoded else {
                    panic!("{decoded:?}");
                };
                return (id, String::from_utf8(body.to_vec()).unwrap());
            }
            assert_ne!(self.stream.read_buf(&mut self.input).await.unwrap(), 0);
        }
    }

    pub(super) async fn ack(&mut self, id: EffectId, status: Status, text: &str) {
        let mut out = BytesMut::new();
        frame::encode(
            Kind::PublishAck,
            status.code(),
            id,
            text.as_bytes(),
            &mut out,
        );
        self.stream.write_all(&out).await.unwrap();
    }
}

#[tokio::test]
async fn effects_go_out_in_order_and_acks_find_theirs_in_any_order() {
    let falco = Falco::listening();
    let client = Client::new(falco.socket());
    let first = client.submit("1").await.unwrap();
    let second = client.submit("2").await.unwrap();
    let mut session = falco.accept().await;
    assert_eq!(session.read().await, (first.effect_id(), "1".into()));
    assert_eq!(session.read().await, (second.effect_id(), "2".into()));
    session
        .ack(second.effect_id(), Status::Failed, "rejected: no")
        .await;
    session.ack(EffectId::random(), Status::Success, "").await;
    let PublishError::Failed(failed) = second.await.unwrap_err() else {
        panic!("failed");
    };
    assert!(failed.is_rejected());
    assert_eq!(failed.to_string(), "rejected: no");
    session.ack(first.effect_id(), Status::Success, "").await;
    assert_eq!(first.await, Ok(()));
}

#[tokio::test]
async fn after_a_lost_connection_what_is_unacked_comes_again_in_order() {
    let falco = Falco::listening();
    let client = Client::new(falco.socket());
    let mut acks = Vec::new();
    for body in ["1", "2", "3"] {
        acks.push(client.submit(body).await.unwrap());
    }
    let mut session = falco.accept().await;
    for _ in 0..3 {
        session.read().await;
    }
    session.ack(acks[1].effect_id(), Status::Success, "").await;
    assert_eq!(acks.remove(1).await, Ok(()));
    drop(session);

    let mut session = falco.accept().await;
    for ack in acks {
        let (id, _) = session.read().await;
        assert_eq!(id, ack.effect_id());
        session.ack(id, Status::Success, "").await;
        assert_eq!(ack.await, Ok(()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_owes_an_answer_and_is_silent_is_given_up_and_the_next_one_used() {
    let falco = Falco::listening();
    let client = Client::new(falco.socket());
    let ack = client.deliver("1").await.unwrap();
    let mut silent = falco.accept().await;
    silent.read().await;
    let begun = Instant::now();

    let mut session = falco.accept().await;
    assert!((SILENCE..SILENCE * 2).contains(&begun.elapsed()));
    let (id, _) = session.read().await;
    assert_eq!(id, ack.effect_id());
    session.ack(id, Status::Success, "").await;
    assert_eq!(ack.await, Ok(()));
    // That one owes nothing now, however long it says nothing.
    tokio::time::sleep(SILENCE * 3).await;
    let ack = client.deliver("2").await.unwrap();
    let (id, _) = session.read().await;
    session.ack(id, Status::Success, "").await;
    assert_eq!(ack.await, Ok(()));
}

#[tokio::test]
async fn a_falco_that_comes_late_is_found() {
    let mut falco = Falco::absent();
    let client = Client::new(falco.socket());
    let ack = client.submit("1").await.unwrap();
    tokio::time::sleep(Duration::from_millis(30)).await;
    falco.listen();
    let mut session = falco.accept().await;
    let (id, _) = session.read().await;
    session.ack(id, Status::Success, "").await;
    assert_eq!(ack.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_effect_without_ack_times_out_and_the_client_goes_on() {
    let falco = Falco::absent();
    let client = Client::with_timeout(falco.socket(), Duration::from_secs(3));
    let start = tokio::time::Instant::now();
    assert_eq!(client.publish("1").await, Err(PublishError::TimedOut));
    assert_eq!(start.elapsed(), Duration::from_secs(3));
    assert_eq!(client.publish("2").await, Err(PublishError::TimedOut));
}

#[tokio::test]
async fn an_id_that_waits_for_its_ack_is_not_taken_twice() {
    let falco = Falco::listening();
    let client = Client::new(falco.socket());
    let id = EffectId::random();
    let first = client.submit_as(id, "1").await.unwrap();
    let second = client.submit_as(id, "1").await.unwrap();
    assert_eq!(second.await, Err(PublishError::AlreadySubmitted));
    let mut session = falco.accept().await;
    session.read().await;
    session.ack(id, Status::Success, "").await;
    assert_eq!(first.await, Ok(()));
}

#[tokio::test]
async fn the_task_ends_with_its_last_handle_once_everything_is_acked() {
    let falco = Falco::listening();
    let client = Client::new(falco.socket());
    let ack = client.submit("1").await.unwrap();
    drop(client);
    let mut session = falco.accept().await;
    let (id, _) = session.read().await;
    session.ack(id, Status::Success, "").await;
    assert_eq!(ack.await, Ok(()));
    assert_eq!(
        session.stream.read_buf(&mut session.input).await.unwrap(),
        0
    );
}

#[tokio::test]
async fn an_effect_over_the_limit_fails_without_costing_the_connection_of_others() {
    let falco = Falco::listening();
    let client = Client::new(falco.socket());
    let huge = client.submit(vec![b' '; 17 * 1024 * 1024]).await.unwrap();
    let small = client.submit("{}").await.unwrap();

    let Err(PublishError::Failed(failed)) = huge.await else {
        panic!("taken");
    };
    assert_eq!(failed.class(), "too_large");
    assert!(failed.is_rejected());
    let (id, _) = falco.accept().await.read().await;
    assert_eq!(id, small.effect_id());
}

#[tokio::test(start_paused = true)]
async fn patience_begins_when_an_effect_is_submitted_however_many_wait_before_it() {
    let falco = Falco::absent();
    let client = Client::with_timeout(falco.socket(), Duration::from_secs(3));
    let began = Instant::now();
    let mut acks = Vec::new();
    for _ in 0..UNACKED_MAX {
        acks.push(client.submit("{}").await.unwrap());
    }
    for ack in acks {
        assert_eq!(ack.await, Err(PublishError::TimedOut));
    }
    assert!(began.elapsed() < Duration::from_millis(3500));
}
