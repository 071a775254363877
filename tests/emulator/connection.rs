//! Connecting, resuming, authenticating, closing.

use serde_json::{Value, json};

use crate::client::{Client, Emulator, PATIENCE, RESUMED};

fn everything() -> Value {
    json!({"*": ["*"]})
}

#[tokio::test]
async fn connected_comes_first_and_says_what_holds() {
    let emulator = Emulator::start(&[]);
    let client = emulator.connect("clientId=ann").await;
    let details = &client.connected["connectionDetails"];
    assert_eq!(details["clientId"], "ann");
    assert_eq!(details["maxMessageSize"], 65_536);
    assert_eq!(details["siteCode"].as_str().map(str::len), Some(3));
    assert!(client.id().len() > 8 && client.key().contains(client.id()));
}

#[tokio::test]
async fn wrong_credentials_end_the_connection_and_name_no_channel() {
    let emulator = Emulator::start(&[]);
    for (params, code) in [
        ("", 40101),
        ("key=a.b:c", 40101),
        ("accessToken=a.b.c", 40144),
        (
            &format!("access_token={}", emulator.jwt(-5, &everything(), None)),
            40142,
        ),
        (
            &format!(
                "accessToken={}&clientId=x",
                emulator.jwt(60, &everything(), None)
            ),
            40102,
        ),
        (
            &format!(
                "accessToken={}&clientId=x",
                emulator.jwt(60, &everything(), Some("y"))
            ),
            40102,
        ),
    ] {
        let mut client = emulator.open(params).await;
        let error = client.expect(9).await;
        assert_eq!(error["error"]["code"], code, "{params}");
        assert!(error.get("channel").is_none());
        assert_eq!(client.next().await, None);
    }
}

#[tokio::test]
async fn a_resumed_connection_keeps_its_id_and_misses_nothing() {
    let emulator = Emulator::start(&[]);
    let mut publisher = emulator.connect("").await;
    let mut reader = emulator.connect("").await;
    reader.attach(json!({"channel": "c"})).await;
    publisher.publish(0, "c", "1").await;
    let seen = reader.expect(15).await["channelSerial"].clone();
    let (id, key) = (reader.id().to_owned(), reader.key().to_owned());
    drop(reader);
    publisher.publish(1, "c", "2").await;
    publisher.publish(2, "c", "3").await;

    let mut reader = emulator.connect(&format!("resume={key}")).await;
    assert_eq!(reader.id(), id);
    assert_ne!(reader.key(), key);
    let attached = reader
        .attach(json!({"channel": "c", "channelSerial": seen}))
        .await;
    assert_ne!(attached["flags"].as_u64().unwrap() & RESUMED, 0);
    assert_eq!(
        (reader.message().await, reader.message().await),
        ("2".into(), "3".into())
    );
    reader.expect_nothing().await;
}

