//! `falco.toml`: the configuration file in the base directory, and what it
//! means together with flags and the environment.
//!
//! Owns the file's form: which keys there are, how they are written, what they
//! may be. A value comes from the first of flag, environment, file and default
//! that has it. [`Config`] is the result, a plain value: parsed once, at the
//! edge, and right.
//!
//! Promises to tell every mistake at once, each with file, line, column and
//! key. A key it does not know is a mistake, and so is a secret: the file may
//! be shown to anybody. A file that others can write is not read, since it
//! names programs to run.
//!
//! Never creates or changes the file, never prints a secret.

mod chain;
mod checks;
mod emulator;
mod file;
#[cfg(fuzzing)]
pub mod fuzz;
mod kind;
mod mistake;
mod origin;
mod outbox;
mod outside;
mod reader;
mod secrets;
mod sidecar;
mod transport;
mod tree;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::credentials::Variables;
use super::exit::{Exit, Failure};
use super::typed;
use crate::logfile::Limits;
use crate::paths::Paths;
use crate::supervisor::sidecar::{SidecarName, SidecarSpec};

pub(super) use chain::{Credentials, UP_TIMEOUT, Upstream, Watched};
pub(super) use emulator::Emulator;
pub(super) use mistake::Mistake;
pub(super) use origin::{Origin, Row};
pub(super) use outbox::{Delivery, OnJournalFailure, OnRejected, Outbox, Route, Sync};
pub(super) use outside::Outside;
pub(super) use reader::Given;
pub(super) use sidecar::BROKER;
use sidecar::BUILT_IN;
pub(super) use transport::Transport;

use file::Text;
use outside::Stands;
use reader::Reader;
use tree::Table;

/// What the whole chain is set up by.
#[derive(Debug, Clone)]
pub(super) struct Config {
    /// The device; made once and kept unless given.
    pub(super) device_id: Option<String>,
    /// The user it belongs to; made once and kept unless given.
    pub(super) user_id: Option<String>,
    /// Whether the chain ends at Ably or at the emulator.
    pub(super) upstream: Upstream,
    /// Whether programs of others get a guard, which ends them with us.
    pub(super) guard: bool,
    /// What is logged, in tracing's syntax.
    pub(super) log_filter: Option<String>,
    /// How large each log may get.
    pub(super) log: Limits,
    /// How long `up` waits for the chain to be ready.
    pub(super) up_timeout: Duration,
    /// How the emulator and the transport are watched.
    pub(super) liveness: Watched,
    /// The transport.
    pub(super) transport: Transport,
    /// The emulator.
    pub(super) emulator: Emulator,
    /// How long Falco gives one attempt to publish.
    pub(super) publish_timeout: Duration,
    /// Whether effects are kept on disk.
    pub(super) delivery: Delivery,
    /// What an effect that is refused for good costs its session.
    pub(super) on_rejected: OnRejected,
    /// Events whose payloads carry what identifies them.
    pub(super) identified_events: Vec<String>,
    /// How they are kept there.
    pub(super) outbox: Outbox,
    /// Further transports.
    pub(super) routes: Vec<Route>,
    /// Where metrics are served.
    pub(super) metrics: Option<std::net::SocketAddr>,
    /// Where credentials are; never what they are.
    pub(super) credentials: Credentials,
    /// Programs beside the built-in parts, in starting order.
    pub(super) sidecars: Vec<SidecarSpec>,
}

/// A configuration, and how it came about.
#[derive(Debug)]
pub(super) struct Loaded {
    /// What it is; `None` if there are mistakes.
    pub(super) config: Config,
    /// Every effective value and who decided it.
    pub(super) rows: Vec<Row>,
    /// What is wrong.
    pub(super) mistakes: Vec<Mistake>,
    /// What should be looked at.
    pub(super) warnings: Vec<Mistake>,
    /// The file, if there is one.
    pub(super) file: Option<PathBuf>,
    /// Where each sidecar names what is outside of the file.
    stands: BTreeMap<SidecarName, Stands>,
    /// Of which instance it is.
    paths: Paths,
}

