//! Protocol messages: what stock SDKs send, decoded, and what it means.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use falco::protocol::ably::codec::{Format, decode, decode_value, encode};
use falco::protocol::ably::data::{Data, undo};
use falco::protocol::ably::message::{Message, PresenceMessage, ProtocolMessage};
use serde::Deserialize;
use serde_json::Value;

use crate::{files_below, load, read, unhex};

/// What a frame says, whichever format it came in.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct Meaning {
    action: u8,
    channel: Option<String>,
    msg_serial: Option<u64>,
    count: Option<u32>,
    connection_id: Option<String>,
    access_token: Option<String>,
    messages: Vec<MessageMeaning>,
    presence: Vec<PresenceMeaning>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct MessageMeaning {
    name: Option<String>,
    id: Option<String>,
    data: Option<Payload>,
    encoding: Option<String>,
    extras: Option<Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PresenceMeaning {
    action: u8,
    data: Option<Payload>,
}

/// A payload after every known encoding has been undone.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Payload {
    String(String),
    Json(Value),
    Hex(String),
}

fn check_payload(
    at: &str,
    data: &Data,
    encoding: Option<&str>,
    want: Option<&Payload>,
) -> Option<String> {
    let (data, left) = undo(data.clone(), encoding);
    match want {
        None => assert!(data.is_none(), "{at}: {data:?}"),
        Some(Payload::String(text)) => assert_eq!(data, Data::String(text.clone()), "{at}"),
        Some(Payload::Hex(hex)) => assert_eq!(data, Data::Binary(unhex(hex).into()), "{at}"),
        Some(Payload::Json(want)) => {
            let value: Value = serde_json::from_slice(data.as_bytes()).expect(at);
            assert_eq!(&value, want, "{at}");
            assert_eq!(left.as_deref(), Some("json"), "{at}");
            return None;
        }
    }
    left
}

fn check_messages(at: &str, messages: &[Message], want: &[MessageMeaning]) {
    assert_eq!(messages.len(), want.len(), "{at}");
    for (message, want) in messages.iter().zip(want) {
        let encoding = message.encoding.as_deref();
        let left = check_payload(at, &message.data, encoding, want.data.as_ref());
        assert_eq!(left, want.encoding, "{at}");
        assert_eq!(message.name, want.name, "{at}");
        assert_eq!(message.extras, want.extras, "{at}");
        if want.id.is_some() {
            assert_eq!(message.id, want.id, "{at}");
        }
    }
}

fn check_presence(at: &str, presence: &[PresenceMessage], want: &[PresenceMeaning]) {
    assert_eq!(presence.len(), want.len(), "{at}");
    for (entry, want) in presence.iter().zip(want) {
        let left = check_payload(
            at,
            &entry.data,
            entry.encoding.as_deref(),
            want.data.as_ref(),
        );
        assert_eq!((left, entry.action), (None, want.action), "{at}");
    }
}

fn check(at: &str, frame: &ProtocolMessage, want: &Meaning) {
    assert_eq!(frame.action.number(), want.action, "{at}");
    assert_eq!(frame.channel, want.channel, "{at}");
    if want.msg_serial.is_some() {
        assert_eq!(frame.msg_serial, want.msg_serial, "{at}");
    }
    assert_eq!(frame.count, want.count, "{at}");
    assert_eq!(frame.connection_id, want.connection_id, "{at}");
    let token = frame.auth.as_ref().map(|auth| auth.access_token.clone());
    assert_eq!(token, want.access_token, "{at}");
    check_messages(at, &frame.messages, &want.messages);
    check_presence(at, &frame.presence, &want.presence);
}

/// Checks a frame, and that both of our encodings of it still mean the same.
fn check_frame(at: &str, format: Format, bytes: Vec<u8>, want: &Meaning) {
    let frame =
        decode(format, &Bytes::from(bytes)).unwrap_or_else(|error| panic!("{at}: {error:?}"));
    check(at, &frame, want);
    for ours in [Format::Json, Format::Msgpack] {
        let again = decode(ours, &Bytes::from(encode(ours, &frame))).expect(at);
        check(&format!("{at}, through {}", ours.name()), &again, want);
    }
}

