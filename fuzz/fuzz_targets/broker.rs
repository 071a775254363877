//! Either side of the token broker's exchange survives the other's bytes.
#![no_main]

use falco::protocol::token::{REQUEST_BYTES_MAX, Request, decode_answer, encode_answer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match Request::parse(data) {
        Ok(request) => {
            assert!(data.len() <= REQUEST_BYTES_MAX);
            let again = serde_json::to_vec(&request).expect("requests serialize");
            let again = Request::parse(&again).expect("our own request");
            assert!(again.broker_token.matches(&request.broker_token));
            assert_eq!(
                (again.audience, again.device_id),
                (request.audience, request.device_id)
            );
        }
        Err(refusal) => {
            let sent = encode_answer(Err(refusal.clone()));
            assert_eq!(decode_answer(&sent).expect("our own answer"), Err(refusal));
        }
    }
    if let Ok(Ok(details)) = decode_answer(data) {
        let sent = encode_answer(Ok(details.clone()));
        assert_eq!(decode_answer(&sent).expect("our own answer"), Ok(details));
    }
});
