use proptest::prelude::*;

use super::*;

/// A side effect with the body `{}` and the id 00 01 … 0f, as the contract
/// lays it out.
const SIDE_EFFECT: &[u8] = &[
    0x1a, 0x00, 0x00, 0x00, // total_len = 24 + 2
    0x03, // SideEffect
    0x00, // flags
    0x00, 0x00, // reserved
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, // effect_id
    0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, //
    0x02, 0x00, 0x00, 0x00, // payload_len
    b'{', b'}',
];

/// The answer `SUCCESS` to [`SIDE_EFFECT`].
const SUCCESS: &[u8] = &[
    0x18, 0x00, 0x00, 0x00, 0x04, 0x01, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
    0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x00, 0x00, 0x00, 0x00,
];

/// The answer `FAILED` with the text `no`.
const FAILED: &[u8] = &[
    0x1a, 0x00, 0x00, 0x00, 0x04, 0x02, 0x00, 0x00, 0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07,
    0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f, 0x02, 0x00, 0x00, 0x00, b'n', b'o',
];

const ID: EffectId = EffectId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

fn side_effects() -> Decoder {
    Decoder::new(Kind::SideEffect, Limits::default())
}

/// Everything `decoder` makes of `bytes` when they come in one piece.
fn decode_all(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Decoded>, FrameError> {
    let mut input = BytesMut::from(bytes);
    let mut all = Vec::new();
    while let Some(decoded) = decoder.decode(&mut input)? {
        all.push(decoded);
    }
    Ok(all)
}

fn with_total_len(total_len: u32) -> Vec<u8> {
    let mut frame = SIDE_EFFECT.to_vec();
    frame[..4].copy_from_slice(&total_len.to_le_bytes());
    frame
}

#[test]
fn a_side_effect_frame_decodes_from_the_bytes_of_the_contract() {
    let frames = decode_all(&mut side_effects(), SIDE_EFFECT).unwrap();
    assert_eq!(
        frames,
        [Decoded::Frame {
            code: 0,
            id: ID,
            body: Bytes::from_static(b"{}")
        }]
    );
}

#[test]
fn encoded_frames_have_the_bytes_of_the_contract() {
    let mut out = BytesMut::new();
    encode(Kind::SideEffect, 0, ID, b"{}", &mut out);
    assert_eq!(&out[..], SIDE_EFFECT);

    let mut out = BytesMut::new();
    encode(Kind::PublishAck, Status::Success.code(), ID, b"", &mut out);
    assert_eq!(&out[..], SUCCESS);

    let mut out = BytesMut::new();
    encode(Kind::PublishAck, Status::Failed.code(), ID, b"no", &mut out);
    assert_eq!(&out[..], FAILED);
}

#[test]
fn reserved_bytes_are_ignored_and_flags_are_kept() {
    let mut frame = SIDE_EFFECT.to_vec();
    frame[5] = 0x80;
    frame[6] = 0xff;
    frame[7] = 0xff;
    let frames = decode_all(&mut side_effects(), &frame).unwrap();
    assert!(matches!(frames[..], [Decoded::Frame { code: 0x80, .. }]));
}

#[test]
fn a_wrong_inner_length_costs_its_own_frame_only() {
    let mut stream = SIDE_EFFECT.to_vec();
    stream[24] = 3;
    stream.extend_from_slice(SIDE_EFFECT);
    let frames = decode_all(&mut side_effects(), &stream).unwrap();
    assert_eq!(
        frames[0],
        Decoded::Mismatch {
            id: ID,
            body_len: 3,
            expected: 2
        }
    );
    assert!(matches!(frames[1], Decoded::Frame { .. }));
}

#[test]
fn lengths_that_no_frame_has_are_refused_at_the_fourth_byte() {
    for total_len in [0, 1, 23] {
        let bytes = &with_total_len(total_len)[..4];
        let error = decode_all(&mut side_effects(), bytes).unwrap_err();
        assert_eq!(error, FrameError::TooShort { total_len });
    }
}

#[test]
fn a_frame_too_long_to_be_drained_says_whose_it_is_once_its_header_is_there() {
    let max = 16 * 1024 * 1024;
    for total_len in [16 * 1024 * 1024 + 1, u32::MAX] {
        let frame = with_total_len(total_len);
        let mut input = BytesMut::from(&frame[..27]);
        let mut decoder = side_effects();
        assert_eq!(decoder.decode(&mut input), Ok(None));
        assert_eq!(decoder.missing(&input), 1);
        input.extend_from_slice(&frame[27..28]);
        let error = decoder.decode(&mut input).unwrap_err();
        let id = ID;
        assert_eq!(error, FrameError::TooLong { id, total_len, max });
    }
}

#[test]
fn of_a_frame_that_is_not_kept_only_the_header_is_waited_for() {
    for total_len in [4 * 1024 * 1024 + 1, u32::MAX] {
        let input = BytesMut::from(&with_total_len(total_len)[..4]);
        assert_eq!(side_effects().missing(&input), 24);
    }
    let kept = BytesMut::from(&with_total_len(4 * 1024 * 1024)[..4]);
    assert_eq!(side_effects().missing(&kept), 4 * 1024 * 1024);
}

#[test]
fn a_frame_of_another_type_is_refused_at_the_fifth_byte() {
    for found in [0x00, 0x01, 0x02, 0x04, 0xff] {
        let mut frame = SIDE_EFFECT[..5].to_vec();
        frame[4] = found;
        let error = decode_all(&mut side_effects(), &frame).unwrap_err();
        let expected = 0x03;
        assert_eq!(error, FrameError::WrongKind { found, expected });
    }
}

#[test]
fn an_empty_body_is_a_frame() {
    let mut out = BytesMut::new();
    encode(Kind::SideEffect, 0, ID, b"", &mut out);
    let frames = decode_all(&mut side_effects(), &out).unwrap();
    assert!(matches!(&frames[..], [Decoded::Frame { body, .. }] if body.is_empty()));
}

#[test]
fn a_frame_at_the_limit_is_kept_and_one_byte_more_is_drained() {
    let limits = Limits {
        frame_bytes_max: 24 + 8,
        drain_bytes_max: 24 + 64,
    };
    let mut stream = BytesMut::new();
    encode(Kind::SideEffect, 0, ID, &[b' '; 8], &mut stream);
    encode(Kind::SideEffect, 0, ID, &[b' '; 9], &mut stream);
    encode(Kind::SideEffect, 0, ID, b"{}", &mut stream);
    let frames = decode_all(&mut Decoder::new(Kind::SideEffect, limits), &stream).unwrap();
    assert!(matches!(&frames[0], Decoded::Frame { body, .. } if body.len() == 8));
    assert_eq!(
        frames[1],
        Decoded::TooLarge {
            id: ID,
            total_len: 33
        }
    );
    assert!(matches!(&frames[2], Decoded::Frame { body, .. } if body.len() == 2));
}

#[test]
fn draining_keeps_none_of_the_bytes_it_drops() {
    let mut decoder = side_effects();
    let mut input = BytesMut::from(&with_total_len(5 * 1024 * 1024)[..]);
    assert_eq!(decoder.decode(&mut input), Ok(None));
    assert!(input.is_empty());
    assert!(!decoder.is_between_frames(&input));
}

/// A stream of whole frames, some with a wrong inner length, some too large.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let frame = (any::<[u8; 16]>(), 0..80usize, any::<bool>()).prop_map(|(id, len, broken)| {
        let mut out = BytesMut::new();
        let body = vec![b'x'; len];
        encode(
            Kind::SideEffect,
            0,
            EffectId::from_bytes(id),
            &body,
            &mut out,
        );
        if broken {
            out[24] ^= 0xff;
        }
        out.to_vec()
    });
    prop::collection::vec(frame, 0..12).prop_map(|frames| frames.concat())
}

proptest! {
    #[test]
    fn however_the_bytes_are_split_the_same_frames_come_out(
        stream in streams(),
        cuts in prop::collection::vec(1..40usize, 0..60),
    ) {
        let limits = Limits { frame_bytes_max: 24 + 60, drain_bytes_max: 24 + 100 };
        let whole = decode_all(&mut Decoder::new(Kind::SideEffect, limits), &stream).unwrap();

        let mut decoder = Decoder::new(Kind::SideEffect, limits);
        let mut input = BytesMut::new();
        let mut pieces = Vec::new();
        let mut rest = &stream[..];
        let mut cuts = cuts.into_iter();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(cuts.next().unwrap_or(7).min(rest.len()));
            prop_assert!(decoder.missing(&input) > 0);
            input.extend_from_slice(piece);
            while let Some(decoded) = decoder.decode(&mut input).unwrap() {
                pieces.push(decoded);
            }
            rest = after;
        }
        prop_assert_eq!(pieces, whole);
        prop_assert!(decoder.is_between_frames(&input));
    }

    #[test]
    fn no_bytes_make_the_decoder_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_all(&mut side_effects(), &stream);
    }
}
