//! The fast path for msgpack: publishes, deliveries and ACKs.
//!
//! Those are nearly all frames there are, and reading and writing them field
//! by field costs a third of what serde does. This path knows only the plain
//! form of a frame; at anything else it steps back, and serde decides. So it
//! can be wrong about no frame: what it writes is byte for byte what serde
//! writes, and what it reads serde reads the same.

use bytes::Bytes;

use super::data::Data;
use super::message::{Action, Message, ProtocolMessage, PublishResult};

/// More elements than this are for serde to refuse.
const LIST_MAX: usize = 10_000;

/// Appends `message` to `out` if it is plain; `false` leaves `out` as it was.
pub(super) fn encode(message: &ProtocolMessage, out: &mut Vec<u8>) -> bool {
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
    message.extras.is_none()
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
    write_number("timestamp", message.timestamp.and_then(to_u64), out);
    write_number("action", message.action.map(u64::from), out);
    write_text("serial", serial.as_deref(), out);
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

const NIL: u8 = 0xc0;

/// How a kind of header is written: short form, longest short, 16-bit marker.
struct Header {
    short: u8,
    short_max: usize,
    marker: u8,
}

const MAP: Header = Header {
    short: 0x80,
    short_max: 15,
    marker: 0xde,
};
const ARRAY: Header = Header {
    short: 0x90,
    short_max: 15,
    marker: 0xdc,
};

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

/// Reads `frame` if it is plain; its payloads share the frame's memory.
pub(super) fn decode(frame: &Bytes) -> Option<ProtocolMessage> {
    let mut reader = Reader { frame, at: 0 };
    let mut message = ProtocolMessage::default();
    for _ in 0..reader.len(&MAP)? {
        match reader.str()? {
            "action" => message.action = Action::from_number(reader.uint()?.try_into().ok()?),
            "id" => once(&mut message.id, reader.string())?,
            "channel" => once(&mut message.channel, reader.string())?,
            "channelSerial" => once(&mut message.channel_serial, reader.string())?,
            "connectionId" => once(&mut message.connection_id, reader.string())?,
            "count" => once(&mut message.count, reader.uint()?.try_into().ok())?,
            "flags" => once(&mut message.flags, reader.uint())?,
            "msgSerial" => once(&mut message.msg_serial, reader.uint())?,
            "timestamp" => once(&mut message.timestamp, reader.uint()?.try_into().ok())?,
            "messages" => message.messages = reader.list(Reader::message)?,
            "res" => message.res = reader.list(Reader::result)?,
            _ => return None,
        }
    }
    (reader.at == frame.len()).then_some(message)
}

/// Puts a field in its place; a field that comes twice is for serde to refuse.
fn once<T>(field: &mut Option<T>, value: Option<T>) -> Option<()> {
    if field.is_some() {
        return None;
    }
    *field = Some(value?);
    Some(())
}

struct Reader<'a> {
    frame: &'a Bytes,
    at: usize,
}

impl<'a> Reader<'a> {
    fn message(&mut self) -> Option<Message> {
        let mut message = Message::default();
        for _ in 0..self.len(&MAP)? {
            match self.str()? {
                "id" => once(&mut message.id, self.string())?,
                "clientId" => once(&mut message.client_id, self.string())?,
                "connectionId" => once(&mut message.connection_id, self.string())?,
                "name" => once(&mut message.name, self.string())?,
                "data" => message.data = self.data()?,
                "encoding" => once(&mut message.encoding, self.string())?,
                "timestamp" => once(&mut message.timestamp, self.uint()?.try_into().ok())?,
                "action" => once(&mut message.action, self.uint()?.try_into().ok())?,
                "serial" => once(&mut message.serial, self.string())?,
                _ => return None,
            }
        }
        Some(message)
    }

    fn result(&mut self) -> Option<PublishResult> {
        if self.len(&MAP)? != 1 || self.str()? != "serials" {
            return None;
        }
        let serials = self.list(|reader| match reader.peek()? {
            NIL => reader.byte().map(|_| None),
            _ => reader.string().map(Some),
        })?;
        Some(PublishResult { serials })
    }

    fn list<T>(&mut self, mut read: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let len = self.len(&ARRAY).filter(|len| *len <= LIST_MAX)?;
        // Not more room than the frame has bytes: it may only claim to be long.
        let mut list = Vec::with_capacity(len.min(self.frame.len() - self.at));
        for _ in 0..len {
            list.push(read(self)?);
        }
        Some(list)
    }

    fn data(&mut self) -> Option<Data> {
        let width = match self.peek()? {
            0xc4 => 1,
            0xc5 => 2,
            0xc6 => 4,
            _ => return self.string().map(Data::String),
        };
        self.byte()?;
        let len = self.big_endian(width)?.try_into().ok()?;
        let bytes = self.take(len)?;
        Some(Data::Binary(self.frame.slice_ref(bytes)))
    }

    fn string(&mut self) -> Option<String> {
        self.str().map(ToOwned::to_owned)
    }

