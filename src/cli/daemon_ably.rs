//! `daemon-ably`: the transport alone, as the old program of that name.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::exit::{Exit, Failure};
use super::runtime;
use super::settings::{Instance, Logging};
use super::signals::Signals;
use crate::ably::hosts::Hosts;
use crate::net::http::{self, Url};
use crate::net::tls::Tls;
use crate::net::unix::{BindError, Listener};
use crate::process::inherited::{Inherited, ReadySender, Secrets};
use crate::protocol::ably::auth::AccessToken;
use crate::protocol::ably::codec::Format;
use crate::protocol::ipc::{LINE_BYTES_MAX, UpstreamStatus};
use crate::protocol::life::Told;
use crate::protocol::token::{BrokerToken, BrokerTokens, TransportSecrets};
use crate::shutdown::Shutdown;
use crate::telemetry;
use crate::transport::heartbeat::{Form, Heartbeat, HeartbeatEndpoint, first_seq, interval_within};
use crate::transport::token::TokenClient;
use crate::transport::{self, Config};

/// Changes of the connections to Ably that may wait to be told.
const CHANGES_MAX: usize = 16;

/// The transport: takes requests on ably.sock, keeps the connections to Ably.
#[derive(Debug, Parser)]
#[command(name = "daemon-ably", version)]
pub(super) struct Args {
    /// The device this runs on
    #[arg(long, value_name = "ID")]
    device_id: String,
    /// The user it belongs to
    #[arg(long, value_name = "ID")]
    user_id: String,
    #[command(flatten)]
    env: Environment,
    #[command(flatten)]
    instance: Instance,
    #[command(flatten)]
    logging: Logging,
}

/// What the contract passes in the environment. An empty value is an absent
/// one.
#[derive(Debug, clap::Args)]
struct Environment {
    #[arg(long, env = "UNBOUND_ABLY_SOCKET", value_name = "PATH", hide = true)]
    ably_socket: Option<OsString>,
    #[arg(
        long,
        env = "UNBOUND_ABLY_BROKER_SOCKET",
        value_name = "PATH",
        hide = true
    )]
    broker_socket: Option<OsString>,
    #[arg(long, env = "DAEMON_ABLY_ENDPOINT", hide = true)]
    endpoint: Option<String>,
    #[arg(long, env = "DAEMON_ABLY_FORMAT", hide = true)]
    format: Option<String>,
    #[arg(long, env = "DAEMON_ABLY_MAX_FRAME_BYTES", hide = true)]
    max_frame_bytes: Option<String>,
    #[arg(long, env = "DAEMON_ABLY_HEARTBEAT_INTERVAL", hide = true)]
    heartbeat_interval: Option<String>,
    #[arg(long, env = "DAEMON_ABLY_PUBLISH_TIMEOUT", hide = true)]
    publish_timeout: Option<String>,
    #[arg(long, env = "DAEMON_ABLY_SHUTDOWN_TIMEOUT", hide = true)]
    shutdown_timeout: Option<String>,
    #[arg(long, env = "UNBOUND_PRESENCE_DO_HEARTBEAT_URL", hide = true)]
    presence_url: Option<String>,
    #[arg(long, env = "UNBOUND_PRESENCE_DO_TTL_MS", hide = true)]
    presence_ttl_ms: Option<String>,
}

pub(super) fn run(args: Args, inherited: Inherited) -> Result<(), Failure> {
    let _logging = telemetry::init_stderr(&args.logging.verbosity());
    runtime::block_on(serve(args, inherited))
}

