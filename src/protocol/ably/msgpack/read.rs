//! Reads plain frames.

use bytes::Bytes;
use serde_json::Value;

use crate::protocol::ably::data::Data;
use crate::protocol::ably::message::{Action, Message, ProtocolMessage, PublishResult};

use super::{ARRAY, FALSE, Header, MAP, NESTING_MAX, NIL, TRUE};

/// More elements than this are for serde to refuse.
const LIST_MAX: usize = 10_000;

/// Reads `frame` if it is plain; its payloads share the frame's memory.
pub(in crate::protocol::ably) fn decode(frame: &Bytes) -> Option<ProtocolMessage> {
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
                "extras" => once(&mut message.extras, self.map(NESTING_MAX))?,
                "timestamp" => once(&mut message.timestamp, self.uint()?.try_into().ok())?,
                "action" => once(&mut message.action, self.uint()?.try_into().ok())?,
                "serial" => once(&mut message.serial, self.string())?,
                _ => return None,
            }
        }
        Some(message)
    }

    /// A value that nests little and has only whole numbers from 0.
    fn value(&mut self, nesting: usize) -> Option<Value> {
        match self.peek()? {
            NIL => self.byte().map(|_| Value::Null),
            FALSE => self.byte().map(|_| Value::Bool(false)),
            TRUE => self.byte().map(|_| Value::Bool(true)),
            0x00..=0x7f | 0xcc..=0xcf => self.uint().map(Value::from),
            0xa0..=0xbf | 0xd9..=0xdb => self.string().map(Value::String),
            0x90..=0x9f | 0xdc | 0xdd => {
                let left = nesting.checked_sub(1)?;
                self.list(|reader| reader.value(left)).map(Value::Array)
            }
            _ => self.map(nesting),
        }
    }

    fn map(&mut self, nesting: usize) -> Option<Value> {
        let left = nesting.checked_sub(1)?;
        let mut map = serde_json::Map::new();
        for _ in 0..self.len(&MAP)? {
            let key = self.string()?;
            map.insert(key, self.value(left)?);
        }
        Some(Value::Object(map))
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
