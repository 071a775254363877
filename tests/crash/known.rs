//! What was published before a kill is known after it, whatever it comes back as.

use falco::client::Client;
use falco::protocol::id::EffectId;

use crate::rig::{Rig, wait_until};
use crate::{DIRECT, OUTBOX};

const MESSAGES: u32 = 24;

/// A message of a conversation: each attempt has an id of its own, and bytes of
/// its own.
fn message(number: u32, attempt: u32) -> String {
    let channel = "session:s:conversation";
    format!(
        r#"{{"session_id":"s","channel":"{channel}","event":"conversation.message.v1","payload":{{"message_id":"m{number}","sequence_number":{number},"nonce":{attempt}}}}}"#
    )
}

/// Hands all messages over at once, so that they go out in batches, or one after
/// the other.
async fn hand_over(client: &Client, attempt: u32, is_at_once: bool) {
    let mut acks = Vec::new();
    for number in 0..MESSAGES {
        let effect = message(number, attempt);
        let ack = client.deliver(effect).await.expect("a client");
        if is_at_once {
            acks.push(ack);
        } else {
            assert_eq!(ack.await, Ok(()));
        }
    }
    for ack in acks {
        assert_eq!(ack.await, Ok(()));
    }
}

fn seen(rig: &Rig) -> usize {
    rig.history("session:s:conversation").len()
}

#[tokio::main(flavor = "current_thread")]
async fn resend_after_kills(settings: &str) {
    let rig = Rig::new(settings);
    rig.up(None);
    hand_over(&rig.client(), 0, true).await;
    let all = MESSAGES as usize;
    wait_until("all is published", || rig.is_published()).await;
    assert_eq!(seen(&rig), all);
    for attempt in 1..=2 {
        rig.kill().await;
        rig.up(None);
        hand_over(&rig.client(), attempt, false).await;
        wait_until("all is published", || rig.is_published()).await;
        assert_eq!(seen(&rig), all, "attempt {attempt}");
        // An outbox may die before it is on disk that they were published: then
        // they go out again, as they were.
        if settings == DIRECT {
            assert_eq!(rig.published()["s"].len(), all, "attempt {attempt}");
        }
    }
}

#[test]
fn messages_with_new_ids_are_known_by_their_keys_after_a_kill() {
    resend_after_kills(DIRECT);
}

#[test]
fn messages_with_new_ids_are_known_by_their_keys_after_a_kill_with_an_outbox() {
    resend_after_kills(OUTBOX);
}

#[tokio::main(flavor = "current_thread")]
#[test]
async fn an_id_that_was_published_is_known_by_its_bytes_after_a_kill() {
    let rig = Rig::new(DIRECT);
    let id = EffectId::from_bytes([7; 16]);
    let hand_over = async |attempt| {
        let client = rig.client();
        let ack = client.deliver_as(id, message(1, attempt)).await;
        ack.expect("a client").await
    };
    rig.up(None);
    assert_eq!(hand_over(0).await, Ok(()));
    rig.kill().await;
    rig.up(None);
    let conflict = hand_over(1).await.expect_err("other bytes");
    assert!(conflict.to_string().contains("id_conflict"), "{conflict}");
    assert_eq!(hand_over(0).await, Ok(()));
    assert_eq!(seen(&rig), 1);
}
