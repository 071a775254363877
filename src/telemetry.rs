//! Our own log: human on a terminal, JSON lines everywhere else.
//!
//! Standard output stays free for data: logs go to standard error or to a
//! writer that the caller brings.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How much is logged.
#[derive(Debug, Clone, Default)]
pub struct Verbosity {
    /// Log decisions too.
    pub debug: bool,
    /// A filter in tracing's syntax, which goes before `debug`.
    pub filter: Option<String>,
    /// No colors, also on a terminal.
    pub plain: bool,
}

impl Verbosity {
    fn filter(&self) -> EnvFilter {
        let default = if self.debug {
            "warn,falco=debug"
        } else {
            "warn,falco=info"
        };
        let filter = self
            .filter
            .as_deref()
            .and_then(|f| EnvFilter::try_new(f).ok());
        filter.unwrap_or_else(|| EnvFilter::new(default))
    }
}

/// Logs to standard error: for people if it is a terminal, else JSON lines.
///
/// Does nothing if logging was set up before.
pub fn init_stderr(verbosity: &Verbosity) {
    let registry = tracing_subscriber::registry().with(verbosity.filter());
    _ = if io::stderr().is_terminal() {
        let human = fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(!verbosity.plain)
            .with_target(false);
        registry.with(human).try_init()
    } else {
        registry
            .with(fmt::layer().json().with_writer(io::stderr))
            .try_init()
    };
}

/// Logs JSON lines to what `writer` makes, a whole line at a time; it must not
/// wait for a disk.
///
/// Does nothing if logging was set up before.
pub fn init_writer<W>(verbosity: &Verbosity, writer: W)
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let layer = fmt::layer().json().with_writer(writer);
    _ = tracing_subscriber::registry()
        .with(verbosity.filter())
        .with(layer)
        .try_init();
}
