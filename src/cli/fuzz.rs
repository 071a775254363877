//! What fuzzers may call; compiled for them only.

pub use super::config::fuzz::config;
use super::env_file;

/// Whatever stands in such a file, it is variables or a mistake with its place.
pub fn env_file(text: &str) {
    let lines = text.split('\n').count();
    match env_file::parse(text) {
        Ok(variables) => {
            for variable in variables {
                assert!((1..=lines).contains(&variable.line));
                assert!(!variable.name.is_empty() && !variable.name.contains(['=', '\0']));
                assert!(!variable.value.contains('\0'));
            }
        }
        Err(wrong) => assert!((1..=lines).contains(&wrong.line) && 0 < wrong.column),
    }
}
