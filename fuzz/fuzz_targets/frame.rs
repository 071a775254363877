//! However a stream is split, it yields the same frames and the same end.
#![no_main]

use bytes::BytesMut;
use falco::protocol::frame::{Decoded, Decoder, FrameError, Kind, Limits, encode};
use libfuzzer_sys::fuzz_target;

/// Small, so that the fuzzer reaches the drain.
const LIMITS: Limits = Limits {
    frame_bytes_max: 64,
    drain_bytes_max: 256,
};

fn decode_by(piece: usize, stream: &[u8]) -> (Vec<Decoded>, Option<FrameError>) {
    let mut decoder = Decoder::new(Kind::SideEffect, LIMITS);
    let mut input = BytesMut::new();
    let mut found = Vec::new();
    for part in stream.chunks(piece) {
        input.extend_from_slice(part);
        loop {
            match decoder.decode(&mut input) {
                Ok(Some(decoded)) => found.push(decoded),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
        assert!(decoder.missing(&input) > 0);
    }
    (found, None)
}

fuzz_target!(|data: &[u8]| {
    let Some((&piece, stream)) = data.split_first() else {
        return;
    };
    let whole = decode_by(stream.len().max(1), stream);
    assert_eq!(whole, decode_by(usize::from(piece).max(1), stream));
    for decoded in whole.0 {
        if let Decoded::Frame { code, id, body } = decoded {
            let mut out = BytesMut::new();
            encode(Kind::SideEffect, code, id, &body, &mut out);
            let again = decode_by(out.len(), &out);
            assert_eq!(again, (vec![Decoded::Frame { code, id, body }], None));
        }
    }
});
