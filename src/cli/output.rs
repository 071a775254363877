//! Standard output is data, standard error is messages.

mod aside;

use std::borrow::Cow;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::time::sleep;

use super::exit::{Exit, Failure};
use aside::Aside;

/// How often is looked whether anybody reads what comes, if it comes seldom.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How long the last messages may take, if nobody may stand still for them.
const WRITTEN_PATIENCE: Duration = Duration::from_secs(1);

/// What writes the messages of a process in which nobody waits for that.
static ASIDE: OnceLock<Aside> = OnceLock::new();

/// From here on nobody in this process waits for whoever reads its messages.
pub(super) fn aside() -> Result<(), Failure> {
    let aside = Aside::begin(io::stderr())
        .map_err(|e| Failure::to(Exit::CannotCreate, "start a thread", &e))?;
    _ = ASIDE.set(aside);
    Ok(())
}

/// Has the messages written that still wait, unless nobody reads them in time.
pub(super) fn finish() {
    if let Some(aside) = ASIDE.get() {
        aside.finish(WRITTEN_PATIENCE);
    }
}

/// Writes `text` to standard error, or has it written.
fn tell(text: String) {
    if let Some(aside) = ASIDE.get() {
        return aside.write(text);
    }
    let mut stderr = io::stderr().lock();
    _ = stderr.write_all(text.as_bytes());
}

/// Prints one line of data.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{text}").map_err(|e| Failure::output(&e))
}

/// A path as JSON has it: as text.
pub(super) fn path_text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        let error = format!("{} is not text, which JSON must be", path.display());
        Failure::new(Exit::Config, error).hint("leave out --json, or choose another --base-dir")
    })
}

/// Prints data as it stands.
pub(super) fn bytes(data: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(data).and_then(|()| stdout.flush());
    written.map_err(|e| Failure::output(&e))
}

/// Waits for `pause`; false at once if the reader of standard output has gone.
///
/// Where terminals and other devices cannot be asked, they count as read.
pub(super) fn is_read_within(pause: Duration) -> bool {
    let stdout = io::stdout();
    // With nothing asked for, only a closed other end is reported.
    let mut fds = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
    let timeout = PollTimeout::try_from(pause).unwrap_or(PollTimeout::MAX);
    if !matches!(poll(&mut fds, timeout), Ok(1..)) {
        return true;
    }
    if fds[0].revents().is_some_and(is_reader_gone) {
        return false;
    }
    std::thread::sleep(pause);
    true
}

/// Whether this was reported of a closed other end: Darwin reports of a device
/// that it cannot be asked.
fn is_reader_gone(reported: PollFlags) -> bool {
    reported.intersects(PollFlags::POLLHUP | PollFlags::POLLERR)
}

/// Resolves once the reader of standard output has gone; cancel safe.
pub(super) async fn unread() {
    while is_read_within(Duration::ZERO) {
        sleep(LOOK_EVERY).await;
    }
}

/// Whether a terminal does something for it: moves the cursor, rings the bell, begins
/// a line or turns the direction of writing.
pub(super) fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Foreign text as it may stand on a terminal: what [acts] there is spelt out.
pub(super) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if acts(c) {
            shown.extend(c.escape_debug());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// Prints one line for the person watching.
pub(super) fn message(text: &str) {
    tell(format!("{text}\n"));
}

/// Whether the terminal cannot even go back to the start of a line.
pub(super) fn is_dumb() -> bool {
    std::env::var_os("TERM").is_none_or(|term| term == "dumb")
}

/// Shows one line on the terminal until the next one, cut off at its edge.
pub(super) fn live(text: &str) {
    tell(format!("\r\x1b[2K\x1b[?7l{text}\x1b[?7h"));
}

/// Takes that line away.
pub(super) fn clear_live() {
    tell("\r\x1b[2K".to_owned());
}

/// Asks the person watching; the answer comes on the same line.
pub(super) fn question(text: &str) {
    let mut stderr = io::stderr().lock();
    _ = write!(stderr, "{text} ").and_then(|()| stderr.flush());
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
        // It may be the end of the process.
        finish();
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_asked_whether_it_is_read_counts_as_read() {
        assert!(!is_reader_gone(PollFlags::POLLNVAL));
        assert!(is_reader_gone(PollFlags::POLLHUP));
        assert!(is_reader_gone(PollFlags::POLLERR | PollFlags::POLLOUT));
    }

    #[test]
    fn foreign_text_moves_no_cursor_and_stays_readable() {
        assert_eq!(
            visible("{\"a\":\"\\n \u{e4} \u{e01}\u{e33}\"}"),
            "{\"a\":\"\\n \u{e4} \u{e01}\u{e33}\"}"
        );
        assert_eq!(visible("\u{1b}[2J\r\n\t\u{7}"), "\\u{1b}[2J\\r\\n\\t\\u{7}");
        assert_eq!(visible("\u{9b}1A\u{202e}x"), "\\u{9b}1A\\u{202e}x");
        assert_eq!(visible("a\u{2028}b\u{61c}"), "a\\u{2028}b\\u{61c}");
    }
}
