//! Attaching, publishing, presence.

use serde_json::json;

use crate::client::{Emulator, HAS_BACKLOG};

#[tokio::test]
async fn a_publish_is_acked_with_its_serials_and_delivered_under_them() {
    let emulator = Emulator::start(&[]);
    let mut client = emulator.connect("clientId=ann").await;
    client.attach(json!({"channel": "c"})).await;
    let messages = json!([{"name": "a", "data": "1"}, {"name": "b", "data": {"inline": 1}}]);
    client
        .send(json!({"action": 15, "msgSerial": 0, "channel": "c", "messages": messages}))
        .await;
    let ack = client.expect(1).await;
    assert_eq!((&ack["msgSerial"], &ack["count"]), (&json!(0), &json!(1)));
    let delivered = client.expect(15).await;
    let serials: Vec<_> = delivered["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["serial"])
        .collect();
    assert_eq!(ack["res"][0]["serials"], json!(serials));
    assert_eq!(delivered["connectionId"], client.connected["connectionId"]);
    assert_eq!(delivered["id"], format!("{}:0", client.id()));
    assert_eq!(delivered["messages"][0]["clientId"], "ann");
    let inline = &delivered["messages"][1];
    assert_eq!(
        (&inline["data"], &inline["encoding"]),
        (&json!("{\"inline\":1}"), &json!("json"))
    );
}

#[tokio::test]
async fn a_client_without_echo_does_not_hear_itself() {
    let emulator = Emulator::start(&[]);
    let mut quiet = emulator.connect("echo=false").await;
    let mut other = emulator.connect("").await;
    quiet.attach(json!({"channel": "c"})).await;
    other.attach(json!({"channel": "c"})).await;
    quiet.publish(0, "c", "x").await;
    assert_eq!(other.message().await, "x");
    quiet.expect_nothing().await;
}

#[tokio::test]
async fn an_id_sent_again_is_acked_and_not_delivered_again() {
    let emulator = Emulator::start(&[]);
    let mut client = emulator.connect("").await;
    let mut reader = emulator.connect("").await;
    reader.attach(json!({"channel": "c"})).await;
    for serial in 0..2 {
        let messages = json!([{"id": "effect:0", "data": "x"}, {"id": "effect:1", "data": "y"}]);
        client
            .send(json!({"action": 15, "msgSerial": serial, "channel": "c", "messages": messages}))
            .await;
        client.expect(1).await;
    }
    assert_eq!(reader.expect(15).await["messages"][1]["id"], "effect:1");
    reader.expect_nothing().await;
}

#[tokio::test]
async fn a_rewind_begins_with_the_past() {
    let emulator = Emulator::start(&[]);
    let mut client = emulator.connect("").await;
    let messages = json!([{"data": "1"}, {"data": "2"}, {"data": "3"}]);
    client
        .send(json!({"action": 15, "msgSerial": 0, "channel": "c", "messages": messages}))
        .await;
    client.expect(1).await;
    let attached = client
        .attach(json!({"channel": "c", "params": {"rewind": "2", "x": "y"}}))
        .await;
    assert_ne!(attached["flags"].as_u64().unwrap() & HAS_BACKLOG, 0);
    assert_eq!(attached["params"], json!({"rewind": "2"}));
    let past = client.expect(15).await;
    let data: Vec<_> = past["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["data"])
        .collect();
    assert_eq!(data, [&json!("2"), &json!("3")]);
    assert_eq!(past["messages"][0]["id"], format!("{}:0:1", client.id()));
}

#[tokio::test]
async fn a_channel_that_cannot_be_concerns_that_channel_only() {
    let emulator = Emulator::start(&[]);
    let mut client = emulator.connect("").await;
    for channel in ["", "[unknown]x", ":x"] {
        client.send(json!({"action": 10, "channel": channel})).await;
        let error = client.expect(9).await;
        assert_eq!(
            (&error["channel"], &error["error"]["code"]),
            (&json!(channel), &json!(40010))
        );
    }
    client
        .send(json!({"action": 12, "channel": "never attached"}))
        .await;
    client.expect(13).await;
    client.attach(json!({"channel": "fine"})).await;
}

#[tokio::test]
async fn the_capability_decides_what_a_client_may_do() {
    let emulator = Emulator::start(&[]);
    let token = emulator.jwt(
        60,
        &json!({"out:*": ["publish"], "in": ["subscribe"]}),
        None,
    );
    let mut client = emulator.open(&format!("accessToken={token}")).await;
    client.expect(4).await;
    assert_eq!(client.publish(0, "out:1", "x").await["action"], 1);
    assert_eq!(client.publish(1, "in", "x").await["error"]["code"], 40160);
    let attached = client.attach(json!({"channel": "in"})).await;
    assert_eq!(
        attached["flags"].as_u64().unwrap() & (0xf << 16),
        (1 << 18) | (1 << 19)
    );
    client
        .send(json!({"action": 10, "channel": "out:1", "flags": 1 << 18}))
        .await;
    assert_eq!(client.expect(9).await["error"]["code"], 40160);
    let presence = json!([{"action": 2, "clientId": "x"}]);
    client
        .send(json!({"action": 14, "msgSerial": 2, "channel": "in", "presence": presence}))
        .await;
    assert_eq!(client.expect(2).await["msgSerial"], 2);
}

#[tokio::test]
async fn who_attaches_learns_who_is_present_and_who_leaves() {
    let emulator = Emulator::start(&[]);
    let mut ann = emulator.connect("clientId=ann").await;
    let enter = json!([{"action": 2, "data": "hi"}]);
    ann.send(json!({"action": 14, "msgSerial": 0, "channel": "c", "presence": enter}))
        .await;
    ann.expect(1).await;

    let mut bob = emulator.connect("clientId=bob").await;
    let attached = bob.attach(json!({"channel": "c"})).await;
    assert_eq!(attached["flags"].as_u64().unwrap() & 1, 1);
    let sync = bob.expect(16).await;
    assert!(sync["channelSerial"].as_str().unwrap().ends_with(':'));
    let member = &sync["presence"][0];
    assert_eq!(
        (&member["action"], &member["clientId"]),
        (&json!(1), &json!("ann"))
    );
    assert_eq!(
        (&member["data"], &member["id"]),
        (&json!("hi"), &json!(format!("{}:0:0", ann.id())))
    );

    ann.send(json!({"action": 7})).await;
    let left = bob.expect(14).await;
    assert_eq!(
        (
            &left["presence"][0]["action"],
            &left["presence"][0]["clientId"]
        ),
        (&json!(3), &json!("ann"))
    );
}

#[tokio::test]
async fn a_close_counts_also_when_its_client_waits_for_no_answer() {
    let emulator = Emulator::start(&[]);
    let mut bob = emulator.connect("").await;
    bob.attach(json!({"channel": "c"})).await;
    for _ in 0..10 {
        let mut ann = emulator.connect("clientId=ann").await;
        let enter = json!([{"action": 2}]);
        ann.send(json!({"action": 14, "msgSerial": 0, "channel": "c", "presence": enter}))
            .await;
        ann.send(json!({"action": 7})).await;
        ann.socket.close(None).await.unwrap();
        drop(ann);
        assert_eq!(bob.expect(14).await["presence"][0]["action"], 2);
        assert_eq!(bob.expect(14).await["presence"][0]["action"], 3);
    }
}

#[tokio::test]
async fn a_member_whose_socket_is_lost_stays_for_its_grace_and_is_kept_by_a_resume() {
    // A busy machine may need more of a grace to resume.
    for grace_ms in [3000, 15_000, 45_000] {
        if resumes_within(grace_ms).await {
            return;
        }
    }
    panic!("each grace was over before the connection was resumed");
}

/// Whether a connection of this grace could be resumed in time; asserts that its
/// member stays if so, and leaves once its socket is lost for good.
async fn resumes_within(grace_ms: u64) -> bool {
    let emulator = Emulator::start(&[]);
    let mut bob = emulator.connect("").await;
    bob.attach(json!({"channel": "c"})).await;
    let params = format!("clientId=ann&remainPresentFor={grace_ms}");
    let mut ann = emulator.connect(&params).await;
    ann.send(json!({"action": 14, "msgSerial": 0, "channel": "c", "presence": [{"action": 2}]}))
        .await;
    assert_eq!(bob.expect(14).await["presence"][0]["action"], 2);
    let params = format!("{params}&resume={}", ann.key());
    let grace = std::time::Duration::from_millis(grace_ms);
    let lost = std::time::Instant::now();
    drop(ann);
    let ann = emulator.connect(&params).await;
    if lost.elapsed() >= grace {
        return false;
    }
    tokio::time::sleep(grace.mul_f32(1.5)).await;
    bob.expect_nothing().await;
    drop(ann);
    assert_eq!(bob.expect(14).await["presence"][0]["action"], 3);
    true
}
