//! A journal line reads as one thing or as nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| falco::journal::fuzz::line(data));
