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

fn decode_by<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Decoded>, Option<FrameError>) {
    let mut decoder = Decoder::new(Kind::SideEffect, LIMITS);
    let mut input = BytesMut::new();
    let mut found = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
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
    let whole = decode_by([stream].into_iter());
    assert_eq!(whole, decode_by(stream.chunks(usize::from(piece).max(1))));
    // Before every byte that has something of the first: wherever the fuzzer likes.
    let is_together = |_: &u8, next: &u8| next & 7 != piece & 7;
    assert_eq!(whole, decode_by(stream.chunk_by(is_together)));
    for decoded in whole.0 {
        if let Decoded::Frame { code, id, body } = decoded {
            let mut out = BytesMut::new();
            encode(Kind::SideEffect, code, id, &body, &mut out);
            let again = decode_by([&out[..]].into_iter());
            assert_eq!(again, (vec![Decoded::Frame { code, id, body }], None));
        }
    }
});
