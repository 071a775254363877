use bytes::BytesMut;

use super::*;
use crate::protocol::frame::{self, Kind};
use crate::protocol::id::EffectId;

/// A session, and what the dispatcher takes of it: one submission at a time.
fn session() -> (Session, mpsc::Receiver<Submission>) {
    let (submit, submitted) = mpsc::channel(1);
    let (_, decided) = mpsc::channel(1);
    let (_, news) = watch::channel(News::default());
    let shared = Shared {
        routing: Routing::for_device("d"),
        submit,
        large_frames: LargeFrames::new(0),
        shutdown: Shutdown::new(),
    };
    (Session::new(SessionId(1), shared, decided, news), submitted)
}

fn reads(session: &mut Session, effect: u8) {
    let id = EffectId::from_bytes([effect; 16]);
    let body = br#"{"type":"t","channel":"c","payload":1}"#;
    let mut bytes = BytesMut::new();
    frame::encode(Kind::SideEffect, 0, id, body, &mut bytes);
    session.intake.buffer().extend_from_slice(&bytes);
}

fn taken(submitted: &mut mpsc::Receiver<Submission>) -> Routed {
    match submitted.try_recv() {
        Ok(Submission::Effects(_, routed)) => routed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_of_an_effect_does_not_begin_with_that_of_one_that_waited_for_room() {
    let (mut session, mut submitted) = session();
    let others = Submission::Taken(0);
    session.shared.submit.try_send(others).expect("has room");
    for effect in [1, 2] {
        reads(&mut session, effect);
        session.decode();
        session.submit_now();
        tokio::time::advance(Duration::from_secs(16)).await;
    }
    assert!(matches!(submitted.try_recv(), Ok(Submission::Taken(0))));
    for waited in [32, 0] {
        session.submit_now();
        let routed = taken(&mut submitted);
        assert_eq!(routed.effects.len(), 1);
        assert_eq!(routed.arrived.elapsed(), Duration::from_secs(waited));
        session.decode();
    }
}

#[tokio::test]
async fn nothing_is_taken_from_a_daemon_that_crowds_out_others_until_it_does_not() {
    let (mut session, mut submitted) = session();
    let (_acks, decided) = mpsc::channel(1);
    session.decided = decided;
    let (tell, news) = watch::channel(News {
        crowds: true,
        ..News::default()
    });
    session.debts = Debts::new(news);
    reads(&mut session, 1);
    let (mut ours, _theirs) = UnixStream::pair().expect("a pair");
    let served = tokio::spawn(async move { session.serve(&mut ours).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(submitted.try_recv().is_err() && !served.is_finished());

    tell.send_modify(|news| news.crowds = false);
    let taken = submitted.recv().await;
    assert!(matches!(taken, Some(Submission::Effects(_, routed)) if routed.effects.len() == 1));
    served.abort();
}