/// Says that we are ready, and from then on how the connections to Ably are.
fn tell_changes(ready: ReadySender, shutdown: &Shutdown) -> Option<mpsc::Sender<UpstreamStatus>> {
    let teller = ready.send_and_keep(r#"{"ready":true}"#)?;
    let (changes, mut changed) = mpsc::channel(CHANGES_MAX);
    shutdown.spawn(async move {
        while let Some(upstream) = changed.recv().await {
            let upstream = Some(upstream);
            if let Ok(line) = serde_json::to_string(&Told { upstream }) {
                teller.say(&line);
            }
        }
    });
    Some(changes)
}

async fn serve(args: Args, inherited: Inherited) -> Result<(), Failure> {
    let socket = match path(args.env.ably_socket.as_ref()) {
        Some(socket) => socket,
        None => args.instance.create()?.ably_socket(),
    };
    let mut config = configure(&args, inherited.secrets)?;
    let signals = Signals::new()?;
    let listener = Listener::bind(&socket).map_err(|error| cannot_bind(&error))?;
    let shutdown = Shutdown::new();
    if let Some(ready) = inherited.ready {
        config.changes = tell_changes(ready, &shutdown);
    }
    let stopping = shutdown.clone();
    shutdown.spawn(async move {
        let why = signals.stop(inherited.lifeline).await;
        info!(why, "The transport was asked to stop.");
        stopping.begin();
    });
    let panicked = shutdown.clone();
    tokio::select! {
        () = transport::run(config, listener, shutdown) => Ok(()),
        // Whoever started us starts us again, whole.
        () = panicked.panicked() => Err(Failure::new(
            Exit::Failed,
            "a part of the transport has broken; see its log",
        )),
    }
}

fn configure(args: &Args, secrets: Option<Secrets>) -> Result<Config, Failure> {
    for (name, value) in [
        ("--device-id", &args.device_id),
        ("--user-id", &args.user_id),
    ] {
        if value.trim().is_empty() {
            return Err(Failure::new(Exit::Usage, format!("{name} is empty")));
        }
    }
    let TransportSecrets {
        broker_tokens,
        presence_token,
    } = told(secrets)?;
    let env = &args.env;
    let endpoint = given(env.endpoint.as_ref()).unwrap_or("main");
    let hosts = Hosts::parse(endpoint).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let broker_socket = match path(env.broker_socket.as_ref()) {
        Some(socket) => socket,
        None => args.instance.paths()?.broker_socket(),
    };
    Ok(Config {
        changes: None,
        hosts,
        format: format(given(env.format.as_ref()))?,
        tokens: TokenClient {
            socket: broker_socket,
            device_id: args.device_id.trim().to_lowercase(),
            broker_tokens,
        },
        line_max: line_max(env)?,
        publish_timeout: seconds(
            "DAEMON_ABLY_PUBLISH_TIMEOUT",
            env.publish_timeout.as_ref(),
            5,
        )?,
        shutdown_timeout: seconds(
            "DAEMON_ABLY_SHUTDOWN_TIMEOUT",
            env.shutdown_timeout.as_ref(),
            2,
        )?,
        heartbeat: heartbeat(args)?,
        heartbeat_endpoint: heartbeat_endpoint(env, presence_token)?,
    })
}

fn line_max(env: &Environment) -> Result<usize, Failure> {
    let name = "DAEMON_ABLY_MAX_FRAME_BYTES";
    match number(name, env.max_frame_bytes.as_ref(), LINE_BYTES_MAX)? {
        bytes @ 1024..=0x0400_0000 => Ok(bytes),
        bytes => Err(Failure::new(Exit::Usage, format!("{name} is {bytes}"))
            .hint("give bytes, from 1024 to 67108864")),
    }
}

/// A secret of the environment. There is no flag for one: anybody on this
/// machine can read arguments.
fn secret(name: &str) -> Option<String> {
    let text = std::env::var(name).ok()?;
    given(Some(&text)).map(str::to_owned)
}

/// What is secret, from the supervisor's pipe, else from the environment.
fn told(secrets: Option<Secrets>) -> Result<TransportSecrets, Failure> {
    if let Some(secrets) = secrets {
        return serde_json::from_str(secrets.expose())
            .map_err(|_| Failure::new(Exit::Config, "the inherited secrets are no broker tokens"));
    }
    Ok(TransportSecrets {
        broker_tokens: broker_tokens()?,
        presence_token: secret("UNBOUND_PRESENCE_DO_TOKEN").map(AccessToken::new),
    })
}

fn broker_tokens() -> Result<BrokerTokens, Failure> {
    let token = |name: &str| {
        let text = secret(name).ok_or_else(|| {
            Failure::new(Exit::Usage, format!("{name} is not set"))
                .hint("the daemon that starts this program sets it; try `falco up` instead")
        })?;
        Ok(BrokerToken::new(text))
    };
    Ok(BrokerTokens {
        daemon_falco: token("UNBOUND_ABLY_BROKER_TOKEN_FALCO")?,
        daemon_nagato: token("UNBOUND_ABLY_BROKER_TOKEN_NAGATO")?,
    })
}

fn heartbeat(args: &Args) -> Result<Heartbeat, Failure> {
    let env = &args.env;
    let asked = seconds(
        "DAEMON_ABLY_HEARTBEAT_INTERVAL",
        env.heartbeat_interval.as_ref(),
        20,
    )?;
    let ttl_ms = number(
        "UNBOUND_PRESENCE_DO_TTL_MS",
        env.presence_ttl_ms.as_ref(),
        12_000,
    )?;
    if ttl_ms < 1000 {
        return Err(Failure::new(
            Exit::Usage,
            format!("UNBOUND_PRESENCE_DO_TTL_MS is {ttl_ms}"),
        )
        .hint("give whole milliseconds, at least 1000"));
    }
    let ttl = Duration::from_millis(ttl_ms);
    let interval = interval_within(asked, ttl);
    if interval != asked && given(env.heartbeat_interval.as_ref()).is_some() {
        warn!(
            asked_ms = u64::try_from(asked.as_millis()).unwrap_or(u64::MAX),
            interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX),
            ttl_ms,
            "The heartbeat interval must stay under half of the TTL; using a shorter one."
        );
    }
    let form = if given(env.presence_url.as_ref()).is_some() {
        Form::Http {
            next_seq: first_seq(),
        }
    } else {
        Form::Message
    };
    let now = tokio::time::Instant::now();
    Ok(Heartbeat::new(
        &args.user_id,
        &args.device_id,
        form,
        interval,
        ttl,
        now,
    ))
}

