//! A file of the inbox reads as the same effects however it grows.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| falco::fuzz::ingest::lines(data));
