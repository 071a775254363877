//! A line of `ably.sock` is a request, an answer, or neither; what we answer
//! with is always one line that reads back.
#![no_main]

use bytes::BytesMut;
use falco::protocol::ipc::{Answer, Incoming, Request, write_line};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    let (op, request_id) = match Request::decode(line) {
        Ok(request) => (request.op.into_owned(), request.request_id.into_owned()),
        Err(malformed) => (malformed.op, malformed.request_id),
    };
    let mut out = BytesMut::new();
    let answer = Answer {
        op: &op,
        request_id: &request_id,
        ok: false,
        error: Some("x"),
        code: Some(40_000),
        retryable: None,
    };
    write_line(&mut out, &answer);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    let read: Incoming<'_> = serde_json::from_slice(&out).expect("our own line");
    assert_eq!((&*read.op, &*read.request_id), (&*op, &*request_id));
    let _ = serde_json::from_slice::<Incoming<'_>>(line);
});
