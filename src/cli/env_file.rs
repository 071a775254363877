//! Files of variables for sidecars, which is where their secrets are.
//!
//! One `NAME=value` a line, read as systemd reads an `EnvironmentFile=`. What
//! systemd would pass over in silence, or another reader of such files would
//! take for something else, is a mistake here: whatever is accepted means the
//! same everywhere.
//!
//! ```text
//! # a comment, and so is a line that begins with ;
//! PLAIN = to the end of the line, without the blanks around it # and with this
//! SINGLE='as it stands: \n $HOME'
//! DOUBLE="\" \\ \$ \` stand for themselves, other \backslashes stay"
//! ```
//!
//! Nothing is expanded. Of two lines with one name the later counts. Lines may
//! end with CR LF, and a byte order mark at the beginning is passed over.
//!
//! Never says what stands in a line: it may be a secret.

use std::io;
use std::path::{Path, PathBuf};

use super::given_file::{self, Untrusted};

/// What may stand around names and values.
const BLANK: [char; 2] = [' ', '\t'];

/// What a backslash takes its meaning from, between double quotes.
const ESCAPED: [char; 4] = ['"', '\\', '$', '`'];

/// A variable, and the line that sets it. May be secret.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) line: usize,
}

/// Why a file gives no variables.
#[derive(Debug, thiserror::Error)]
pub(super) enum EnvFileError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    /// Others could make a sidecar run what they want.
    #[error("{} {why}", path.display())]
    Untrusted { path: PathBuf, why: Untrusted },
    /// A line of it sets no variable.
    #[error("{}:{line}:{column}: {text}", path.display())]
    Line {
        path: PathBuf,
        line: usize,
        column: usize,
        text: &'static str,
    },
}

/// Reads the variables of a file, in its order.
///
/// # Errors
///
/// When it cannot be read, others could have written it, or a line of it sets
/// no variable.
pub(super) fn read(path: &Path) -> Result<Vec<Variable>, EnvFileError> {
    let cannot_read = |source| EnvFileError::Read {
        path: path.to_path_buf(),
        source,
    };
    let file = given_file::open(path).map_err(cannot_read)?;
    given_file::check_writers(&file).map_err(|why| EnvFileError::Untrusted {
        path: path.to_path_buf(),
        why,
    })?;
    let text = given_file::text(&file).map_err(cannot_read)?;
    parse(&text).map_err(|Wrong { line, column, text }| EnvFileError::Line {
        path: path.to_path_buf(),
        line,
        column,
        text,
    })
}

/// What is wrong, and where; both count from one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) column: usize,
    text: &'static str,
}

/// A byte of a line, and what is wrong there.
type WrongAt = (usize, &'static str);

pub(super) fn parse(text: &str) -> Result<Vec<Variable>, Wrong> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut variables = Vec::new();
    for (at, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let wrong = |(byte, text): WrongAt| Wrong {
            line: at + 1,
            column: line[..byte].chars().count() + 1,
            text,
        };
        if let Some((name, value)) = variable(line).map_err(wrong)? {
            let (name, line) = (name.to_owned(), at + 1);
            variables.push(Variable { name, value, line });
        }
    }
    Ok(variables)
}

/// The variable that a line sets; a comment and an empty line set none.
fn variable(line: &str) -> Result<Option<(&str, String)>, WrongAt> {
    if let Some(at) = line.find(['\r', '\0']) {
        return Err((at, "this character cannot be in a variable"));
    }
    let said = line.trim_start_matches(BLANK);
    let begin = line.len() - said.len();
    if said.starts_with(['#', ';']) {
        let goes_on = said.ends_with('\\');
        let text = "a comment that ends with a backslash may go on in the next line";
        return if goes_on {
            Err((line.len() - 1, text))
        } else {
            Ok(None)
        };
    }
    if said.is_empty() {
        return Ok(None);
    }
    let exports = said.strip_prefix("export");
    if exports.is_some_and(|rest| rest.starts_with(BLANK)) {
        let text = "leave out export: these are variables, not lines of a shell";
        return Err((begin, text));
    }
    let (name, _) = said.split_once('=').ok_or((begin, "not NAME=value"))?;
    let value_at = begin + name.len() + 1;
    let name = name.trim_end_matches(BLANK);
    if !is_name(name) {
        let text = "no variable can be called that: letters, digits and _, and no digit first";
        return Err((begin, text));
    }
    let value = value(&line[value_at..]).map_err(|(at, text)| (value_at + at, text))?;
    Ok(Some((name, value)))
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(fits)
}

/// What stands behind the `=`.
fn value(text: &str) -> Result<String, WrongAt> {
    let said = text.trim_matches(BLANK);
    let begin = text.len() - text.trim_start_matches(BLANK).len();
    let (value, used) = match said.chars().next() {
        Some('\'') => single_quoted(&said[1..]),
        Some('"') => double_quoted(&said[1..]),
        _ => return plain(said).map_err(|(at, text)| (begin + at, text)),
    }
    .ok_or((begin, "this quote is not closed before the line ends"))?;
    let rest = 1 + used;
    if rest < said.len() {
        return Err((begin + rest, "nothing may follow the closing quote"));
    }
    Ok(value)
}

fn plain(said: &str) -> Result<String, WrongAt> {
    match said.find('\\') {
        Some(at) => Err((at, "a backslash needs quotes around the value")),
        None => Ok(said.to_owned()),
    }
}

/// A value up to its closing quote, and how many bytes that takes.
fn single_quoted(text: &str) -> Option<(String, usize)> {
    let end = text.find('\'')?;
    Some((text[..end].to_owned(), end + 1))
}

fn double_quoted(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, at + 1)),
            '\\' => {
                let (_, next) = chars.next()?;
                if !ESCAPED.contains(&next) {
                    value.push(c);
                }
                value.push(next);
            }
            _ => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests;
