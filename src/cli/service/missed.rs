//! Which flags a service had that an installation over it leaves out.
//!
//! Reads what `unit` writes, of this version or an earlier one, and of the words
//! of its command only flags.

use crate::cli::shell;

/// Flags of the service that `before` is and not of the one that `now` is, as a
/// person would give them; one with another value is not left out.
pub(super) fn missed(before: &str, now: &str) -> Vec<String> {
    let has: Vec<_> = flags(now).map(|flag| flag.name).collect();
    let missed = flags(before).filter(|flag| !has.contains(&flag.name));
    missed.map(|flag| flag.told).collect()
}

/// Whether the service that `text` is has this flag.
pub(super) fn has(text: &str, flag: &str) -> bool {
    flags(text).any(|has| has.name == flag)
}

struct Flag {
    /// What it is, whatever its value.
    name: String,
    told: String,
}

fn flags(text: &str) -> impl Iterator<Item = Flag> {
    text.lines().flat_map(|line| {
        let credential = credential(line).into_iter();
        let words = of_unit(line).into_iter().chain(of_agent(line));
        let flags = words.filter(|word| word.starts_with("--"));
        let flags = flags.map(|word| Flag {
            name: word.split('=').next().unwrap_or_default().to_owned(),
            told: shell::word(&word),
        });
        flags.chain(credential).collect::<Vec<_>>()
    })
}

fn credential(line: &str) -> Option<Flag> {
    let (flag, value) = line.strip_prefix("LoadCredential")?.split_once('=')?;
    let flag = match flag {
        "Encrypted" => "--load-credential-encrypted",
        _ => "--load-credential",
    };
    let told = format!("{flag}={}", value.replace("%%", "%"));
    Some(Flag {
        // Either way it is the same that is handed over.
        name: value.split(':').next().unwrap_or_default().to_owned(),
        told: shell::word(&told),
    })
}

/// The words of a systemd command line.
fn of_unit(line: &str) -> Vec<String> {
    let Some(line) = line.strip_prefix("ExecStart=") else {
        return Vec::new();
    };
    let (mut words, mut word) = (Vec::new(), String::new());
    let (mut is_quoted, mut chars) = (false, line.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(std::mem::take(&mut word)),
            '\\' => word.extend(chars.next()),
            '%' | '$' => {
                // It stands there twice.
                _ = chars.next_if_eq(&c);
                word.push(c);
            }
            c => word.push(c),
        }
    }
    words.push(word);
    words
}

/// The word of an agent's command that stands on this line.
fn of_agent(line: &str) -> Option<String> {
    let word = line.trim().strip_prefix("<string>")?;
    let word = word.strip_suffix("</string>")?;
    let plain = word.replace("&lt;", "<").replace("&gt;", ">");
    Some(plain.replace("&amp;", "&"))
}
