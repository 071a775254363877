//! What a child says of itself is short and can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        falco::fuzz::supervisor::notice(text);
    }
});
