//! A file of variables is variables or a mistake with its place.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        falco::fuzz::cli::env_file(text);
    }
});
