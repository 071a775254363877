//! Commands that a person is told to type: they mean the instance that was heard of.

use super::settings::is_default_base;
use super::shell;
use crate::paths::Paths;

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
}
