//! One thing that was looked at, and how it is.

use std::fmt;

use serde::Serialize;

use crate::cli::exit::Failure;
use crate::cli::typed;
use crate::counted::counted;
use crate::paths::Paths;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// It does not work.
    Fail,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    /// What was looked at.
    pub(super) name: &'static str,
    pub(super) text: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl Finding {
    pub(super) fn ok(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(Level::Ok, name, text)
    }

    pub(super) fn warn(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(Level::Warn, name, text)
    }

    pub(super) fn fail(name: &'static str, text: impl Into<String>) -> Self {
        Self::new(Level::Fail, name, text)
    }

    /// What a verb would fail with; `otherwise` is what to do where it does not say.
    pub(super) fn of(name: &'static str, failure: &Failure, otherwise: &str) -> Self {
        Self::fail(name, failure.to_string()).fix(failure.advice().unwrap_or(otherwise))
    }

    fn new(level: Level, name: &'static str, text: impl Into<String>) -> Self {
        let (text, fix) = (text.into(), None);
        Self {
            level,
            name,
            text,
            fix,
        }
    }

    /// The same, with the commands in it as they are to be typed for `paths`.
    pub(super) fn at(self, paths: &Paths) -> Self {
        Self {
            text: typed::complete(&self.text, paths),
            fix: self.fix.map(|fix| typed::complete(&fix, paths)),
            ..self
        }
    }

    pub(super) fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        write!(f, "{level:<5} {:<12} {}", self.name, self.text)?;
        match &self.fix {
            Some(fix) => write!(f, "   fix: {fix}"),
            None => Ok(()),
        }
    }
}

/// `1 failure, 2 warnings`.
pub(super) fn sum(findings: &[Finding]) -> String {
    let count = |level| findings.iter().filter(|f| f.level == level).count();
    match (count(Level::Fail), count(Level::Warn)) {
        (0, 0) => "nothing is wrong".to_owned(),
        (fails, warns) => {
            let (fails, warns) = (counted(fails, "failure"), counted(warns, "warning"));
            format!("{fails}, {warns}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_with_what_to_do() {
        let finding = Finding::warn("linger", "off").fix("loginctl enable-linger");
        assert_eq!(
            finding.to_string(),
            "warn  linger       off   fix: loginctl enable-linger"
        );
        assert_eq!(sum(&[finding]), "0 failures, 1 warning");
        assert_eq!(sum(&[Finding::ok("lock", "free")]), "nothing is wrong");
    }
}
