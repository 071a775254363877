//! However a stream is split, it yields the lines that a look at all of it finds.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| falco::fuzz::net::lines(data));