impl Loaded {
    /// The configuration, if it is right.
    ///
    /// # Errors
    ///
    /// When there are mistakes: the first one, and how to see the others.
    pub(super) fn right(self) -> Result<Config, Failure> {
        let Some(first) = self.mistakes.first() else {
            return Ok(self.config);
        };
        let failure = Failure::new(Exit::Config, first);
        let check = typed::falco(&self.paths, "config check");
        Err(match self.mistakes.len() {
            1 => failure.hint(format!("mend it; {check} looks at it again")),
            n => failure.hint(format!("{} more: {check} tells all", n - 1)),
        })
    }
}

/// Reads the configuration of the instance at `paths`.
///
/// # Errors
///
/// When the file cannot be read or trusted. Mistakes in it are in the result.
pub(super) fn load(paths: &Paths, given: &Given) -> Result<Loaded, Failure> {
    let text = Text::read(&paths.config_file())?;
    Ok(parse(&text, given, paths.base()))
}

fn parse(text: &Text, given: &Given, base: &Path) -> Loaded {
    let (table, error) = match tree::parse(&text.content) {
        Ok(table) => (table, None),
        // Half a file would only be wrong in ways that nobody wrote.
        Err(error) => (Table::default(), Some(error)),
    };
    let mut reader = Reader::new(text, given, base);
    if let Some((span, error)) = error {
        reader.mistake(span, "", error);
    }
    secrets::look_for_keys(&mut reader, &table);
    let config = read(&mut reader, &table);
    let Reader {
        rows,
        mut mistakes,
        warnings,
        stands,
        ..
    } = reader;
    mistakes.sort_by_key(Mistake::order);
    let paths = Paths::new(base);
    for mistake in &mut mistakes {
        mistake.text = typed::complete(&mistake.text, &paths);
    }
    Loaded {
        config,
        rows,
        mistakes,
        warnings,
        file: text.exists.then(|| text.path.clone()),
        stands,
        paths,
    }
}

fn read<'a>(reader: &mut Reader<'a>, table: &'a Table) -> Config {
    let mut top = reader.top(table);
    let (device_id, user_id) = chain::identity(&mut top);
    let upstream = chain::upstream(&mut top);
    let guard = chain::guard(&mut top);
    let (log_filter, log) = chain::log(&mut top);
    let up_timeout = chain::up(&mut top);
    let liveness = chain::liveness(&mut top);
    let transport = transport::transport(&mut top);
    let emulator = emulator::emulator(&mut top);
    let publish_timeout = chain::falco(&mut top);
    let (mode, outbox) = outbox::delivery(&mut top);
    let routes = outbox::routes(&mut top);
    let metrics = outbox::metrics(&mut top);
    let credentials = chain::credentials(&mut top);
    let sidecars = sidecar::sidecars(&mut top);
    top.finish();
    Config {
        device_id,
        user_id,
        upstream,
        guard,
        log_filter,
        log,
        up_timeout,
        liveness,
        transport,
        emulator,
        publish_timeout,
        delivery: mode.delivery,
        on_rejected: mode.on_rejected,
        identified_events: mode.identified_events,
        outbox,
        routes,
        metrics,
        credentials,
        sidecars,
    }
}

/// What the parts of the instance at `paths` are called. A file that cannot be
/// read or trusted names none besides the built-in ones.
pub(super) fn part_names(paths: &Paths) -> Vec<String> {
    let config = load(paths, &Given::new(variables())).map(|loaded| loaded.config);
    let sidecars = config.map(|config| config.sidecars).unwrap_or_default();
    let sidecars = sidecars.iter().map(|sidecar| sidecar.name.as_str());
    let all = BUILT_IN.into_iter().chain(sidecars);
    all.map(str::to_owned).collect()
}

/// The environment, as it is.
pub(super) fn variables() -> Variables {
    std::env::vars_os().collect()
}

#[cfg(test)]
mod tests;
