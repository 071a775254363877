//! What is over a limit is refused or cut off, and harms nobody else.

use futures_util::SinkExt as _;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message as Frame;

use crate::client::{Emulator, HAS_PRESENCE, RESUMED};

#[tokio::test]
async fn publishes_over_a_limit_are_refused_in_the_order_of_their_serials() {
    let emulator = Emulator::start(&["--max-message-size", "100"]);
    let mut client = emulator.connect("clientId=ann").await;
    let publishes = [
        (json!([{"data": "x".repeat(101)}]), Some(40009)),
        (json!([{"data": "x"}]), None),
        (json!([{"id": "a"}, {"id": "b"}]), Some(40031)),
        (json!([{"data": "x", "clientId": "bob"}]), Some(40012)),
        (json!(vec![json!({}); 1001]), Some(40034)),
    ];
    for (serial, (messages, _)) in publishes.iter().enumerate() {
        client
            .send(json!({"action": 15, "msgSerial": serial, "channel": "c", "messages": messages}))
            .await;
    }
    for (serial, (_, code)) in publishes.iter().enumerate() {
        let answer = client.next().await.unwrap();
        assert_eq!(answer["msgSerial"], serial);
        assert_eq!(answer["error"]["code"].as_u64(), *code, "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_is_too_fast_is_refused_and_stays_connected() {
    let emulator = Emulator::start(&["--max-inbound-rate", "5"]);
    let mut client = emulator.connect("").await;
    let mut answers = Vec::new();
    // So many that they would be allowed in seven seconds only.
    for serial in 0..40 {
        answers.push(client.publish(serial, "c", "x").await);
    }
    assert!(answers[..5].iter().all(|answer| answer["action"] == 1));
    let refused = |answer: &serde_json::Value| answer["error"]["code"] == 42911;
    assert!(answers.iter().any(refused), "{answers:?}");
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_loses_continuity_and_is_told() {
    let emulator = Emulator::start(&["--history-bytes", "1048576"]);
    let mut slow = emulator.connect("").await;
    slow.attach(json!({"channel": "c"})).await;
    let mut client = emulator.connect("clientId=ann").await;
    let enter = json!([{"action": 2}]);
    client
        .send(json!({"action": 14, "msgSerial": 0, "channel": "c", "presence": enter}))
        .await;
    client.expect(1).await;
    let data = "x".repeat(30_000);
    for serial in 1..=600 {
        assert_eq!(client.publish(serial, "c", &data).await["action"], 1);
    }
    let attached = loop {
        let frame = slow.next().await.unwrap();
        if frame["action"] == 11 {
            break frame;
        }
    };
    assert_eq!(attached["error"]["code"], 80020);
    let flags = attached["flags"].as_u64().unwrap();
    assert_eq!(flags & (RESUMED | HAS_PRESENCE), HAS_PRESENCE);
    assert_eq!(slow.expect(16).await["presence"][0]["clientId"], "ann");
    client.publish(601, "c", "after").await;
    loop {
        if slow.message().await == "after" {
            break;
        }
    }
}

#[tokio::test]
async fn nonsense_and_giants_end_their_own_connection_only() {
    let emulator = Emulator::start(&[]);
    let mut witness = emulator.connect("").await;
    let nonsense = [
        Frame::text("nonsense"),
        Frame::binary(vec![0xc1; 10]),
        Frame::text(format!("{{\"messages\":{}", "[".repeat(100_000))),
        Frame::binary(b"\x81\xa8messages\xdd\xff\xff\xff\xff".to_vec()),
    ];
    for frame in nonsense {
        let mut client = emulator.connect("").await;
        client.socket.send(frame).await.unwrap();
        assert_eq!(client.expect(9).await["error"]["code"], 40000);
        assert_eq!(client.next().await, None);
    }
    let mut client = emulator.connect("").await;
    _ = client
        .socket
        .send(Frame::text(" ".repeat(1024 * 1024)))
        .await;
    assert_eq!(client.next().await, None);
    witness.expect_nothing().await;
}

#[test]
fn a_history_in_which_nothing_would_reach_anyone_is_refused() {
    for flag in [
        "--history-per-channel=20",
        "--history-bytes=0",
        "--history-age=0",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let refused = crate::client::command(dir.path()).arg(flag).output();
        assert_eq!(refused.unwrap().status.code(), Some(2), "{flag}");
    }
}
