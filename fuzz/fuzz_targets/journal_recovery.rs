//! Whatever stands in a journal's files, recovery ends, and tells the same
//! twice and after its repair.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| falco::journal::fuzz::recovery(data));
