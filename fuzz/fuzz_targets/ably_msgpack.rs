//! A protocol message that decodes keeps its meaning through both formats.
#![no_main]

use bytes::Bytes;
use falco::protocol::ably::codec::{Format, decode, encode};
use falco::protocol::ably::message::ProtocolMessage;
use libfuzzer_sys::fuzz_target;

fn through(format: Format, message: &ProtocolMessage) -> ProtocolMessage {
    decode(format, &Bytes::from(encode(format, message))).expect("our own frame")
}

fuzz_target!(|frame: &[u8]| {
    let Ok(message) = decode(Format::Msgpack, &Bytes::copy_from_slice(frame)) else {
        return;
    };
    // JSON undoes a base64 that msgpack leaves alone, so compare from there.
    let message = through(Format::Json, &message);
    assert_eq!(through(Format::Msgpack, &message), message);
    assert_eq!(through(Format::Json, &message), message);
});
