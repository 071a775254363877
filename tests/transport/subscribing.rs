//! Subscriptions of many clients over one connection.

use std::time::Duration;

use serde_json::json;

use crate::client::publish;
use crate::rig::Rig;

#[test]
fn clients_share_a_channel_and_each_gets_the_events_it_asked_for() {
    let rig = Rig::start();
    let (mut all, mut one) = (rig.client(), rig.client());
    all.subscribe("c");
    let subscribe =
        json!({"op": "subscribe.v1", "channel": "c", "subscription_id": "s", "event": "x"});
    assert_eq!(one.ask(subscribe)["ok"], true);
    let mut publisher = rig.client();
    publisher.send(&publish("c", "1", b"1"));
    let mut other = publish("c", "2", b"2");
    other["event"] = json!("x");
    publisher.send(&other);
    assert_eq!(all.message()["message_id"], "1");
    assert_eq!(all.message()["message_id"], "2");
    let message = one.message();
    assert_eq!(
        (&message["message_id"], &message["subscription_id"]),
        (&json!("2"), &json!("s"))
    );
    assert!(message.get("continuity_lost").is_none());
}

#[test]
fn an_unsubscribed_client_gets_nothing_more() {
    let rig = Rig::start();
    let mut client = rig.client();
    client.subscribe("c");
    assert_eq!(
        client.ask(json!({"op": "unsubscribe.v1", "subscription_id": "c"}))["ok"],
        true
    );
    client.send(&publish("c", "1", b"1"));
    assert_eq!(client.answer()["ok"], true);
    assert!(client.is_silent(Duration::from_millis(200)));
    assert_eq!(client.subscribe("c")["ok"], true);
    client.send(&publish("c", "2", b"2"));
    assert_eq!(client.message()["message_id"], "2");
}

#[test]
fn a_subscriber_that_hardly_reads_delays_nobody_and_is_told_of_its_loss() {
    let rig = Rig::start();
    let (mut slow, mut quick) = (rig.client(), rig.client());
    slow.subscribe("c");
    quick.subscribe("c");
    let mut publisher = rig.client();
    let body = vec![b'x'; 16_000];
    let mut seen = 0;
    for n in 0..1400 {
        // One that reads nothing at all is hung up on after a while, and a busy
        // machine may take as long for this.
        if n % 100 == 99 {
            slow.message();
            seen += 1;
        }
        publisher.send(&publish("c", &format!("m{n}"), &body));
        assert_eq!(publisher.answer()["ok"], true);
        assert_eq!(quick.message()["message_id"], format!("m{n}"));
    }
    let lost = loop {
        let message = slow.message();
        seen += 1;
        if message["continuity_lost"] == true {
            break message;
        }
        if slow.is_silent(Duration::from_millis(100)) {
            publisher.send(&publish("c", "after", b"x"));
            assert_eq!(publisher.answer()["ok"], true);
        }
    };
    assert!(seen < 1401, "messages were dropped, not kept: {lost}");
}