#[tokio::test]
async fn a_publish_resent_after_a_resume_is_answered_again_and_kept_once() {
    let emulator = Emulator::start(&[]);
    let mut client = emulator.connect("").await;
    let first = client.publish(0, "c", "once").await;
    let key = client.key().to_owned();
    drop(client);
    let mut client = emulator.connect(&format!("resume={key}")).await;
    let again = client.publish(0, "c", "once").await;
    assert_eq!(again["res"], first["res"]);
    client
        .attach(json!({"channel": "c", "params": {"rewind": "10"}}))
        .await;
    assert_eq!(client.message().await, "once");
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_serial_is_answered_once_on_one_socket() {
    let emulator = Emulator::start(&[]);
    let mut client = emulator.connect("").await;
    assert_eq!(client.publish(0, "c", "x").await["msgSerial"], 0);
    client
        .send(json!({"action": 15, "msgSerial": 0, "channel": "c", "messages": [{"name": "n"}]}))
        .await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_connection_key_that_was_used_gives_a_new_connection() {
    let emulator = Emulator::start(&[]);
    let first = emulator.connect("").await;
    let second = emulator.connect(&format!("resume={}", first.key())).await;
    let mut third = emulator.connect(&format!("resume={}", second.key())).await;
    third.expect_nothing().await;
    for key in [first.key(), second.key(), "nonsense"] {
        let refused = emulator.connect(&format!("resume={key}")).await;
        assert_ne!(refused.id(), first.id());
        assert_eq!(refused.connected["error"]["code"], 80018);
    }
}

#[tokio::test]
async fn a_key_works_again_until_its_successor_is_known_to_have_arrived() {
    let emulator = Emulator::start(&[]);
    let first = emulator.connect("").await;
    let key = first.key().to_owned();
    // CONNECTED with the next key is never read.
    drop(emulator.connect(&format!("resume={key}")).await);
    assert_eq!(
        emulator.connect(&format!("resume={key}")).await.id(),
        first.id()
    );
}

#[tokio::test]
async fn the_socket_that_resumes_replaces_the_one_before() {
    let emulator = Emulator::start(&[]);
    let mut old = emulator.connect("").await;
    let new = emulator.connect(&format!("resume={}", old.key())).await;
    assert_eq!(new.id(), old.id());
    assert_eq!(old.expect(6).await["error"]["code"], 80016);
    assert_eq!(old.next().await, None);
}

#[tokio::test]
async fn another_client_cannot_resume_a_connection() {
    let emulator = Emulator::start(&[]);
    let ann = emulator.connect("clientId=ann").await;
    let key = &emulator.key;
    let mut bob = emulator
        .open(&format!("key={key}&clientId=bob&resume={}", ann.key()))
        .await;
    assert_eq!(bob.expect(9).await["error"]["code"], 40102);
}

#[tokio::test]
async fn after_a_restart_the_id_is_kept_and_continuity_is_lost() {
    let emulator = Emulator::start(&[]);
    let mut client = emulator.connect("").await;
    let attached = client.attach(json!({"channel": "c"})).await;
    let (id, key) = (client.id().to_owned(), client.key().to_owned());
    let emulator = emulator.restart();
    let mut client = emulator.connect(&format!("resume={key}")).await;
    assert_eq!(client.id(), id);
    let serial = &attached["channelSerial"];
    let attached = client
        .attach(json!({"channel": "c", "channelSerial": serial}))
        .await;
    assert_eq!(attached["flags"].as_u64().unwrap() & RESUMED, 0);
    assert_eq!(attached["error"]["code"], 90003);
}

/// A client that is connected by a token of a few seconds, or of more where it
/// takes that long until it is.
async fn short_lived(emulator: &Emulator) -> Client {
    for seconds in [5, 15, 45] {
        let token = emulator.jwt(seconds, &everything(), None);
        let mut client = emulator.open(&format!("accessToken={token}")).await;
        let first = client.next().await.expect("an answer");
        if first["action"] == 4 {
            return client;
        }
        assert_eq!(first["error"]["code"], 40142, "{first}");
    }
    panic!("each token was too old before it was looked at");
}

#[tokio::test]
async fn a_token_that_expires_ends_the_connection() {
    let emulator = Emulator::start(&[]);
    let mut client = short_lived(&emulator).await;
    let error = client.expect(6).await["error"].clone();
    assert_eq!(
        (&error["code"], &error["statusCode"]),
        (&json!(40142), &json!(401))
    );
    assert_eq!(client.next().await, None);
}

/// A client that was asked for a new token, which happens 30 s before the old one
/// expires; and its CONNECTED. Nobody is asked who is not connected by then.
async fn asked_for_a_token(emulator: &Emulator) -> (Client, Value) {
    for seconds in [33, 60] {
        let token = emulator.jwt(seconds, &everything(), Some("ann"));
        let mut client = emulator.open(&format!("accessToken={token}")).await;
        let connected = client.expect(4).await;
        if client.expect_one_of(&[17, 6]).await["action"] == 17 {
            return (client, connected);
        }
    }
    panic!("it was never asked");
}

#[tokio::test]
async fn a_client_is_asked_for_a_new_token_before_the_old_one_expires() {
    let emulator = Emulator::start(&[]);
    let (mut client, connected) = asked_for_a_token(&emulator).await;
    client.attach(json!({"channel": "a"})).await;
    client.attach(json!({"channel": "b"})).await;
    let less = emulator.jwt(3600, &json!({"a": ["*"]}), Some("ann"));
    client
        .send(json!({"action": 17, "auth": {"accessToken": less}}))
        .await;
    let again = client.expect(4).await;
    assert_eq!(again["connectionId"], connected["connectionId"]);
    let error = client.expect(9).await;
    assert_eq!(
        (&error["channel"], &error["error"]["code"]),
        (&json!("b"), &json!(40160))
    );
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_new_token_for_another_client_ends_the_connection() {
    let emulator = Emulator::start(&[]);
    let token = emulator.jwt(60, &everything(), Some("ann"));
    let mut client = emulator.open(&format!("accessToken={token}")).await;
    client.expect(4).await;
    let other = emulator.jwt(60, &everything(), Some("bob"));
    client
        .send(json!({"action": 17, "auth": {"accessToken": other}}))
        .await;
    assert_eq!(client.expect(9).await["error"]["code"], 40102);
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn close_is_answered_and_then_the_socket_closes() {
    let emulator = Emulator::start(&[]);
    let mut client = emulator.connect("").await;
    client.send(json!({"action": 7})).await;
    client.expect(8).await;
    assert_eq!(client.next().await, None);
}

#[tokio::test]
async fn a_token_expires_also_while_its_client_never_stops_publishing() {
    let emulator = Emulator::start(&[]);
    let mut client = short_lived(&emulator).await;
    let started = std::time::Instant::now();
    let mut serials = 0..;
    let error = 'ended: loop {
        for serial in serials.by_ref().take(200) {
            let publish =
                json!({"action": 15, "msgSerial": serial, "channel": "c", "messages": [{}]});
            let frame = tokio_tungstenite::tungstenite::Message::text(publish.to_string());
            _ = futures_util::SinkExt::send(&mut client.socket, frame).await;
        }
        // One burst is always on its way, so the emulator never sees a pause.
        if serials.start == 200 {
            continue;
        }
        for _ in 0..200 {
            let frame = client.next().await.expect("an answer");
            if frame["action"] == 6 {
                break 'ended frame["error"].clone();
            }
        }
        assert!(started.elapsed() < PATIENCE);
    };
    assert_eq!(error["code"], 40142);
}
