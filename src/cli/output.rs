//! Standard output is data, standard error is messages.

use std::io::{self, Write};

use super::exit::Failure;

/// Prints one line of data.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").map_err(|e| Failure::output(&e))
}

/// Prints one line for the person watching.
pub(super) fn message(text: &str) {
    _ = writeln!(io::stderr().lock(), "{text}");
}

/// A panic is our bug: one line, no backtrace, and the log has it too.
pub(super) fn report_panics_in_one_line() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        let payload = info.payload();
        let what = payload.downcast_ref::<&str>().copied();
        let what = what.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        let what = what.unwrap_or("no message");
        tracing::error!(place, what, "A task panicked.");
        message(&format!("error: a bug in falco: {what} (at {place})"));
    }));
}
