use super::*;
use crate::emulator::access::{Credentials, authenticate};
use crate::emulator::limits::Limits;
use crate::protocol::ably::object::{MapSet, ObjectData};

fn set(id: Option<&str>, object_id: &str, text: &str) -> ObjectMessage {
    let value = ObjectData {
        string: Some(text.into()),
        ..ObjectData::default()
    };
    ObjectMessage {
        id: id.map(Into::into),
        operation: Some(ObjectOperation {
            object_id: object_id.into(),
            map_set: Some(MapSet {
                key: "k".into(),
                value,
            }),
            ..ObjectOperation::default()
        }),
        ..ObjectMessage::default()
    }
}

fn publish(hub: &mut Hub, id: &str, message: ObjectMessage) -> Result<Published, u32> {
    let credentials = Credentials::Key(hub.key.reveal());
    let grant = authenticate(&hub.key, Some(&credentials), 0).expect("valid");
    let by = Publisher {
        grant: &grant,
        connection_id: None,
    };
    let published = hub.publish_objects(by, "c", id.into(), vec![message], 1);
    published.map_err(|error| error.code)
}

fn value(hub: &Hub) -> Option<&str> {
    hub.channel("c")?.root.get("k")?.string.as_deref()
}

#[test]
fn an_operation_sent_again_is_not_applied_again() {
    let mut hub = Hub::new("a.k:s".parse().expect("a key"), Limits::default());
    publish(&mut hub, "p1", set(Some("op1"), "root", "first")).expect("applied");
    publish(&mut hub, "p2", set(Some("op2"), "root", "second")).expect("applied");
    publish(&mut hub, "p3", set(Some("op1"), "root", "first")).expect("answered");
    assert_eq!(value(&hub), Some("second"));
    publish(&mut hub, "p1", set(None, "root", "first")).expect("answered");
    assert_eq!(value(&hub), Some("second"));
}

#[test]
fn what_the_emulator_does_not_have_is_refused() {
    let mut hub = Hub::new("a.k:s".parse().expect("a key"), Limits::default());
    assert_eq!(
        publish(&mut hub, "p", set(None, "map:x@1", "v")),
        Err(92004)
    );
    assert_eq!(publish(&mut hub, "p", ObjectMessage::default()), Err(92000));
    let mut empty = set(None, "root", "v");
    let set = empty
        .operation
        .as_mut()
        .and_then(|operation| operation.map_set.as_mut());
    set.expect("a set").value = ObjectData::default();
    assert_eq!(publish(&mut hub, "p", empty), Err(92000));
    assert_eq!(value(&hub), None);
}

#[test]
fn no_operations_make_no_channel() {
    let mut hub = Hub::new("a.k:s".parse().expect("a key"), Limits::default());
    let credentials = Credentials::Key(hub.key.reveal());
    let grant = authenticate(&hub.key, Some(&credentials), 0).expect("valid");
    let by = Publisher {
        grant: &grant,
        connection_id: None,
    };
    let refused = hub.publish_objects(by, "c", "p".into(), Vec::new(), 1);
    assert_eq!(refused.map_err(|error| error.code), Err(92000));
    assert!(hub.channel("c").is_none());
}

#[test]
fn root_maps_have_bounded_memory() {
    let mut hub = Hub::new("a.k:s".parse().expect("a key"), Limits::default());
    let refused = (0..10).find_map(|n| {
        let mut message = set(None, "root", &"x".repeat(60_000));
        if let Some(set) = message.operation.as_mut().and_then(|o| o.map_set.as_mut()) {
            set.key = n.to_string();
        }
        publish(&mut hub, &format!("p{n}"), message).err()
    });
    assert_eq!(refused, Some(92001));
}
