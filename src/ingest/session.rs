//! One daemon's connection.
//!
//! Owns the socket, the frames being read, the acks being written, and the
//! count of effects that are not answered yet.
//!
//! ```text
//!            bytes ──decode──▶ frames ──route──▶ routed ──▶ dispatcher
//! socket                          │ broken, unroutable          │
//!            bytes ◀──encode── acks ◀───────────────────────────┘
//! ```
//!
//! Stops reading while it owes too much: effects unanswered, but for those that
//! stand still, effects of which too many wait for the outcome of another, effects
//! not taken by the dispatcher, acks not taken by the daemon. When the daemon has
//! sent its last byte, or sends what cannot be framed, the session reads no more,
//! answers what it has, and ends. What cannot be framed is read and dropped for a
//! moment behind the last answer ([`linger`]), so that whoever sends it sees that.
//!
//! Acks are written as soon as they are there: what was decided together goes
//! out together, and nothing waits for company.

mod debts;
mod frames;
mod intake;
mod linger;
mod outgo;

use std::io;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::alarm::Alarm;
use super::dispatcher::{Ack, News, Refused, Routed, Submission, WayBack};
use crate::delivery::Producer;
use crate::failpoint::{self, Point};
use crate::protocol::envelope::Routing;
use crate::report::Report;
use crate::shutdown::Shutdown;

pub(super) use debts::Debts;
use debts::OWED_MAX;
pub(super) use intake::LargeFrames;
use intake::{Intake, Share};
use outgo::Outgo;

/// How often a daemon that is not read is looked at: whether it is still there.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Which connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SessionId(pub u64);

impl SessionId {
    /// The inbox; connections are counted from 1.
    pub(super) const INBOX: Self = Self(0);

    /// What the lanes know the connection by.
    pub(super) fn producer(self) -> Producer {
        Producer(self.0)
    }

    /// The connection the lanes know as `producer`.
    pub(super) fn of(producer: Producer) -> Self {
        Self(producer.0)
    }
}

/// Why a session ended before its time.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error("failed to read from the daemon")]
    Read(#[source] io::Error),
    #[error("failed to write to the daemon")]
    Write(#[source] io::Error),
    #[error("the daemon closed its connection")]
    HungUp,
    #[error("it has taken none of its acks for too long")]
    Stalled,
    #[error("it has not finished a large frame for too long")]
    Unfinished,
}

/// What all sessions share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub routing: Routing,
    pub submit: mpsc::Sender<Submission>,
    pub large_frames: LargeFrames,
    pub shutdown: Shutdown,
}

/// Serves `stream` until it ends.
pub(super) async fn run(id: SessionId, mut stream: UnixStream, shared: Shared) {
    // Each message holds at least one ack and the session owes no more acks
    // than this, so that the dispatcher never finds the channel full.
    let (acks, decided) = mpsc::channel(OWED_MAX.effects);
    let (news, heard) = watch::channel(News::default());
    let back = WayBack { acks, news };
    let opened = shared.submit.send(Submission::Open(id, back)).await;
    if opened.is_err() {
        return;
    }
    let (submit, shutdown) = (shared.submit.clone(), shared.shutdown.clone());
    let mut session = Session::new(id, shared, decided, heard);
    let ended = session.serve(&mut stream).await;
    let lingers = session.is_unframed && ended.is_ok();
    let stream = lingers.then_some(stream);
    if let Err(error) = ended {
        let unanswered = session.debts.len();
        let is_ours = matches!(error, SessionError::Stalled | SessionError::Unfinished);
        let (session, error) = (id.0, Report(&error));
        if is_ours {
            warn!(session, unanswered, %error, "A daemon was disconnected.");
        } else {
            debug!(session, unanswered, %error, "Session ended early.");
        }
    }
    let refused = session.refused.take();
    // A dispatcher that has no room may take long; others want the memory.
    drop(session);
    let tell = async {
        if let Some(refused) = refused {
            _ = submit.send(Submission::Refused(refused)).await;
        }
        _ = submit.send(Submission::Close(id)).await;
    };
    match stream {
        Some(stream) => _ = tokio::join!(tell, linger::close(stream, &shutdown)),
        None => tell.await,
    }
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    shared: Shared,
    intake: Intake,
    /// Not yet taken by the dispatcher.
    routed: Routed,
    /// Not yet reported to the dispatcher.
    refused: Option<Refused>,
    debts: Debts,
    decided: mpsc::Receiver<Vec<Ack>>,
    /// The dispatcher is gone; nothing more will be decided.
    is_orphan: bool,
    outgo: Outgo,
    /// The daemon has sent what is no frame, and may not be done with that.
    is_unframed: bool,
    alarm: Alarm,
    /// When it was last looked whether the daemon is there.
    looked: Instant,
}

/// What a session waits for.
enum Event {
    Shutdown,
    Read(io::Result<usize>),
    /// Nobody is left to answer.
    HungUp,
    Wrote(io::Result<usize>),
    Decided(Option<Vec<Ack>>),
    Submitted,
    /// It stands otherwise than before with what is owed.
    Moved,
    /// The dispatcher takes no more effects; it may still answer some.
    Closed,
    /// There is memory for the large frame that has begun.
    Granted(Share),
    Due,
}

