//! Between the lanes and the wire: requests out, answers in.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::super::memo::Memo;
use crate::clock::BootTime;
use crate::delivery::{Effect, Lanes, Peer, Refusal, Request, RequestId, shortened};
use crate::failpoint::{self, Point};
use crate::net::ipc::{self, Features, IpcClient, Lost};
use crate::protocol::envelope::Operation;
use crate::protocol::id::IdempotencyKey;
use crate::protocol::ipc::encode::{self, Message};
use crate::protocol::ipc::{Incoming, LINE_BYTES_MAX};
use crate::report::Report;

/// Requests an old transport gets before it answers one: it publishes one at a
/// time, and what waits inside it runs out of time there.
const OLD_PEER_WINDOW: usize = 8;

/// Requests ours gets. It paces them itself and stops reading when it has
/// enough, so this only bounds what a lost connection leaves open.
const PEER_WINDOW: usize = 8192;

/// How often the coming and going of the connection is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// A connection that stands for so long serves.
const STEADY: Duration = Duration::from_secs(10);

/// Of a transport's error text, daemons are told no more than this.
const ERROR_BYTES_MAX: usize = 4096;

/// Where is noted what goes out over a way and comes back.
#[derive(Debug)]
pub(super) struct Noting<'a> {
    memo: Option<&'a mut Memo>,
    way: usize,
    now: BootTime,
}

impl<'a> Noting<'a> {
    /// Of the way with this number; without a memo nothing is noted.
    pub(super) fn new(memo: Option<&'a mut Memo>, way: usize, now: BootTime) -> Self {
        Self { memo, way, now }
    }

    pub(super) fn sent(&mut self, request: &Request<'_>) {
        if let Some(memo) = &mut self.memo {
            memo.handle_sent(self.way, request, self.now);
        }
    }

    pub(super) fn answered(&mut self, id: RequestId, is_accepted: bool) {
        match &mut self.memo {
            Some(memo) if is_accepted => memo.handle_accepted(self.way, id, self.now),
            Some(memo) => memo.handle_refused(self.way, id),
            None => {}
        }
    }

    pub(super) fn lost(&mut self) {
        if let Some(memo) = &mut self.memo {
            memo.handle_disconnected(self.way);
        }
    }
}

/// The connection to the transport.
#[derive(Debug)]
pub(super) struct Link {
    client: IpcClient,
    is_up: watch::Sender<bool>,
    /// When it went down, or was made; shorter connections than [`STEADY`] do not
    /// end that.
    down_since: Instant,
    up_since: Option<Instant>,
    line_bytes_max: usize,
    tell_up: Seldom,
    tell_lost: Seldom,
}

/// A connection that comes and goes must not fill the log.
#[derive(Debug, Default)]
struct Seldom {
    last: Option<Instant>,
}

impl Seldom {
    /// Whether the last time is long enough ago.
    fn may_tell(&mut self) -> bool {
        let may = self.last.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if may {
            self.last = Some(Instant::now());
        }
        may
    }
}

