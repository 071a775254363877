//! Our own log: human on a terminal, JSON lines everywhere else.
//!
//! Standard output stays free for data: logs go to standard error or to a
//! writer that the caller brings.

use std::io::{self, IsTerminal, Write as _};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

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

/// Lines that wait while nobody reads standard error; more are dropped, and
/// counted.
const WAITING_LINES_MAX: usize = 16 * 1024;

/// Writes what is logged for as long as it is held; dropped, it writes what
/// waits, and how many lines were dropped.
#[derive(Debug)]
#[must_use = "without it nothing is written"]
pub struct Logging {
    worker: Option<WorkerGuard>,
    dropped: ErrorCounter,
}

impl Drop for Logging {
    fn drop(&mut self) {
        drop(self.worker.take());
        let lines = self.dropped.dropped_lines();
        if lines > 0 {
            _ = writeln!(io::stderr(), "dropped {lines} log lines that nobody read");
        }
    }
}

/// Logs to standard error: for people if it is a terminal, else JSON lines.
/// A thread writes them, so that a terminal or a supervisor that stands still
/// holds up nothing but the log.
///
/// Does nothing if logging was set up before.
pub fn init_stderr(verbosity: &Verbosity) -> Logging {
    let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES_MAX);
    let (writer, worker) = builder.thread_name("log").finish(io::stderr());
    let dropped = writer.error_counter();
    let registry = tracing_subscriber::registry().with(verbosity.filter());
    _ = if io::stderr().is_terminal() {
        let human = fmt::layer()
            .with_writer(writer)
            .with_ansi(!verbosity.plain)
            .with_target(false);
        registry.with(human).try_init()
    } else {
        registry
            .with(fmt::layer().json().with_writer(writer))
            .try_init()
    };
    Logging {
        worker: Some(worker),
        dropped,
    }
}

/// Changes how much is logged, while it is.
#[derive(Debug, Clone)]
pub struct Dial {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Dial {
    /// From here on `verbosity` says what is logged.
    pub fn turn(&self, verbosity: &Verbosity) {
        // Gone only if logging was never set up.
        _ = self.filter.reload(verbosity.filter());
    }
}

/// Logs JSON lines to what `writer` makes, a whole line at a time; it must not
/// wait for a disk.
///
/// Does nothing if logging was set up before.
pub fn init_writer<W>(verbosity: &Verbosity, writer: W) -> Dial
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(verbosity.filter());
    let layer = fmt::layer().json().with_writer(writer);
    _ = tracing_subscriber::registry()
        .with(filter)
        .with(layer)
        .try_init();
    Dial { filter: handle }
}