fn heartbeat_endpoint(
    env: &Environment,
    bearer: Option<AccessToken>,
) -> Result<Option<HeartbeatEndpoint>, Failure> {
    let Some(text) = given(env.presence_url.as_ref()) else {
        return Ok(None);
    };
    let url: Url = text.parse().map_err(|error| {
        let error = format!("UNBOUND_PRESENCE_DO_HEARTBEAT_URL: {error}");
        Failure::new(Exit::Usage, error)
    })?;
    Ok(Some(HeartbeatEndpoint {
        url,
        bearer,
        client: http::Client::new(Tls::system()),
    }))
}

fn given(value: Option<&String>) -> Option<&str> {
    value
        .map(|text| text.trim())
        .filter(|text| !text.is_empty())
}

fn path(value: Option<&OsString>) -> Option<PathBuf> {
    value.filter(|path| !path.is_empty()).map(PathBuf::from)
}

fn number<N: std::str::FromStr>(
    name: &str,
    value: Option<&String>,
    absent: N,
) -> Result<N, Failure> {
    let Some(text) = given(value) else {
        return Ok(absent);
    };
    text.parse().map_err(|_| {
        Failure::new(Exit::Usage, format!("{name} is {text:?}")).hint("give a whole number")
    })
}

fn seconds(name: &str, value: Option<&String>, absent: u64) -> Result<Duration, Failure> {
    match number(name, value, absent)? {
        seconds @ 1..=86_400 => Ok(Duration::from_secs(seconds)),
        seconds => Err(Failure::new(Exit::Usage, format!("{name} is {seconds}"))
            .hint("give whole seconds, from 1 to 86400")),
    }
}

fn format(value: Option<&str>) -> Result<Format, Failure> {
    match value {
        None | Some("msgpack") => Ok(Format::Msgpack),
        Some("json") => Ok(Format::Json),
        Some(other) => Err(
            Failure::new(Exit::Usage, format!("DAEMON_ABLY_FORMAT is {other:?}"))
                .hint("it is msgpack or json"),
        ),
    }
}

fn cannot_bind(error: &BindError) -> Failure {
    let failure = Failure::of(Exit::Failed, error);
    match error {
        BindError::InUse { .. } => {
            failure.hint("another transport runs here; stop it, or set UNBOUND_ABLY_SOCKET")
        }
        _ => failure,
    }
}
