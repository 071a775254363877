//! Whatever a daemon sends, what is published are bytes it sent.
#![no_main]

use bytes::Bytes;
use falco::protocol::envelope::{Routing, route};
use falco::protocol::id::EffectId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let body = Bytes::copy_from_slice(data);
    let routing = Routing::for_device("d");
    let Ok(effect) = route(EffectId::from_bytes([7; 16]), &body, &routing) else {
        return;
    };
    let sent = effect.operation.body();
    assert!(body.as_ptr_range().contains(&sent.as_ptr()), "not a copy");
    assert!(serde_json::from_slice::<&serde_json::value::RawValue>(sent).is_ok());
    assert!(!effect.operation.channel().is_empty());
    assert!(!effect.operation.name().is_empty());
    let again = route(EffectId::from_bytes([7; 16]), &body, &routing);
    assert_eq!(again.as_ref(), Ok(&effect));
});
