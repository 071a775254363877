use super::*;
use crate::emulator::access::{Credentials, authenticate};
use crate::emulator::limits::{HistoryLimits, Limits};

fn hub(limits: Limits) -> (Hub, Grant) {
    let key = "app.key:secret".parse().expect("a key");
    let credentials = Credentials::Key("app.key:secret".into());
    let grant = authenticate(&key, Some(&credentials), 0).expect("valid");
    (Hub::new(key, limits), grant)
}

fn messages(ids: &[Option<&str>]) -> Vec<Message> {
    let message = |id: Option<&str>| Message {
        id: id.map(Into::into),
        ..Message::default()
    };
    ids.iter().copied().map(message).collect()
}

fn publish(
    hub: &mut Hub,
    grant: &Grant,
    channel: &str,
    ids: &[Option<&str>],
    now_ms: i64,
) -> Result<Published, u32> {
    let by = Publisher {
        grant,
        connection_id: None,
    };
    let id = rand::random::<u64>().to_string();
    hub.publish(by, channel, id, messages(ids), now_ms)
        .map_err(|error| error.code)
}

fn len(hub: &Hub, channel: &str) -> usize {
    hub.channel(channel)
        .map_or(0, |channel| channel.entries().count())
}

#[test]
fn a_publish_that_is_sent_again_is_answered_as_before_and_kept_once() {
    let (mut hub, grant) = hub(Limits::default());
    let first = publish(&mut hub, &grant, "c", &[Some("m")], 1).expect("accepted");
    assert_eq!(publish(&mut hub, &grant, "c", &[Some("m")], 2), Ok(first));
    let batch = [Some("b:0"), Some("b:1")];
    let first = publish(&mut hub, &grant, "c", &batch, 3).expect("accepted");
    assert_eq!(publish(&mut hub, &grant, "c", &batch, 4), Ok(first));
    assert_eq!(len(&hub, "c"), 2);
    publish(&mut hub, &grant, "d", &[Some("m")], 5).expect("another channel");
    assert_eq!(len(&hub, "d"), 1);
}

#[test]
fn an_id_stands_for_its_own_kind_of_publish_only() {
    let (mut hub, grant) = hub(Limits::default());
    publish(&mut hub, &grant, "c", &[Some("b:0"), Some("b:1")], 1).expect("accepted");
    publish(&mut hub, &grant, "c", &[Some("b")], 1).expect("accepted");
    publish(&mut hub, &grant, "c", &[Some("victim:0")], 1).expect("accepted");
    let victim = Arc::from("victim");
    let by = Publisher {
        grant: &grant,
        connection_id: Some(&victim),
    };
    for _ in 0..2 {
        hub.publish(by, "c", "victim:0".into(), messages(&[None]), 1)
            .expect("accepted");
    }
    assert_eq!(len(&hub, "c"), 4);
}

#[test]
fn quiet_channels_take_no_history_from_a_busy_one() {
    use crate::emulator::channel::{Attach, From};
    let (mut hub, grant) = hub(Limits::default());
    hub.limits.history.bytes = 4096;
    for n in 0..100 {
        let attach = Attach {
            modes: 0,
            muted: None,
            from: From::Now,
        };
        hub.attach(1, &format!("quiet:{n}"), attach, 1);
    }
    publish(&mut hub, &grant, "busy", &[None], 1).expect("accepted");
    assert_eq!(len(&hub, "busy"), 1);
}

#[test]
fn quiet_channels_that_are_left_together_can_all_be_resumed() {
    use crate::emulator::channel::{Attach, From};
    let (mut hub, _) = hub(Limits::default());
    let attach = |hub: &mut Hub, name: &str, from, now_ms| {
        let attach = Attach {
            modes: 0,
            muted: None,
            from,
        };
        hub.attach(1, name, attach, now_ms)
    };
    let names = ["a", "b", "c"];
    let positions = names.map(|name| attach(&mut hub, name, From::Now, 1).position);
    for name in names {
        hub.detach(1, name);
    }
    assert!(hub.channels.is_empty());
    for (name, position) in names.into_iter().zip(positions) {
        assert!(attach(&mut hub, name, From::Serial(Some(position)), 2).is_resumed);
    }
}

#[test]
fn several_messages_must_share_a_base_id_or_have_none() {
    let (mut hub, grant) = hub(Limits::default());
    for wrong in [
        [Some("a"), Some("b")],
        [Some("a:0"), None],
        [Some("a:0"), Some("b:1")],
        [Some("a:1"), Some("a:0")],
        [Some(":0"), Some(":1")],
    ] {
        assert_eq!(publish(&mut hub, &grant, "c", &wrong, 1), Err(40031));
    }
    assert!(publish(&mut hub, &grant, "c", &[None, None], 1).is_ok());
}

#[test]
fn limits_refuse_what_is_over_them() {
    let (mut hub, grant) = hub(Limits {
        message_bytes: 10,
        ..Limits::default()
    });
    let many = vec![None; MESSAGES_PER_PUBLISH_MAX + 1];
    assert_eq!(publish(&mut hub, &grant, "c", &many, 1), Err(40034));
    let big = Message {
        name: Some("x".repeat(11)),
        ..Message::default()
    };
    let by = Publisher {
        grant: &grant,
        connection_id: None,
    };
    let refused = hub.publish(by, "c", "i".into(), vec![big], 1);
    assert_eq!(refused.map_err(|error| error.code), Err(40009));
    for name in ["", "[meta]x", ":x", "a\nb"] {
        assert_eq!(publish(&mut hub, &grant, name, &[None], 1), Err(40010));
    }
}

#[test]
fn history_is_bounded_by_count_by_bytes_and_by_age() {
    let history = HistoryLimits {
        per_channel: 3,
        ..HistoryLimits::default()
    };
    let (mut hub, grant) = hub(Limits {
        history,
        ..Limits::default()
    });
    for now_ms in 1..=5 {
        publish(&mut hub, &grant, "a", &[None], now_ms).expect("accepted");
    }
    assert_eq!(len(&hub, "a"), 3);

    hub.limits.history.bytes = hub.bytes + 300;
    publish(&mut hub, &grant, "a", &[None], 6).expect("accepted");
    hub.limits.history.per_channel = 100;
    publish(&mut hub, &grant, "a", &[None], 7).expect("accepted");
    publish(&mut hub, &grant, "a", &[None], 8).expect("accepted");
    assert!(hub.bytes <= hub.limits.history.bytes, "{} bytes", hub.bytes);

    let due = hub.next_due_ms().expect("something expires");
    hub.handle_timeout(due + 120_000);
    assert_eq!((len(&hub, "a"), hub.bytes, hub.next_due_ms()), (0, 0, None));
    assert!(hub.channels.is_empty());
}

#[test]
fn a_forgotten_channel_proves_no_continuity_for_what_it_had_seen() {
    use crate::emulator::channel::{Attach, From};
    let (mut hub, grant) = hub(Limits::default());
    let first = publish(&mut hub, &grant, "a", &[None], 1).expect("accepted");
    publish(&mut hub, &grant, "a", &[None], 2).expect("accepted");
    hub.handle_timeout(1_000_000);
    let mut attach = |position| {
        let from = From::Serial(Some(position));
        hub.attach(
            1,
            "a",
            Attach {
                modes: 0,
                muted: None,
                from,
            },
            1_000_001,
        )
        .is_resumed
    };
    assert!(!attach(first.position));
    assert!(attach(Position::at(3)));
}