impl Session {
    fn new(
        id: SessionId,
        shared: Shared,
        decided: mpsc::Receiver<Vec<Ack>>,
        news: watch::Receiver<News>,
    ) -> Self {
        Self {
            id,
            shared,
            intake: Intake::new(),
            routed: Routed::now(Vec::new()),
            refused: None,
            debts: Debts::new(news),
            decided,
            is_orphan: false,
            outgo: Outgo::new(),
            is_unframed: false,
            alarm: Alarm::default(),
            looked: Instant::now(),
        }
    }

    async fn serve(&mut self, stream: &mut UnixStream) -> Result<(), SessionError> {
        loop {
            self.debts.look();
            self.decode();
            self.submit_now();
            if self.is_done() {
                return Ok(());
            }
            let event = self.event(stream).await;
            self.handle(event)?;
        }
    }

    /// Waits for one thing to happen. Acks go out before more is read.
    async fn event(&mut self, stream: &mut UnixStream) -> Event {
        let Shared {
            submit,
            large_frames,
            shutdown,
            ..
        } = &self.shared;
        let may_read = self.may_read();
        let is_waiting = !self.debts.are_few();
        let due = self.due();
        let has_acks = !self.outgo.is_empty();
        let lacks = self.intake.lacks_memory().filter(|_| may_read);
        let (mut reader, mut writer) = stream.split();
        tokio::select! {
            biased;
            () = shutdown.begun(), if !self.intake.is_stopped() => Event::Shutdown,
            wrote = writer.write_buf(&mut self.outgo.acks), if has_acks => Event::Wrote(wrote),
            decided = self.decided.recv(), if !self.is_orphan => Event::Decided(decided),
            () = self.debts.moved(), if is_waiting => Event::Moved,
            permit = submit.reserve(), if !self.routed.is_empty() => {
                let Ok(permit) = permit else { return Event::Closed };
                permit.send(Submission::Effects(self.id, self.routed.take()));
                failpoint::reach(Point::EffectsTaken);
                Event::Submitted
            }
            share = large_frames.share(lacks.unwrap_or(0)), if lacks.is_some() => Event::Granted(share),
            read = reader.read_buf(self.intake.buffer()), if may_read && lacks.is_none() => match read {
                Ok(0) if has_hung_up(stream) => Event::HungUp,
                read => Event::Read(read),
            },
            () = self.alarm.wait(due) => {
                self.looked = Instant::now();
                if self.is_not_read() && has_hung_up(stream) {
                    return Event::HungUp;
                }
                Event::Due
            }
        }
    }

    fn handle(&mut self, event: Event) -> Result<(), SessionError> {
        match event {
            Event::Shutdown => self.intake.stop(),
            Event::Read(read) => {
                if self.intake.have_read(read.map_err(SessionError::Read)?) {
                    debug!(session = self.id.0, "Daemon left in the middle of a frame.");
                }
            }
            Event::HungUp => return Err(SessionError::HungUp),
            Event::Wrote(wrote) => {
                wrote.map_err(SessionError::Write)?;
                failpoint::reach(Point::AcksWritten);
                self.outgo.have_written();
            }
            Event::Decided(Some(acks)) => self.have_decided(&acks),
            Event::Decided(None) => self.dispatcher_gone(),
            Event::Submitted | Event::Moved => {}
            Event::Closed => self.refuse_routed(),
            Event::Granted(share) => self.intake.grant(share),
            Event::Due => return self.check_patience(),
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        !self.intake.is_open() && self.debts.is_empty() && self.outgo.is_empty()
    }

    /// Whether the daemon is owed little enough to take more from it.
    fn may_decode(&self) -> bool {
        !self.intake.is_stopped() && self.debts.are_few() && !self.outgo.is_full()
    }

    fn may_read(&self) -> bool {
        self.intake.is_open() && self.routed.is_empty() && self.may_decode()
    }

    /// When the daemon has kept us waiting for the rest of a frame for too long.
    fn frame_due(&self) -> Option<Instant> {
        self.intake.patience_ends().filter(|_| self.may_read())
    }

    /// When there is something to look at.
    fn due(&self) -> Option<Instant> {
        let acks = self.outgo.patience_ends();
        let look = self.is_not_read().then(|| self.looked + LOOK_EVERY);
        let frame = self.frame_due();
        acks.into_iter().chain(frame).chain(look).min()
    }

    /// Whether nothing is read because of what is owed: the end of what the daemon
    /// sends would not be noticed. What was read is handed over before.
    fn is_not_read(&self) -> bool {
        self.intake.is_open() && self.routed.is_empty() && !self.may_decode()
    }

    fn check_patience(&self) -> Result<(), SessionError> {
        let now = Instant::now();
        if self.outgo.patience_ends().is_some_and(|end| end <= now) {
            return Err(SessionError::Stalled);
        }
        if self.frame_due().is_some_and(|end| end <= now) {
            return Err(SessionError::Unfinished);
        }
        Ok(())
    }
}

/// Whether the other end is closed altogether, and not for writing only: that
/// end of the stream comes with the news that writing has become impossible.
fn has_hung_up(stream: &UnixStream) -> bool {
    let writable = stream.ready(Interest::WRITABLE).now_or_never();
    matches!(writable, Some(Ok(ready)) if ready.is_write_closed())
}

#[cfg(test)]
mod tests;
