//! Whatever happens to lanes, every effect is settled once, in order, and in
//! bounded time.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| falco::fuzz::delivery::lanes(data, Instant::now()));
