//! Numbers of things, as people write them.

use std::fmt::Display;

/// So many of what one is called: "1 record", "2 records".
pub fn counted<N: Copy + Display + PartialEq + From<u8>>(count: N, one: &str) -> String {
    if count == N::from(1) {
        return format!("{count} {one}");
    }
    match one.strip_suffix('y') {
        Some(stem) => format!("{count} {stem}ies"),
        None if one.ends_with('s') => format!("{count} {one}es"),
        None => format!("{count} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_one() {
        let told = [0_u64, 1, 2].map(|count| counted(count, "damaged range"));
        assert_eq!(
            told,
            ["0 damaged ranges", "1 damaged range", "2 damaged ranges"]
        );
        assert_eq!(counted(2_usize, "process"), "2 processes");
        assert_eq!(counted(2_u32, "retry"), "2 retries");
    }
}