    fn str(&mut self) -> Option<&'a str> {
        let len = match self.byte()? {
            short @ 0xa0..=0xbf => usize::from(short & 0x1f),
            0xd9 => self.big_endian(1)?.try_into().ok()?,
            0xda => self.big_endian(2)?.try_into().ok()?,
            0xdb => self.big_endian(4)?.try_into().ok()?,
            _ => return None,
        };
        std::str::from_utf8(self.take(len)?).ok()
    }

    fn uint(&mut self) -> Option<u64> {
        match self.byte()? {
            short @ 0..=0x7f => Some(u64::from(short)),
            0xcc => self.big_endian(1),
            0xcd => self.big_endian(2),
            0xce => self.big_endian(4),
            0xcf => self.big_endian(8),
            _ => None,
        }
    }

    /// The length of a map or an array.
    fn len(&mut self, header: &Header) -> Option<usize> {
        let byte = self.byte()?;
        if byte & 0xf0 == header.short {
            return Some(usize::from(byte & 0x0f));
        }
        match byte.checked_sub(header.marker)? {
            0 => self.big_endian(2)?.try_into().ok(),
            1 => self.big_endian(4)?.try_into().ok(),
            _ => None,
        }
    }

    fn big_endian(&mut self, width: usize) -> Option<u64> {
        let bytes = self.take(width)?;
        Some(
            bytes
                .iter()
                .fold(0, |value, byte| value << 8 | u64::from(*byte)),
        )
    }

    fn peek(&self) -> Option<u8> {
        self.frame.get(self.at).copied()
    }

    fn byte(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let bytes = self.frame.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Option<String>> {
        of(prop_oneof!["[a-z]{0,40}", "\\PC{0,300}"])
    }

    fn data() -> impl Strategy<Value = Data> {
        prop_oneof![
            Just(Data::None),
            "\\PC{0,300}".prop_map(Data::String),
            vec(any::<u8>(), 0..300).prop_map(|bytes| Data::Binary(bytes.into())),
            (65_500..65_600usize).prop_map(|len| Data::Binary(vec![7; len].into())),
        ]
    }

    prop_compose! {
        fn message()(
            texts in [text(), text(), text(), text(), text(), text()],
            data in data(),
            timestamp in of(-1..i64::MAX),
            action in of(any::<u8>()),
        ) -> Message {
            let [id, client_id, connection_id, name, encoding, serial] = texts;
            Message {
                id, client_id, connection_id, name, data, encoding,
                timestamp, action, serial, ..Message::default()
            }
        }
    }

    prop_compose! {
        fn frame()(
            texts in [text(), text(), text(), text()],
            flags in of(any::<u64>()),
            msg_serial in of(0..300_000u64),
            action in any::<u8>(),
            count in of(any::<u32>()),
            timestamp in of(-1..i64::MAX),
            messages in vec(message(), 0..5),
            serials in vec(vec(text(), 0..20), 0..3),
        ) -> ProtocolMessage {
            let [id, channel, channel_serial, connection_id] = texts;
            ProtocolMessage {
                id, channel, channel_serial, connection_id,
                count, flags, msg_serial, timestamp, messages,
                res: serials.into_iter().map(|serials| PublishResult { serials }).collect(),
                ..ProtocolMessage::new(Action::from_number(action))
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_it_writes_is_what_serde_writes(message in frame()) {
            let mut out = Vec::new();
            prop_assume!(encode(&message, &mut out));
            let expected = rmp_serde::to_vec_named(&message).expect("encodes");
            prop_assert_eq!(out, expected);
        }

        #[test]
        fn what_it_reads_is_what_serde_reads(message in frame(), cut in any::<prop::sample::Index>()) {
            let mut bytes = rmp_serde::to_vec_named(&message).expect("encodes");
            let frame = Bytes::from(bytes.clone());
            let has_negative_time = message.timestamp.is_some_and(|t| t < 0)
                || message.messages.iter().any(|m| m.timestamp.is_some_and(|t| t < 0));
            if !has_negative_time {
                prop_assert_eq!(decode(&frame), Some(message));
            }
            bytes.truncate(cut.index(bytes.len()));
            prop_assert_eq!(decode(&bytes.into()), None);
        }

        #[test]
        fn a_changed_byte_makes_it_read_as_serde_or_step_back(
            message in frame(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = rmp_serde::to_vec_named(&message).expect("encodes");
            let index = at.index(bytes.len());
            bytes[index] = byte;
            if let Some(read) = decode(&bytes.clone().into()) {
                let expected: ProtocolMessage = rmp_serde::from_slice(&bytes).expect("decodes");
                prop_assert_eq!(read, expected);
            }
        }
    }

    #[test]
    fn a_frame_that_is_not_plain_is_left_to_serde() {
        let mut out = vec![7];
        let attached = ProtocolMessage {
            error: Some(crate::protocol::ably::error::ErrorInfo::new(90003, "x")),
            ..ProtocolMessage::new(Action::Attached)
        };
        assert!(!encode(&attached, &mut out));
        assert_eq!(out, [7]);
        assert_eq!(decode(&Bytes::from_static(b"\x81\xa5novel\xc0")), None);
        assert_eq!(decode(&Bytes::from_static(b"\x81\xa5count\xc0")), None);
    }
}
