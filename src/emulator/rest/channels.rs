//! `/channels/{name}` and what is below it.

use serde::Serialize;

use crate::emulator::Emulator;
use crate::emulator::access::{Grant, denied};
use crate::emulator::channel::Channel;
use crate::emulator::hub::{Publisher, check_channel_name};
use crate::emulator::log::{Entry, Kind};
use crate::protocol::ably::auth::Operation;
use crate::protocol::ably::codec::Format;
use crate::protocol::ably::error::ErrorInfo;
use crate::protocol::ably::message::{Message, PresenceMessage, ProtocolMessage, flags};

use super::page::{self, Page, PageQuery};
use super::{Answer, Call};

/// What a publish is answered with.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PublishAnswer<'a> {
    channel: &'a str,
    message_id: String,
    serials: Vec<String>,
}

/// `POST /channels/{name}/messages`: one message or several, whole or not at all.
pub(super) fn publish(
    emulator: &Emulator,
    call: &Call,
    channel: &str,
    format: Format,
) -> Result<Answer, ErrorInfo> {
    let grant = call.authenticate(emulator)?;
    if call
        .query
        .get("_forceNack")
        .is_some_and(|text| text == "true")
    {
        return Err(ErrorInfo::new(40099, "refused, as _forceNack asks"));
    }
    let messages: Vec<Message> = call.decode_one_or_many()?;
    let base = base_id(&messages);
    let by = Publisher {
        grant: &grant,
        connection_id: None,
    };
    let mut hub = emulator.hub();
    let published = hub.publish(by, channel, base.clone(), messages, call.now_ms)?;
    let serial = |index| hub.series.message_serial(published.position, index);
    let serials = (0..published.count).map(serial).collect();
    Ok(Answer::created(
        format,
        &PublishAnswer {
            channel,
            message_id: base,
            serials,
        },
    ))
}

/// The id of the publish: the base of its messages' ids, or a random one.
fn base_id(messages: &[Message]) -> String {
    let own = messages.first().and_then(|message| message.id.as_deref());
    match own {
        Some(id) if !id.is_empty() => id.strip_suffix(":0").unwrap_or(id).to_owned(),
        _ => format!("{:016x}", rand::random::<u64>()),
    }
}

/// `GET /channels/{name}/messages`, also as `/history`.
pub(super) fn history(
    emulator: &Emulator,
    call: &Call,
    channel: &str,
    format: Format,
) -> Result<Answer, ErrorInfo> {
    past(emulator, call, channel, format, Kind::Message, |message| {
        message.messages
    })
}

/// `GET /channels/{name}/presence/history`.
pub(super) fn presence_history(
    emulator: &Emulator,
    call: &Call,
    channel: &str,
    format: Format,
) -> Result<Answer, ErrorInfo> {
    past(emulator, call, channel, format, Kind::Presence, |message| {
        message.presence
    })
}

fn past<T: Serialize>(
    emulator: &Emulator,
    call: &Call,
    channel: &str,
    format: Format,
    kind: Kind,
    list: impl Fn(ProtocolMessage) -> Vec<T>,
) -> Result<Answer, ErrorInfo> {
    let grant = call.authenticate(emulator)?;
    check_channel_name(channel)?;
    grant.require(Operation::History, channel)?;
    let mut hub = emulator.hub();
    hub.enforce_history(call.now_ms);
    let query = PageQuery::read(call, &hub.series)?;
    let none: Box<dyn DoubleEndedIterator<Item = &Entry>> = Box::new(std::iter::empty());
    let entries = hub
        .channel(channel)
        .map_or(none, |channel| Box::new(channel.entries()));
    let page = query.collect(entries, kind, &hub.series, list);
    Ok(Answer::page(format, call, &page))
}

/// `GET /channels/{name}/presence`: who is present now.
pub(super) fn presence(
    emulator: &Emulator,
    call: &Call,
    channel: &str,
    format: Format,
) -> Result<Answer, ErrorInfo> {
    let grant = call.authenticate(emulator)?;
    check_channel_name(channel)?;
    let seen_by = [
        Operation::Presence,
        Operation::PresenceSubscribe,
        Operation::Subscribe,
    ];
    require_any(&grant, &seen_by, channel)?;
    let limit = page::limit(call)?;
    let skip: usize = call
        .query
        .get("after")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    let is = |name: &str, value: Option<&str>| {
        call.query
            .get(name)
            .is_none_or(|wanted| Some(wanted.as_str()) == value)
    };
    let hub = emulator.hub();
    let members = hub
        .channel(channel)
        .into_iter()
        .flat_map(|channel| channel.members.iter());
    let matching = members.filter(|member| {
        is("clientId", member.client_id.as_deref())
            && is("connectionId", member.connection_id.as_deref())
    });
    let mut items: Vec<&PresenceMessage> = matching.skip(skip).take(limit + 1).collect();
    let next = (limit < items.len()).then(|| (skip + limit).to_string());
    items.truncate(limit);
    Ok(Answer::page(format, call, &Page { items, next }))
}

fn require_any(grant: &Grant, any_of: &[Operation], channel: &str) -> Result<(), ErrorInfo> {
    let operations = grant.capability.operations(channel);
    if any_of
        .iter()
        .any(|operation| operations.contains(*operation))
    {
        return Ok(());
    }
    Err(denied("presence", channel))
}

/// `GET /channels/{name}`: whether it is used, and by how many (CHD).
pub(super) fn status(
    emulator: &Emulator,
    call: &Call,
    channel: &str,
    format: Format,
) -> Result<Answer, ErrorInfo> {
    let grant = call.authenticate(emulator)?;
    check_channel_name(channel)?;
    grant.require(Operation::ChannelMetadata, channel)?;
    let hub = emulator.hub();
    let known = hub.channel(channel);
    let status = Status {
        is_active: known.is_some_and(Channel::is_active),
        occupancy: Occupancy {
            metrics: known.map(Metrics::of).unwrap_or_default(),
        },
    };
    Ok(Answer::ok(
        format,
        &ChannelDetails {
            channel_id: channel,
            name: channel,
            status,
        },
    ))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChannelDetails<'a> {
    channel_id: &'a str,
    name: &'a str,
    status: Status,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    is_active: bool,
    occupancy: Occupancy,
}

#[derive(Serialize)]
struct Occupancy {
    metrics: Metrics,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Metrics {
    connections: usize,
    presence_connections: usize,
    presence_members: usize,
    presence_subscribers: usize,
    publishers: usize,
    subscribers: usize,
    object_publishers: usize,
    object_subscribers: usize,
}

impl Metrics {
    fn of(channel: &Channel) -> Self {
        Self {
            connections: channel.count_all(),
            presence_connections: channel.count_with(flags::PRESENCE),
            presence_members: channel.members.len(),
            presence_subscribers: channel.count_with(flags::PRESENCE_SUBSCRIBE),
            publishers: channel.count_with(flags::PUBLISH),
            subscribers: channel.count_with(flags::SUBSCRIBE),
            object_publishers: channel.count_with(flags::OBJECT_PUBLISH),
            object_subscribers: channel.count_with(flags::OBJECT_SUBSCRIBE),
        }
    }
}
