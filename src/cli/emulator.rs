//! `falco emulator`: the local Ably-compatible server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use tokio::signal::unix::{SignalKind, signal};

use super::exit::{Exit, Failure};
use super::output;
use super::runtime::block_on;
use super::settings::{Instance, Logging, private_directory};
use crate::emulator::{self, Config, Error, HistoryLimits, Limits};
use crate::process::inherited::Inherited;
use crate::shutdown::Shutdown;
use crate::telemetry;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    instance: Instance,
    /// Where its key and port are kept [default: emulator in the base directory]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The loopback address to listen on [default: the port of last time, 8099, or a free one]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    /// Messages a second one connection may publish
    #[arg(long, value_name = "COUNT", default_value_t = Limits::default().inbound_rate)]
    max_inbound_rate: u32,
    /// Bytes of one publish, as Ably counts them
    #[arg(long, value_name = "BYTES", default_value_t = Limits::default().message_bytes)]
    max_message_size: usize,
    /// Publishes kept of one channel, at least 1000
    #[arg(long, value_name = "COUNT", value_parser = at_least(HistoryLimits::MIN.per_channel), default_value_t = HistoryLimits::default().per_channel)]
    history_per_channel: usize,
    /// Bytes kept of all channels, at least 1 MiB
    #[arg(long, value_name = "BYTES", value_parser = at_least(HistoryLimits::MIN.bytes), default_value_t = HistoryLimits::default().bytes)]
    history_bytes: usize,
    /// Seconds a message is kept, at least 1
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(HistoryLimits::MIN.age.as_secs()..), default_value_t = HistoryLimits::default().age.as_secs())]
    history_age: u64,
    #[command(flatten)]
    logging: Logging,
}

/// A count that must not be below `least`.
fn at_least(least: usize) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(least as u64..)
}

impl Args {
    fn config(&self) -> Result<Config, Failure> {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => self.instance.create()?.emulator(),
        };
        private_directory(&dir)?;
        let history = HistoryLimits {
            per_channel: self.history_per_channel,
            bytes: self.history_bytes,
            age: Duration::from_secs(self.history_age),
        };
        let limits = Limits {
            inbound_rate: self.max_inbound_rate.max(1),
            message_bytes: self.max_message_size,
            history,
            ..Limits::default()
        };
        Ok(Config {
            dir,
            listen: self.listen,
            limits,
        })
    }
}

pub(super) fn run(args: Args, inherited: Inherited) -> Result<(), Failure> {
    let _logging = telemetry::init_stderr(&args.logging.verbosity());
    let config = args.config()?;
    block_on(serve(config, inherited))
}

async fn serve(config: Config, inherited: Inherited) -> Result<(), Failure> {
    let Inherited {
        ready,
        lifeline,
        listener,
        ..
    } = inherited;
    let shutdown = Shutdown::new();
    stop_on_signals(&shutdown)?;
    if let Some(lifeline) = lifeline {
        let stop = shutdown.clone();
        shutdown.spawn(async move {
            tokio::select! {
                () = lifeline.lost() => stop.begin(),
                () = stop.begun() => {}
            }
        });
    }
    let key_file = config.dir.join("key");
    let on_ready = |address: SocketAddr| match ready {
        Some(ready) => ready.send(&format!(r#"{{"ready":true,"address":"{address}"}}"#)),
        None => output::message(&format!(
            "The emulator listens on {address}; its API key is in {}.",
            key_file.display()
        )),
    };
    let panicked = shutdown.clone();
    let ran = tokio::select! {
        ran = emulator::run(config, listener, shutdown, on_ready) => ran,
        // Whoever started us starts us again, whole.
        () = panicked.panicked() => return Err(Failure::new(
            Exit::Failed,
            "a part of the emulator has broken; see its log",
        )),
    };
    ran.map_err(|error| {
        let exit = match &error {
            Error::Key(_) => Exit::CannotCreate,
            Error::Bind(_) => Exit::Unavailable,
        };
        Failure::of(exit, &error)
    })
}

/// Begins the shutdown at SIGTERM or SIGINT.
fn stop_on_signals(shutdown: &Shutdown) -> Result<(), Failure> {
    let listen =
        |kind| signal(kind).map_err(|e| Failure::to(Exit::Internal, "listen for signals", &e));
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    let stop = shutdown.clone();
    shutdown.spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = stop.begun() => {}
        }
        stop.begin();
    });
    Ok(())
}
