//! What fuzzers may call; compiled for them only.

use std::path::Path;

use super::{Given, Text, parse};

/// Whatever stands in `falco.toml`, reading it says the same twice.
pub fn config(text: &str) {
    let read = || {
        let text = Text::of(Path::new("falco.toml"), text.to_owned(), true);
        let loaded = parse(&text, &Given::default(), Path::new("base"));
        let mistakes = loaded.mistakes.iter().map(ToString::to_string);
        mistakes.collect::<Vec<_>>()
    };
    assert_eq!(read(), read());
}
