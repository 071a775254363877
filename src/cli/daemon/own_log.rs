//! The supervisor's own log: what goes into it, and how large it may get. Both
//! follow the configuration while it runs.

use super::config::Config;
use crate::process::capture::Logs;
use crate::telemetry::{self, Dial, Verbosity};

/// What decides about it besides the configuration.
#[derive(Clone)]
pub(super) struct OwnLog {
    logs: Logs,
    given: Verbosity,
    dial: Dial,
}

impl OwnLog {
    /// Begins to log, as `config` says.
    pub(super) fn begin(logs: &Logs, config: &Config, given: Verbosity) -> Self {
        let own = logs.own(config.log);
        let verbosity = of(config, &given);
        let dial = telemetry::init_writer(&verbosity, move || own.clone());
        Self {
            logs: logs.clone(),
            given,
            dial,
        }
    }

    /// Goes on as another configuration says.
    pub(super) fn follow(&self, config: &Config) {
        _ = self.logs.own(config.log);
        self.dial.turn(&of(config, &self.given));
    }
}

fn of(config: &Config, given: &Verbosity) -> Verbosity {
    Verbosity {
        filter: config.log_filter.clone(),
        ..given.clone()
    }
}
