//! `falco --device-id X`: Falco alone, as the old program of that name.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tracing::info;

use super::exit::{Exit, Failure};
use super::runtime;
use super::settings::{Instance, Logging};
use super::signals::Signals;
use crate::counted::counted;
use crate::delivery;
use crate::ingest;
use crate::net::unix::{BindError, Listener};
use crate::process::inherited::Inherited;
use crate::shutdown::{Drained, Shutdown};
use crate::telemetry;

/// How long a stop may take beyond the grace for answers on their way.
const LAST_ACKS: Duration = Duration::from_millis(1500);

/// Falco alone: takes side effects on falco.sock, publishes them through ably.sock.
#[derive(Debug, Parser)]
#[command(name = "falco", version)]
pub(super) struct Args {
    /// The device whose side effects these are
    #[arg(long, value_name = "ID")]
    device_id: String,
    /// The socket daemons connect to [default: falco.sock in the base directory]
    #[arg(long, env = "FALCO_SOCKET", value_name = "PATH", hide = true)]
    socket: Option<OsString>,
    /// The transport's socket [default: ably.sock in the base directory]
    #[arg(long, env = "UNBOUND_ABLY_SOCKET", value_name = "PATH", hide = true)]
    ably_socket: Option<OsString>,
    /// How long one attempt to publish may take, in whole seconds
    #[arg(
        long,
        env = "FALCO_PUBLISH_TIMEOUT",
        value_name = "SECONDS",
        hide = true
    )]
    publish_timeout: Option<String>,
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    logging: Logging,
}

pub(super) fn run(args: Args, inherited: Inherited) -> Result<(), Failure> {
    let _logging = telemetry::init_stderr(&args.logging.verbosity());
    runtime::block_on(serve(args, inherited))
}

async fn serve(args: Args, inherited: Inherited) -> Result<(), Failure> {
    let (socket, config) = configure(&args)?;
    let listener = Listener::bind(&socket).map_err(|error| cannot_bind(&error))?;
    let grace = config.shutdown_grace;
    let shutdown = Shutdown::new();
    let signals = Signals::new()?;
    let _falco = ingest::start(&config, listener, &shutdown);
    if let Some(ready) = inherited.ready {
        ready.send(r#"{"ready":true}"#);
    }
    tokio::select! {
        why = signals.stop(inherited.lifeline) => info!(why, "Falco was asked to stop."),
        () = shutdown.panicked() => {
            return Err(Failure::new(Exit::Internal, "a task of Falco panicked"));
        }
    }
    match shutdown.drain(grace + LAST_ACKS).await {
        Drained::InTime => Ok(()),
        Drained::TimedOut { left } => Err(Failure::new(
            Exit::Failed,
            format!(
                "stopped with {} still running; their daemons will send again",
                counted(left, "task")
            ),
        )),
    }
}

/// Where to listen, and what Falco has to know.
fn configure(args: &Args) -> Result<(PathBuf, ingest::Config), Failure> {
    let path = |given: &Option<OsString>| {
        let given = given.clone().filter(|path| !path.is_empty());
        given.map(PathBuf::from)
    };
    let socket = match path(&args.socket) {
        Some(socket) => socket,
        None => args.instance.create()?.falco_socket(),
    };
    let transport = match path(&args.ably_socket) {
        Some(transport) => transport,
        None => args.instance.paths()?.ably_socket(),
    };
    let mut config = ingest::Config::new(&device_id(&args.device_id)?, transport);
    let timeout = publish_timeout(args.publish_timeout.as_deref())?;
    config.delivery = delivery::Config::with_attempt_timeout(timeout);
    Ok((socket, config))
}

/// The device's id in lower case, as channels and capabilities have it.
fn device_id(given: &str) -> Result<String, Failure> {
    let id = given.trim().to_lowercase();
    if id.is_empty() {
        return Err(Failure::new(Exit::Usage, "--device-id is empty"));
    }
    Ok(id)
}

/// `FALCO_PUBLISH_TIMEOUT`: whole seconds, empty is absent.
fn publish_timeout(given: Option<&str>) -> Result<Duration, Failure> {
    let Some(text) = given.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(delivery::Config::default().attempt_timeout);
    };
    if let Ok(seconds @ 1..=600) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    let error = format!("FALCO_PUBLISH_TIMEOUT is {text:?}");
    Err(Failure::new(Exit::Usage, error).hint("give whole seconds, from 1 to 600"))
}

fn cannot_bind(error: &BindError) -> Failure {
    let failure = Failure::of(Exit::CannotCreate, error);
    match error {
        BindError::InUse { .. } => {
            failure.hint("another falco runs here; stop it, or set FALCO_SOCKET")
        }
        _ => failure,
    }
}
