//! What is asked of a supervisor, and what it says, reads back as it was.
#![no_main]

use falco::protocol::control::{Event, Request};
use libfuzzer_sys::fuzz_target;
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|line: &[u8]| {
    reads_back::<Request>(line);
    reads_back::<Event>(line);
    if let Ok(text) = std::str::from_utf8(line) {
        falco::fuzz::ingest::place(text);
    }
});

fn reads_back<T: Serialize + DeserializeOwned>(line: &[u8]) {
    let Ok(read) = serde_json::from_slice::<T>(line) else {
        return;
    };
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("our own line");
    let again = serde_json::to_vec(&again).expect("as before");
    assert_eq!(again, written);
}
