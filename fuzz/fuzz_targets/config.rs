//! Whatever stands in `falco.toml`, reading it ends and says the same twice.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(text) = std::str::from_utf8(data) {
        falco::fuzz::cli::config(text);
    }
});
