//! An error with its whole chain of causes, on one line.

use std::error::Error;
use std::fmt;

/// Displays an error and each of its causes, separated by `: `.
///
/// A cause whose text the line already ends with is not repeated.
pub struct Report<'a>(pub &'a dyn Error);

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = self.0.to_string();
        f.write_str(&text)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let next = error.to_string();
            if !text.ends_with(&next) {
                write!(f, ": {next}")?;
            }
            text = next;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("failed to read settings")]
    struct Outer(#[source] std::io::Error);

    #[test]
    fn a_report_names_every_cause_in_order() {
        let error = Outer(std::io::Error::other("disk on fire"));
        assert_eq!(
            Report(&error).to_string(),
            "failed to read settings: disk on fire"
        );
    }
}