#[derive(Deserialize)]
struct Http {
    method: String,
    body: Option<String>,
    body_hex: Option<String>,
}

fn check_publish(at: &str, http: &Http, want: &Meaning) {
    let first_is_list = |bytes: &[u8]| matches!(bytes.first(), Some(b'[' | 0x90..=0x9f));
    let (format, bytes) = match (&http.body, &http.body_hex) {
        (Some(text), _) => (Format::Json, text.clone().into_bytes()),
        (_, Some(hex)) => (Format::Msgpack, unhex(hex)),
        _ => panic!("{at}: no body"),
    };
    let messages: Vec<Message> = if first_is_list(&bytes) {
        decode_value(format, &bytes).expect(at)
    } else {
        vec![decode_value(format, &bytes).expect(at)]
    };
    check_messages(at, &messages, &want.messages);
    let base = |message: &Message| {
        let id = message.id.as_deref().expect("SDKs make ids").to_owned();
        id.rsplit_once(':').expect("<base>:<index>").0.to_owned()
    };
    assert!(
        messages.iter().all(|m| base(m) == base(&messages[0])),
        "{at}"
    );
}

#[test]
fn every_frame_a_stock_sdk_sent_is_understood() {
    let meanings: BTreeMap<String, Meaning> = load("ably/meaning.json");
    let (mut frames, mut publishes) = (0, 0);
    for path in files_below("ably/js")
        .into_iter()
        .chain(files_below("ably/python"))
    {
        let at = path.to_string_lossy().into_owned();
        let name = path.file_name().expect("a file").to_string_lossy();
        let (stem, kind) = name.split_once('.').expect("an extension");
        let stem = stem.strip_suffix("-2").unwrap_or(stem);
        match kind {
            "json" => check_frame(
                &at,
                Format::Json,
                read(&at).into_bytes(),
                meaning(&meanings, stem),
            ),
            "hex" => check_frame(
                &at,
                Format::Msgpack,
                unhex(&read(&at)),
                meaning(&meanings, stem),
            ),
            "http.json" => {
                let http: Http = load(&at);
                if !stem.starts_with("rest-post-messages") {
                    assert!(
                        http.method == "GET" || stem.contains("requestToken"),
                        "{at}"
                    );
                    continue;
                }
                check_publish(&at, &http, meaning(&meanings, stem));
                publishes += 1;
                continue;
            }
            "url" => {
                check_url(&path);
                continue;
            }
            _ => panic!("{at}: what is it?"),
        }
        frames += 1;
    }
    assert_eq!((frames, publishes), (66, 16));
}

fn meaning<'m>(meanings: &'m BTreeMap<String, Meaning>, stem: &str) -> &'m Meaning {
    meanings
        .get(stem)
        .unwrap_or_else(|| panic!("ably/meaning.json says nothing of {stem}"))
}

/// The request target of a websocket is what our documents say of it.
fn check_url(path: &Path) {
    let at = path.to_string_lossy();
    let url = read(&at);
    let query = url.trim().strip_prefix("/?").expect("the root path");
    let names: Vec<&str> = query
        .split('&')
        .filter_map(|pair| Some(pair.split_once('=')?.0))
        .collect();
    assert!(names.contains(&"v"), "{at}");
    let credentials = ["key", "access_token", "accessToken"];
    assert!(names.iter().any(|name| credentials.contains(name)), "{at}");
}

#[derive(Deserialize)]
struct Quirk {
    name: String,
    json: Option<String>,
    msgpack: Option<String>,
    meaning: Meaning,
}

#[test]
fn what_other_sdks_and_ably_may_send_is_understood() {
    let quirks: Vec<Quirk> = load("ably/quirks.json");
    for quirk in quirks {
        if let Some(json) = quirk.json {
            check_frame(&quirk.name, Format::Json, json.into_bytes(), &quirk.meaning);
        }
        if let Some(hex) = quirk.msgpack {
            check_frame(&quirk.name, Format::Msgpack, unhex(&hex), &quirk.meaning);
        }
    }
}
