//! Takes a secret from a terminal without showing it, or from a pipe.

use std::io::{self, IsTerminal as _, Read as _};

use nix::sys::termios::{self, LocalFlags, SetArg, SpecialCharacterIndices, Termios};

use super::exit::{Exit, Failure};
use super::output;

/// The longest secret: a bearer token may be a long JWT.
const BYTES_MAX: usize = 128 * 1024;

/// Whether there is somebody to ask.
pub(super) fn is_asked() -> bool {
    io::stdin().is_terminal()
}

/// The secret: what is typed after `question`, or all of standard input.
pub(super) fn secret(question: &str) -> Result<String, Failure> {
    let text = if is_asked() {
        typed(question)?
    } else {
        piped()?
    };
    Ok(text.trim().to_owned())
}

fn piped() -> Result<String, Failure> {
    let mut text = String::new();
    let limit = BYTES_MAX as u64 + 1;
    let read = io::stdin().lock().take(limit).read_to_string(&mut text);
    match read {
        Ok(_) if text.len() <= BYTES_MAX => Ok(text),
        Ok(_) => Err(Failure::new(
            Exit::Usage,
            "standard input is too long for a secret",
        )),
        Err(error) => Err(unreadable(&error)),
    }
}

fn typed(question: &str) -> Result<String, Failure> {
    output::question(question);
    let silent = Silent::begin().map_err(|error| unreadable(&error.into()))?;
    let text = line();
    drop(silent);
    output::message("");
    text
}

/// One line, byte by byte: the terminal edits nothing while it is silent.
fn line() -> Result<String, Failure> {
    let mut text = Vec::new();
    for byte in io::stdin().lock().bytes() {
        match byte.map_err(|error| unreadable(&error))? {
            b'\n' | b'\r' => break,
            // Ctrl-C, and Ctrl-D on an empty line.
            0x03 => return Err(Failure::new(Exit::Interrupted, "interrupted")),
            0x04 if text.is_empty() => break,
            0x04 => {}
            0x08 | 0x7f => _ = text.pop(),
            // Ctrl-U
            0x15 => text.clear(),
            _ if BYTES_MAX <= text.len() => {}
            byte => text.push(byte),
        }
    }
    String::from_utf8(text).map_err(|_| Failure::new(Exit::Usage, "what was typed is not text"))
}

/// A terminal that shows nothing and sends no signals, until this is dropped.
///
/// With signals a Ctrl-C would end us before the terminal is as it was.
struct Silent {
    before: Termios,
}

impl Silent {
    fn begin() -> nix::Result<Self> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        silent
            .local_flags
            .remove(LocalFlags::ECHO | LocalFlags::ICANON | LocalFlags::ISIG);
        silent.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
        silent.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
        termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &silent)?;
        Ok(Self { before })
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        _ = termios::tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

fn unreadable(error: &io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("failed to read standard input: {error}"),
    )
}
