//! What Falco noted of its batches, damaged or cut off, is read up to there.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| falco::fuzz::ingest::records(data));
