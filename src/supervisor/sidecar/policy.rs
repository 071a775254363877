//! When a sidecar is restarted, how it is stopped, when it is there.

use std::time::Duration;

/// When and how often a sidecar that ended is started again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartPolicy {
    /// After which endings.
    pub when: RestartWhen,
    /// The first delay; each further one is twice as long.
    pub base: Duration,
    /// No delay is longer.
    pub cap: Duration,
    /// Ready for so long, and its failures are forgotten.
    pub reset_after: Duration,
    /// Exit codes that say that trying again cannot help.
    pub permanent: Vec<i32>,
    /// What happens to those that come after it.
    pub scope: Scope,
}

impl RestartPolicy {
    /// Exit codes that are permanent unless said: usage (64), configuration
    /// (78), not executable (126), not found (127).
    pub const PERMANENT: [i32; 4] = [64, 78, 126, 127];
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            when: RestartWhen::default(),
            base: Duration::from_millis(200),
            cap: Duration::from_secs(30),
            reset_after: Duration::from_secs(60),
            permanent: Self::PERMANENT.into(),
            scope: Scope::default(),
        }
    }
}

/// After which endings a sidecar is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RestartWhen {
    /// After all but permanent ones.
    #[default]
    Always,
    /// Not after it exited with 0, which then means that it has finished.
    OnFailure,
    /// After none.
    Never,
}

/// What a restart takes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scope {
    /// Nothing: those after it cope.
    #[default]
    Own,
    /// Everything that comes after it: stopped before it, started again after.
    Dependents,
}

/// How a sidecar is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopPolicy {
    /// What it is asked with.
    pub signal: StopSignal,
    /// How long it has from then to SIGKILL.
    pub grace: Duration,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self {
            signal: StopSignal::default(),
            grace: Duration::from_secs(5),
        }
    }
}

/// The signal that asks a sidecar to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopSignal {
    /// SIGTERM
    #[default]
    Term,
    /// SIGINT
    Int,
    /// SIGQUIT
    Quit,
    /// SIGHUP
    Hup,
    /// SIGUSR1
    Usr1,
    /// SIGUSR2
    Usr2,
}

/// When a sidecar is part of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Condition {
    /// Always.
    #[default]
    Always,
    /// When there are credentials for Ably.
    LoggedIn,
    /// When there are none.
    NoCredentials,
}

impl Condition {
    /// Whether it holds, given whether there are credentials.
    #[must_use]
    pub fn holds(self, logged_in: bool) -> bool {
        match self {
            Self::Always => true,
            Self::LoggedIn => logged_in,
            Self::NoCredentials => !logged_in,
        }
    }
}
