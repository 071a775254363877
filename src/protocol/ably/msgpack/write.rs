//! Writes plain frames.

use serde_json::Value;

use crate::protocol::ably::data::Data;
use crate::protocol::ably::message::{Message, ProtocolMessage, PublishResult};

use super::{ARRAY, FALSE, Header, MAP, NESTING_MAX, NIL, TRUE};

/// Appends `message` to `out` if it is plain; `false` leaves `out` as it was.
pub(in crate::protocol::ably) fn encode(message: &ProtocolMessage, out: &mut Vec<u8>) -> bool {
    let is_plain = message.auth.is_none()
        && message.connection_details.is_none()
        && message.connection_key.is_none()
        && message.error.is_none()
        && message.presence.is_empty()
        && message.state.is_empty()
        && message.params.is_empty()
        && is_plain_time(message.timestamp)
        && message.messages.iter().all(is_plain);
    if is_plain {
        write_frame(message, out);
    }
    is_plain
}

fn is_plain(message: &Message) -> bool {
    message
        .extras
        .as_ref()
        .is_none_or(|value| is_plain_value(value, NESTING_MAX))
        && message.version.is_none()
        && message.annotations.is_none()
        && message.connection_key.is_none()
        && is_plain_time(message.timestamp)
}

/// Whether a time is not before the epoch, so that it is written as unsigned.
fn is_plain_time(time: Option<i64>) -> bool {
    time.is_none_or(|time| 0 <= time)
}

fn to_u64(time: i64) -> Option<u64> {
    time.try_into().ok()
}

fn write_frame(message: &ProtocolMessage, out: &mut Vec<u8>) {
    let ProtocolMessage {
        id,
        channel,
        channel_serial,
        connection_id,
        ..
    } = message;
    let ProtocolMessage {
        count,
        flags,
        msg_serial,
        timestamp,
        ..
    } = message;
    let fields = 1
        + [id, channel, channel_serial, connection_id]
            .iter()
            .filter(|f| f.is_some())
            .count()
        + usize::from(count.is_some())
        + usize::from(flags.is_some())
        + usize::from(msg_serial.is_some())
        + usize::from(!message.messages.is_empty())
        + usize::from(timestamp.is_some())
        + usize::from(!message.res.is_empty());
    write_len(fields, &MAP, out);
    write_str("action", out);
    write_uint(u64::from(message.action.number()), out);
    write_text("id", id.as_deref(), out);
    write_text("channel", channel.as_deref(), out);
    write_text("channelSerial", channel_serial.as_deref(), out);
    write_text("connectionId", connection_id.as_deref(), out);
    write_number("count", count.map(u64::from), out);
    write_number("flags", *flags, out);
    write_number("msgSerial", *msg_serial, out);
    if !message.messages.is_empty() {
        write_str("messages", out);
        write_len(message.messages.len(), &ARRAY, out);
        for message in &message.messages {
            write_message(message, out);
        }
    }
    write_number("timestamp", timestamp.and_then(to_u64), out);
    if !message.res.is_empty() {
        write_results(&message.res, out);
    }
}

fn write_message(message: &Message, out: &mut Vec<u8>) {
    let Message {
        id,
        client_id,
        connection_id,
        name,
        encoding,
        serial,
        ..
    } = message;
    let texts = [id, client_id, connection_id, name, encoding, serial];
    let fields = texts.iter().filter(|field| field.is_some()).count()
        + usize::from(!message.data.is_none())
        + usize::from(message.extras.is_some())
        + usize::from(message.timestamp.is_some())
        + usize::from(message.action.is_some());
    write_len(fields, &MAP, out);
    write_text("id", id.as_deref(), out);
    write_text("clientId", client_id.as_deref(), out);
    write_text("connectionId", connection_id.as_deref(), out);
    write_text("name", name.as_deref(), out);
    match &message.data {
        Data::None => {}
        Data::String(text) => write_text("data", Some(text), out),
        Data::Binary(bytes) => {
            write_str("data", out);
            write_bin(bytes, out);
        }
    }
    write_text("encoding", encoding.as_deref(), out);
    if let Some(extras) = &message.extras {
        write_str("extras", out);
        write_value(extras, out);
    }
    write_number("timestamp", message.timestamp.and_then(to_u64), out);
    write_number("action", message.action.map(u64::from), out);
    write_text("serial", serial.as_deref(), out);
}

