//! The golden vectors of `tests/vectors` against the public wire formats.
//!
//! The vectors were made without this crate (see their README), so that our
//! encoders and decoders cannot agree on a mistake.

mod ably;
mod auth;
mod broker;
mod daemon;
mod ipc;
mod journal;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

fn path_of(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/vectors")
        .join(name)
}

/// The text of a vector file.
fn read(name: &str) -> String {
    let path = path_of(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A vector file in JSON.
fn load<T: DeserializeOwned>(name: &str) -> T {
    serde_json::from_str(&read(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Bytes written in hex, with or without spaces.
fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("hex is ASCII");
        u8::from_str_radix(pair, 16).expect("two hex digits")
    };
    digits.chunks(2).map(byte).collect()
}

/// Every file below `directory`, sorted.
fn files_below(directory: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut waiting = vec![path_of(directory)];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).expect("the directory is readable") {
            let path = entry.expect("the entry is readable").path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                files.push(path);
            }
        }
    }
    files.sort();
    files
}
