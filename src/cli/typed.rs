//! Commands that a person is told to type: they mean the instance that was heard of.
//!
//! Below the command line, and where a text is made of a status alone, nobody knows
//! what that takes: there a command stands in backquotes, as `` `falco stop` ``, and
//! whoever prints the text completes it.

use super::settings::is_default_base;
use super::shell;
use crate::paths::Paths;
use crate::protocol::control::Status;
use crate::protocol::outbox::OutboxStatus;

/// How a command begins that is to be completed.
const BEGIN: &str = "`falco ";

/// `falco VERB`, for the instance of `paths`.
pub(super) fn falco(paths: &Paths, verb: &str) -> String {
    format!("falco {verb}{}", at(paths))
}

/// How a chain becomes what only a start makes it.
pub(super) fn stop_then_up(paths: &Paths) -> String {
    format!("{}, then {}", falco(paths, "stop"), falco(paths, "up"))
}

/// What is added to a verb that is to mean `paths`; nothing for the default one.
pub(super) fn at(paths: &Paths) -> String {
    if is_default_base(paths.base()) {
        return String::new();
    }
    always_at(paths)
}

/// As [`at`], for who has another default.
pub(super) fn always_at(paths: &Paths) -> String {
    format!(" --base-dir {}", shell::path(paths.base()))
}

/// `text` with the commands in it as they are to be typed for `paths`.
pub(super) fn complete(text: &str, paths: &Paths) -> String {
    let (mut whole, mut rest) = (String::new(), text);
    while let Some((before, verb, after)) = first_command(rest) {
        whole.push_str(before);
        whole.push_str(&falco(paths, verb));
        rest = after;
    }
    whole + rest
}

/// What is before the first command, its verb, and what is behind it.
fn first_command(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (verb, after) = rest.split_once('`')?;
    Some((before, verb, after))
}

/// The same of all that a chain says of itself.
pub(super) fn complete_status(status: &mut Status, paths: &Paths) {
    for part in &mut status.parts {
        complete_some(&mut part.trouble, paths);
    }
    if let Some(ingest) = &mut status.ingest {
        complete_some(&mut ingest.last_error, paths);
        if let Some(outbox) = &mut ingest.outbox {
            complete_outbox(outbox, paths);
        }
    }
}

/// The same of all that an outbox says of itself.
pub(super) fn complete_outbox(outbox: &mut OutboxStatus, paths: &Paths) {
    let OutboxStatus {
        why,
        missed,
        last_error,
        ..
    } = outbox;
    for text in [why, missed, last_error] {
        complete_some(text, paths);
    }
}

fn complete_some(text: &mut Option<String>, paths: &Paths) {
    if let Some(text) = text {
        *text = complete(text, paths);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_base_directory_that_is_not_the_default_one_has_to_be_named() {
        let home = directories::BaseDirs::new().unwrap();
        let usual = Paths::new(home.home_dir().join(".unbound"));
        assert_eq!(stop_then_up(&usual), "falco stop, then falco up");
        assert_eq!(always_at(&Paths::new("/srv/one")), " --base-dir /srv/one");
        let blank = Paths::new("/srv/the one's");
        assert_eq!(
            falco(&blank, "stop --now"),
            r"falco stop --now --base-dir '/srv/the one'\''s'"
        );
    }

    #[test]
    fn each_command_in_a_text_is_completed_and_all_else_stays_as_it_is() {
        let paths = Paths::new("/srv/one");
        let completed = |text| complete(text, &paths);
        assert_eq!(
            completed("`falco stop` and put it back, or `falco logs web` says why"),
            "falco stop --base-dir /srv/one and put it back, or falco logs web --base-dir /srv/one says why"
        );
        for text in ["", "falco stop", "`falco stop", "a `b` c", "`ulimit -f`"] {
            assert_eq!(completed(text), text);
        }
        let once = completed("`falco up`");
        assert_eq!(completed(&once), once);
    }
}