/// Whether a value has no number but whole ones from 0 and nests little.
fn is_plain_value(value: &Value, nesting: usize) -> bool {
    let deeper = nesting.checked_sub(1);
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.is_u64(),
        Value::Array(list) => {
            deeper.is_some_and(|left| list.iter().all(|value| is_plain_value(value, left)))
        }
        Value::Object(map) => {
            deeper.is_some_and(|left| map.values().all(|value| is_plain_value(value, left)))
        }
    }
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(NIL),
        Value::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Value::Number(number) => write_uint(number.as_u64().unwrap_or_default(), out),
        Value::String(text) => write_str(text, out),
        Value::Array(list) => {
            write_len(list.len(), &ARRAY, out);
            for value in list {
                write_value(value, out);
            }
        }
        Value::Object(map) => {
            write_len(map.len(), &MAP, out);
            for (key, value) in map {
                write_str(key, out);
                write_value(value, out);
            }
        }
    }
}

fn write_results(results: &[PublishResult], out: &mut Vec<u8>) {
    write_str("res", out);
    write_len(results.len(), &ARRAY, out);
    for result in results {
        write_len(1, &MAP, out);
        write_str("serials", out);
        write_len(result.serials.len(), &ARRAY, out);
        for serial in &result.serials {
            match serial {
                Some(serial) => write_str(serial, out),
                None => out.push(NIL),
            }
        }
    }
}

fn write_text(name: &str, value: Option<&str>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        write_str(name, out);
        write_str(value, out);
    }
}

fn write_number(name: &str, value: Option<u64>, out: &mut Vec<u8>) {
    if let Some(value) = value {
        write_str(name, out);
        write_uint(value, out);
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each arm is in its range")]
fn write_len(len: usize, header: &Header, out: &mut Vec<u8>) {
    if len <= header.short_max {
        out.push(header.short | len as u8);
    } else if len <= 0xffff {
        out.push(header.marker);
        out.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        out.push(header.marker + 1);
        out.extend_from_slice(&(len as u32).to_be_bytes());
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each arm is in its range")]
fn write_str(text: &str, out: &mut Vec<u8>) {
    match text.len() {
        len @ 0..32 => out.push(0xa0 | len as u8),
        len => write_wide_len(len, 0xd9, out),
    }
    out.extend_from_slice(text.as_bytes());
}

fn write_bin(bytes: &[u8], out: &mut Vec<u8>) {
    write_wide_len(bytes.len(), 0xc4, out);
    out.extend_from_slice(bytes);
}

/// A length of 8, 16 or 32 bits; their markers follow each other.
#[expect(clippy::cast_possible_truncation, reason = "each arm is in its range")]
fn write_wide_len(len: usize, marker: u8, out: &mut Vec<u8>) {
    if len <= 0xff {
        out.extend_from_slice(&[marker, len as u8]);
    } else if len <= 0xffff {
        out.push(marker + 1);
        out.extend_from_slice(&(len as u16).to_be_bytes());
    } else {
        out.push(marker + 2);
        out.extend_from_slice(&(len as u32).to_be_bytes());
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each arm is in its range")]
fn write_uint(value: u64, out: &mut Vec<u8>) {
    match value {
        0..=0x7f => out.push(value as u8),
        0x80..=0xff => out.extend_from_slice(&[0xcc, value as u8]),
        0x100..=0xffff => {
            out.push(0xcd);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(0xce);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(0xcf);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}