impl Link {
    pub(super) fn new(socket: PathBuf) -> Self {
        Self {
            client: IpcClient::new(socket),
            is_up: watch::Sender::new(false),
            down_since: Instant::now(),
            up_since: None,
            line_bytes_max: LINE_BYTES_MAX,
            tell_up: Seldom::default(),
            tell_lost: Seldom::default(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        *self.is_up.borrow()
    }

    /// Where it leads.
    pub(super) fn socket(&self) -> &Path {
        self.client.path()
    }

    /// How long there has been no connection; nothing while there is one.
    pub(super) fn down_for(&self) -> Duration {
        if self.is_up() {
            return Duration::ZERO;
        }
        self.down_since.elapsed()
    }

    pub(super) fn watch(&self) -> watch::Receiver<bool> {
        self.is_up.subscribe()
    }

    /// Waits for the next thing to happen; cancel safe.
    ///
    /// Without a connection, `is_wanted` says whether an effect waits for one.
    pub(super) async fn event(&mut self, is_wanted: bool) -> ipc::Event {
        self.client.event(is_wanted).await
    }

    pub(super) fn handle<T>(
        &mut self,
        event: ipc::Event,
        lanes: &mut Lanes<T>,
        mut noting: Noting<'_>,
    ) {
        match event {
            ipc::Event::Connected(features) => {
                self.is_up.send_replace(true);
                self.up_since = Some(Instant::now());
                self.line_bytes_max = features.line_bytes_max;
                if self.tell_up.may_tell() {
                    info!(batches = features.batches, "Transport connected.");
                } else {
                    debug!("Transport connected again.");
                }
                lanes.handle_connected(peer(features));
            }
            ipc::Event::Disconnected(lost) => self.lost(&lost, lanes, &mut noting),
            ipc::Event::Lines => self.read(lanes, &mut noting),
            ipc::Event::Room => {}
        }
    }

    /// Writes every request that may go out.
    pub(super) fn send<T>(&mut self, lanes: &mut Lanes<T>, mut noting: Noting<'_>) {
        let now = Instant::now().into_std();
        while let Some(out) = self.client.out() {
            let Some(request) = lanes.poll_request(now) else {
                return;
            };
            let start = out.len();
            write(&request, out);
            let bytes = out.len() - start - 1;
            failpoint::reach(Point::RequestFed);
            if bytes > self.line_bytes_max {
                out.truncate(start);
                let id = request.id;
                lanes.handle_too_large(id, bytes, self.line_bytes_max);
            } else {
                noting.sent(&request);
            }
        }
    }

    /// Hands the transport what was written, as far as it takes it at once.
    pub(super) fn push(&mut self) {
        self.client.push();
    }

    fn read<T>(&mut self, lanes: &mut Lanes<T>, noting: &mut Noting<'_>) {
        let now = Instant::now().into_std();
        loop {
            match self.client.next_line() {
                Ok(Some(line)) => answer(line, lanes, noting, now),
                Ok(None) => return,
                Err(error) => {
                    self.client.disconnect();
                    self.lost(&error.into(), lanes, noting);
                    return;
                }
            }
        }
    }

    fn lost<T>(&mut self, lost: &Lost, lanes: &mut Lanes<T>, noting: &mut Noting<'_>) {
        self.is_up.send_replace(false);
        let up = self.up_since.take().map(|since| since.elapsed());
        if up.is_some_and(|up| STEADY <= up) {
            self.down_since = Instant::now();
        }
        if self.tell_lost.may_tell() {
            warn!(error = %Report(lost), "Connection to the transport lost; will connect again.");
        } else {
            debug!(error = %Report(lost), "Connection to the transport lost again.");
        }
        noting.lost();
        lanes.handle_disconnected(Instant::now().into_std());
    }
}

fn peer(features: Features) -> Peer {
    Peer {
        batches: features.batches,
        window: if features.greeted {
            PEER_WINDOW
        } else {
            OLD_PEER_WINDOW
        },
    }
}

/// Brings one line of the transport to the lanes. What cannot be understood,
/// or answers nothing that was asked, is ignored.
fn answer<T>(line: &[u8], lanes: &mut Lanes<T>, noting: &mut Noting<'_>, now: std::time::Instant) {
    let incoming = match serde_json::from_slice::<Incoming<'_>>(line) {
        Ok(incoming) => incoming,
        Err(error) => {
            debug!(bytes = line.len(), %error, "Transport sent a line that is no answer.");
            return;
        }
    };
    match &*incoming.op {
        "hello.ack.v1" => return lanes.handle_connected(peer(Features::of(&incoming))),
        // Only the first says that something was published.
        "publish.ack.v1" => {}
        "error.v1" if !incoming.ok => {}
        op => {
            debug!(op, "Transport said what Falco does not ask for.");
            return;
        }
    }
    let Ok(id) = incoming.request_id.parse::<RequestId>() else {
        debug!(op = %incoming.op, "Transport answered what was not asked.");
        return;
    };
    noting.answered(id, incoming.ok);
    if incoming.ok {
        failpoint::reach(Point::AnswerRead);
        lanes.handle_accepted(id);
        return;
    }
    let error = incoming.error.as_deref().unwrap_or("no reason given");
    let refusal = Refusal {
        error: shortened(error, ERROR_BYTES_MAX),
        code: incoming.code,
        retryable: incoming.retryable,
    };
    lanes.handle_refused(id, &refusal, now);
}

fn write(request: &Request<'_>, out: &mut bytes::BytesMut) {
    let Request {
        id,
        timeout,
        effects,
    } = request;
    let [effect] = effects[..] else {
        let channel = effects[0].operation.channel();
        let messages = effects.iter().map(|effect| message(effect));
        encode::publish_batch(out, id, channel, &request.base(), messages, *timeout);
        return;
    };
    match &effect.operation {
        Operation::Publish { channel, .. } => {
            encode::publish(out, id, channel, &message(effect), *timeout);
        }
        Operation::ObjectSet {
            channel,
            key,
            value,
        } => {
            encode::object_set(out, id, channel, key, value, *timeout);
        }
    }
}

fn message(effect: &Effect) -> Message<'_, IdempotencyKey> {
    Message {
        event: effect.operation.name(),
        payload: effect.operation.body(),
        key: &effect.key,
    }
}
