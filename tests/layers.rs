//! The house's layers: imports go down only, services never name each other,
//! and pure rooms touch no I/O, clock or runtime.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms from top to bottom; a room may name rooms of later rows only.
const LAYERS: &[&[&str]] = &[
    &["cli"],
    &["supervisor"],
    &[
        "ingest",
        "transport",
        "token_broker",
        "emulator",
        "control",
        "client",
    ],
    &["net", "process", "journal"],
    &["ably", "delivery"],
    &["protocol"],
    &[
        "backoff",
        "clock",
        "counted",
        "failpoint",
        "logfile",
        "memory",
        "paths",
        "plain_file",
        "report",
        "shortage",
        "shutdown",
        "telemetry",
    ],
];

/// Rooms that only decide.
const PURE: &[&str] = &[
    "protocol", "ably", "delivery", "backoff", "counted", "report", "paths",
];

/// What a pure room must not name outside its tests.
const IMPURE: &[&str] = &[
    "tokio::",
    "std::fs",
    "std::net",
    "std::process",
    "std::env",
    "Instant::now",
    "SystemTime::now",
    "println!",
];

struct Source {
    path: PathBuf,
    room: String,
    /// Without comments and without the `mod tests` at the end.
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(source(&root, path));
            }
        }
    }
    found
}

fn source(root: &Path, path: PathBuf) -> Source {
    let inside = path.strip_prefix(root).expect("below src");
    let first = inside.iter().next().expect("a name").to_string_lossy();
    let room = first.trim_end_matches(".rs").to_owned();
    let code = if is_test_file(inside) {
        String::new()
    } else {
        code_of(&fs::read_to_string(&path).expect("source is text"))
    };
    Source { path, room, code }
}

fn is_test_file(inside: &Path) -> bool {
    inside.iter().any(|part| {
        let part = part.to_string_lossy();
        part == "tests" || part == "tests.rs" || part.ends_with("_tests.rs")
    })
}

fn code_of(text: &str) -> String {
    text.lines()
        .take_while(|line| !line.starts_with("#[cfg(test)]"))
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn layer(room: &str) -> Option<usize> {
    LAYERS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms that `code` names as `crate::room`, grouped imports included.
fn named_rooms(code: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => rooms.extend(grouped_rooms(group)),
            None => rooms.push(leading_word(rest)),
        }
    }
    rooms
}

/// The first word of every item of an import group, `}` at its end.
fn grouped_rooms(group: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    let mut depth = 0usize;
    let mut item_starts = true;
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => item_starts = true,
            c if c.is_alphabetic() && item_starts => {
                rooms.push(leading_word(&group[at..]));
                item_starts = false;
            }
            _ => {}
        }
    }
    rooms
}

fn leading_word(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

#[test]
fn every_room_has_its_layer() {
    for source in sources() {
        let outside = ["lib", "main"].contains(&source.room.as_str());
        assert!(
            outside || layer(&source.room).is_some(),
            "{} is in no layer",
            source.path.display()
        );
    }
}

#[test]
fn imports_go_down_only_and_services_never_name_each_other() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some(from) = layer(&source.room) else {
            continue;
        };
        for room in named_rooms(&source.code) {
            let Some(to) = layer(&room) else { continue };
            if to < from || (to == from && room != source.room) {
                wrong.push(format!("{} names {room}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_rooms_name_no_runtime_no_io_and_no_clock() {
    let mut wrong = Vec::new();
    for source in sources() {
        if !PURE.contains(&source.room.as_str()) {
            continue;
        }
        for word in IMPURE.iter().filter(|word| source.code.contains(**word)) {
            wrong.push(format!("{} names {word}", source.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_the_command_line_prints_reads_the_environment_or_exits() {
    let mut wrong = Vec::new();
    for source in sources() {
        // A parent names the descriptors it hands over in the environment.
        let inherits = source.path.ends_with("process/inherited.rs")
            || source.path.ends_with("process/manager.rs");
        if source.room == "cli" || inherits {
            continue;
        }
        for word in ["println!", "env::var", "process::exit", "env::args"] {
            if source.code.contains(word) {
                wrong.push(format!("{} names {word}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_grouped_import_names_each_of_its_rooms() {
    let code = "use crate::{net::{unix, lines}, protocol::frame, report::Report};";
    assert_eq!(named_rooms(code), ["net", "protocol", "report"]);
    assert_eq!(named_rooms("crate::cli::main()"), ["cli"]);
}
