//! The parts inside the supervisor: the token broker and Falco.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::super::exit::Exit;
use super::{FALCO, Ingredients, keeping, plan};
use crate::ingest::{self, Fault};
use crate::net::unix::Socket;
use crate::process::identity::Identity;
use crate::report::Report;
use crate::supervisor::chain::Fall;
use crate::supervisor::part::{Essence, PartSpec, Run, ServerPart, Serving};
use crate::token_broker::{self, Source};

/// How long Falco may take to find the transport that is ready before it.
const LINK_PATIENCE: Duration = Duration::from_secs(1);

/// How often Falco says how far it is with its outbox.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// How long an outbox that is read stands still before its disk is taken to hang.
const STILL: Duration = Duration::from_secs(5);

/// Beyond the grace of what is on its way: the last acks.
const LAST_ACKS: Duration = Duration::from_millis(1500);

pub(super) fn broker(with: &Ingredients, source: &Source) -> PartSpec {
    let ingredients = with.clone();
    let serve = move |serving: Serving| {
        let with = ingredients.clone();
        Box::pin(async move { serve_broker(&with, serving).await }) as _
    };
    let identity = format!("{:?}", with.identity);
    PartSpec {
        plan: plan("broker", &[], Duration::from_secs(1)),
        place: with.broker_socket.path().display().to_string(),
        essence: Essence::of([&source.essence(), identity.as_bytes()]),
        run: Run::Server(ServerPart {
            serve: Arc::new(serve),
            own_thread: false,
            socket: Arc::clone(&with.broker_socket),
        }),
    }
}

/// Says the broker tokens, which only the transport may know.
async fn serve_broker(with: &Ingredients, serving: Serving) -> Result<(), Fall> {
    let end = with.end().map_err(|failure| failure.in_one())?;
    let config = token_broker::Config {
        identity: with.identity.clone(),
        source: end.source,
        reach: end.reach,
    };
    let listener = with
        .broker_socket
        .listener()
        .map_err(|e| Report(&e).to_string())?;
    let broker = token_broker::start(config, listener, &serving.shutdown);
    let tokens = serde_json::to_string(&broker.broker_tokens).map_err(|e| e.to_string())?;
    with.handles.broker.send_replace(Some(broker));
    _ = serving.ready.send(tokens);
    serving.shutdown.begun().await;
    Ok(())
}

pub(super) fn falco(with: &Ingredients) -> PartSpec {
    let device = with.identity.device().to_string();
    let mut config = ingest::Config::new(&device, with.paths.ably_socket());
    config.closed = with.closed.subscribe();
    let identified = with.config.identified_events.iter();
    config.routing = config.routing.identifying(identified.map(String::as_str));
    config.delivery = keeping::delivery(&with.config);
    config.life = Some(with.life.clone());
    config.outbox = keeping::outbox(with);
    config.routes = keeping::routes(with);
    let boot_id = Identity::own().boot_id;
    config.memo = Some(ingest::MemoPlace::new(with.paths.run(), boot_id));
    let grace = config.shutdown_grace + LAST_ACKS;
    let socket = Arc::clone(&with.falco_socket);
    let handle = Arc::clone(&with.handles.falco);
    let identified = &with.config.identified_events;
    let essence = Essence::of([format!(
        "{device} {identified:?} {:?} {:?} {:?}",
        config.delivery, config.outbox, config.routes
    )]);
    let serve = move |serving: Serving| {
        let (socket, config, handle) = (socket.clone(), config.clone(), handle.clone());
        Box::pin(async move { serve_falco(&socket, config, &handle, serving).await }) as _
    };
    PartSpec {
        plan: plan(FALCO, &["transport"], grace),
        place: with.falco_socket.path().display().to_string(),
        essence,
        run: Run::Server(ServerPart {
            serve: Arc::new(serve),
            own_thread: true,
            socket: Arc::clone(&with.falco_socket),
        }),
    }
}

async fn serve_falco(
    socket: &Arc<Socket>,
    config: ingest::Config,
    handle: &watch::Sender<Option<ingest::Handle>>,
    serving: Serving,
) -> Result<(), Fall> {
    let listener = socket.listener().map_err(|e| Report(&e).to_string())?;
    let falco = ingest::start(&config, listener, &serving.shutdown);
    handle.send_replace(Some(falco.clone()));
    let ready = async {
        if config.closed.borrow().is_none() {
            _ = tokio::time::timeout(LINK_PATIENCE, falco.linked()).await;
        }
        has_read(&falco, &serving.busy).await;
    };
    tokio::select! {
        biased;
        () = serving.shutdown.begun() => return Ok(()),
        // A journal that cannot be opened is read no further either.
        verdict = falco.failed() => return Err(fall(verdict)),
        () = ready => {}
    }
    _ = serving.ready.send(String::new());
    tokio::select! {
        () = serving.shutdown.begun() => Ok(()),
        verdict = falco.failed() => Err(fall(verdict)),
    }
}

/// What it means for a start that Falco cannot go on.
fn fall(verdict: ingest::Verdict) -> Fall {
    let exit = match verdict.fault {
        Fault::Newer => Exit::Config,
        Fault::Insecure => Exit::Permission,
        Fault::Disk => Exit::Disk,
        Fault::Other => Exit::Unavailable,
    };
    Fall {
        why: verdict.why,
        exit: Some(exit as u8),
        permanent: exit.is_hopeless(),
    }
}

/// Waits until Falco takes effects; says meanwhile how far it is, so that nobody
/// gives up on a large outbox that is being read. One that gets no further is not
/// waited for, once Falco refuses for that what comes, and says so itself.
async fn has_read(falco: &ingest::Handle, busy: &mpsc::Sender<String>) {
    let (mut moved_at, mut was) = (Instant::now(), None);
    while tokio::time::timeout(TELL_EVERY, falco.has_read())
        .await
        .is_err()
    {
        let Some(outbox) = falco.status().await.outbox else {
            continue;
        };
        if was != outbox.recovering {
            was.clone_from(&outbox.recovering);
            moved_at = Instant::now();
        }
        if outbox.is_degraded() && STILL <= moved_at.elapsed() {
            return;
        }
        if let Some(recovering) = outbox.recovering {
            // The word before it may not have been heard yet.
            _ = busy.try_send(format!("reads its outbox: {recovering}"));
        }
    }
}
