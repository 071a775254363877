//! How a verb ends: an exit code, and for a failure one line of error and one
//! of advice.

mod cause;

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use super::{output, typed};
use crate::paths::Paths;
use crate::protocol::control::{Refusal, StartFailure, Why};

/// Every exit code there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// Done; everything asked about is ready.
    Ok = 0,
    /// The operation failed, or a part of the chain is not as it should be.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Nothing runs, or there is no outbox to look at.
    NotRunning = 3,
    /// It could not be found out.
    Unknown = 4,
    /// A part of the chain never became ready.
    Unavailable = 69,
    /// A bug of ours.
    Internal = 70,
    /// A lock, socket or directory could not be made.
    CannotCreate = 73,
    /// A disk cannot be read or written.
    Disk = 74,
    /// Out of time, or of what the system gives; trying again may help.
    TimedOut = 75,
    /// Not allowed.
    Permission = 77,
    /// The configuration is wrong.
    Config = 78,
    /// Interrupted by SIGINT.
    Interrupted = 130,
}

/// Every exit code and what it means, for the manual.
pub(super) const MEANINGS: &[(Exit, &str)] = &[
    (Exit::Ok, "done; for status: all ready"),
    (
        Exit::Failed,
        "failed, or a part of the chain is not as it should be",
    ),
    (Exit::Usage, "the command line is wrong"),
    (
        Exit::NotRunning,
        "nothing runs, or there is no outbox to look at",
    ),
    (Exit::Unknown, "it could not be found out"),
    (Exit::Unavailable, "a part never became ready"),
    (Exit::Internal, "a bug of ours"),
    (
        Exit::CannotCreate,
        "a directory, lock or socket could not be made",
    ),
    (Exit::Disk, "a disk cannot be read or written"),
    (
        Exit::TimedOut,
        "out of time, or of open files, memory or processes; try again",
    ),
    (Exit::Permission, "not allowed"),
    (Exit::Config, "the configuration is wrong"),
    (Exit::Interrupted, "interrupted"),
];

impl Exit {
    /// Whether trying the same again cannot help.
    pub(super) fn is_hopeless(self) -> bool {
        matches!(self, Self::Usage | Self::Permission | Self::Config)
    }

    /// What a failed call means: that it is not allowed, or else.
    pub(super) fn of_call(error: &io::Error, or_else: Self) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::Permission,
            _ => or_else,
        }
    }

    /// The exit with this code; a code of another version is a plain failure.
    fn from_code(code: u8) -> Self {
        use Exit::{
            CannotCreate, Config, Disk, Internal, Permission, TimedOut, Unavailable, Usage,
        };
        let all = [
            Usage,
            Unavailable,
            Internal,
            CannotCreate,
            Disk,
            TimedOut,
            Permission,
            Config,
        ];
        all.into_iter()
            .find(|e| *e as u8 == code)
            .unwrap_or(Self::Failed)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb did not succeed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    exit: Exit,
    error: Option<String>,
    hint: Option<String>,
}

impl Failure {
    pub(super) fn new(exit: Exit, error: impl Display) -> Self {
        Self {
            exit,
            error: Some(error.to_string()),
            hint: None,
        }
    }

    /// The code it ends with.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// The same, ending with another code.
    pub(super) fn with_exit(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// The same, told as the programs before ours did: 1, or 2 for the command line.
    pub(super) fn of_a_predecessor(self) -> Self {
        match self.exit {
            Exit::Usage => self,
            _ => self.with_exit(Exit::Failed),
        }
    }

    /// What to do about it.
    pub(super) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same, saying this too.
    pub(super) fn adding(self, more: &str) -> Self {
        Self {
            error: self.error.map(|error| format!("{error}; {more}")),
            ..self
        }
    }

    /// The same, saying first how far it was.
    pub(super) fn after(self, how_far: &str) -> Self {
        Self {
            error: self.error.map(|error| format!("{how_far}: {error}")),
            ..self
        }
    }

    /// What can be done about it, if that is known.
    pub(super) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// What to say of it where there is one line for all.
    pub(super) fn in_one(&self) -> String {
        match &self.hint {
            Some(hint) => format!("{self}; {hint}"),
            None => self.to_string(),
        }
    }

    /// Prints it as something that does not end the verb; says what comes instead.
    pub(super) fn note(&self, instead: &str) {
        output::message(&format!("note: {}; {instead}", one_line(&self.to_string())));
        if let Some(hint) = &self.hint {
            output::message(&format!("hint: {}", one_line(hint)));
        }
    }

    /// The same, with the commands in it as they are to be typed for `paths`.
    pub(super) fn at(self, paths: &Paths) -> Self {
        let complete = |text: String| typed::complete(&text, paths);
        Self {
            error: self.error.map(complete),
            hint: self.hint.map(complete),
            ..self
        }
    }

    /// An exit code whose reason the reader has already seen.
    pub(super) fn already_printed(exit: Exit) -> Self {
        Self {
            exit,
            error: None,
            hint: None,
        }
    }

    /// Failure to write to standard output. A reader that has gone away (`| head`)
    /// has all it wanted.
    pub(super) fn output(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::already_printed(Exit::Ok)
        } else {
            Self::new(Exit::Failed, format!("failed to write output: {error}"))
        }
    }

    /// The failure that a supervisor told its launcher.
    pub(super) fn from_start(start: StartFailure) -> Self {
        Self {
            exit: Exit::from_code(start.exit),
            error: Some(start.error),
            hint: start.hint,
        }
    }

    /// The failure that a supervisor's refusal is.
    pub(super) fn from_refusal(refusal: Refusal) -> Self {
        let exit = match refusal.why {
            Why::Unknown => Exit::Usage,
            Why::Config => Exit::Config,
            Why::Permission => Exit::Permission,
            Why::Late => Exit::Unknown,
            Why::Absent => Exit::NotRunning,
            Why::Impossible => Exit::Failed,
        };
        Self {
            exit,
            error: Some(refusal.error),
            hint: refusal.hint,
        }
    }

    /// The failure as a supervisor refuses a request with it.
    pub(super) fn to_refusal(&self) -> Refusal {
        let why = match self.exit {
            Exit::Usage => Why::Unknown,
            Exit::Config => Why::Config,
            Exit::Permission => Why::Permission,
            _ => Why::Impossible,
        };
        Refusal {
            error: self.error.clone().unwrap_or_default(),
            why,
            hint: self.hint.clone(),
        }
    }

    /// The failure as a supervisor tells it to its launcher.
    pub(super) fn to_start(&self) -> StartFailure {
        StartFailure {
            exit: self.exit as u8,
            error: self.error.clone().unwrap_or_default(),
            hint: self.hint.clone(),
            part: None,
        }
    }

    /// Prints the failure and yields its code.
    pub(super) fn report(self) -> ExitCode {
        if let Some(error) = self.error {
            output::message(&format!("error: {}", one_line(&error)));
        }
        if let Some(hint) = self.hint {
            output::message(&format!("hint: {}", one_line(&hint)));
        }
        self.exit.into()
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.error.as_deref().unwrap_or_default())
    }
}

fn one_line(text: &str) -> String {
    text.trim_end().replace('\n', " ")
}
