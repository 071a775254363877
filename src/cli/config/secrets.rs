//! Secrets do not belong in `falco.toml`: it is read by people, copied, and
//! kept in version control. This says where each belongs instead.

use super::reader::Reader;
use super::tree::{Entry, Node, Table, Value};
use crate::protocol::ably::auth::ApiKey;

/// Keys that people would write, and where what they mean belongs.
const ELSEWHERE: &[(&str, &str)] = &[
    ("api_key", "`falco login`, api_key_file, or ABLY_API_KEY"),
    (
        "ably_api_key",
        "`falco login`, api_key_file, or ABLY_API_KEY",
    ),
    ("key", "`falco login`, api_key_file, or ABLY_API_KEY"),
    ("secret", "`falco login`, api_key_file, or ABLY_API_KEY"),
    (
        "token",
        "`falco login`, token_bearer_file, or FALCO_TOKEN_BEARER",
    ),
    (
        "token_bearer",
        "`falco login`, token_bearer_file, or FALCO_TOKEN_BEARER",
    ),
    (
        "bearer",
        "`falco login`, token_bearer_file, or FALCO_TOKEN_BEARER",
    ),
    ("presence_token", "UNBOUND_PRESENCE_DO_TOKEN"),
    ("password", "a file that only you can read"),
];

/// The shortest secret half of an API key; Ably's have 43 characters.
const SECRET_CHARS_MIN: usize = 16;

/// Parts of a variable's name that say that its value is secret.
const SECRET_NAMES: &[&str] = &[
    "SECRET", "PASSWORD", "PASSWD", "TOKEN", "API_KEY", "PRIVATE",
];

/// What to say of a key whose value would be a secret.
pub(super) fn belongs_elsewhere(key: &str) -> Option<String> {
    let (_, place) = ELSEWHERE.iter().find(|(name, _)| *name == key)?;
    Some(format!(
        "a secret does not belong in this file; use {place}"
    ))
}

/// Whether `text` holds an Ably API key, alone or as one of its words.
pub(super) fn holds_key(text: &str) -> bool {
    let mut words = text.split(|c: char| c.is_whitespace() || "\"'=".contains(c));
    words.any(|word| {
        let secret = word.split_once(':').map_or("", |(_, secret)| secret);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        SECRET_CHARS_MIN <= secret.len()
            && secret.chars().all(plain)
            && word.parse::<ApiKey>().is_ok()
    })
}

/// Notes every API key in the file, wherever it stands.
pub(super) fn look_for_keys(reader: &mut Reader, table: &Table) {
    for Entry { key, node, .. } in &table.0 {
        look(reader, key, node);
    }
}

fn look(reader: &mut Reader, key: &str, Node { span, value }: &Node) {
    match value {
        Value::Text(text) if holds_key(text) => {
            let text = "an API key does not belong in this file; use `falco login` or api_key_file";
            reader.mistake(span.clone(), key, text);
        }
        Value::List(items) => items.iter().for_each(|item| look(reader, key, item)),
        Value::Table(table) => table
            .0
            .iter()
            .for_each(|inner| look(reader, &format!("{key}.{}", inner.key), &inner.node)),
        _ => {}
    }
}

/// Whether a variable of this name has a secret value.
pub(super) fn names_secret(variable: &str) -> bool {
    let upper = variable.to_ascii_uppercase();
    SECRET_NAMES.iter().any(|part| upper.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_where_it_stands_and_addresses_are_none() {
        let key = "a1B2c3.d4E5f6:abcdefghijklmnopqrstuvwxyz0123456789";
        assert!(holds_key(key));
        assert!(holds_key(&format!("get-token --key={key}")));
        assert!(!holds_key("http://127.0.0.1:8080/health"));
        assert!(!holds_key("my.host:8080"));
    }

    #[test]
    fn a_secret_variable_is_known_by_its_name() {
        assert!(names_secret("DB_PASSWORD") && names_secret("github_token"));
        assert!(!names_secret("PORT"));
    }
}
