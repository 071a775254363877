//! One life of one part: started, asked until it answers, told to end, gone.
//!
//! A task of its own owns each life and with it the child, so that a signal
//! goes to a child that is not reaped yet or to nobody. It takes orders from
//! the supervisor task and reports back; the last report is always `Ended`,
//! after the last process of the child's group has gone and what the child
//! wrote is in its log.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::{Notify, mpsc, watch};

use super::chain::{Ending, PartId};
use super::part::{Alive, AliveBy, Launch, ReadyBy, Tie};
use super::said::{Said, Word};
use super::sidecar::{LinePattern, StopSignal};
use super::tap::Tap;
use crate::clock;
use crate::net::unix::{Notice, Notices};
use crate::process::capture::{Journal, LifeLog, Log};
use crate::process::child::{Child, Exit};
use crate::process::guard;
use crate::process::inherited::{LIFELINE_FD, READY_FD, SECRETS_FD};
use crate::process::spawn::{SpawnError, Spawner};
use crate::protocol::life::{Life, Told};
use crate::protocol::log::Stream;
use crate::report::Report as Causes;
use crate::shutdown::Shutdown;

/// How long output is read on after the child's group has gone: a process that
/// left the group may hold the pipe for ever.
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);

/// Orders that may wait; there are three kinds and each waits once at most.
pub(super) const ORDERS_MAX: usize = 4;

/// What a life is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Say whether you are alive.
    Ask,
    /// End in your own time.
    Terminate,
    /// End.
    Kill,
}

/// What became of one life.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) part: PartId,
    pub(super) incarnation: u32,
    pub(super) news: News,
}

#[derive(Debug)]
pub(super) enum News {
    /// It runs as this process.
    Started { pid: u32 },
    /// It does not answer yet, and is at this.
    Busy { what: String },
    /// It answers, and said this.
    Ready { fact: String },
    /// It was asked whether it is alive.
    Pulse { answer: Result<(), String> },
    /// It is at work, and wants to be waited for so long from now.
    Extends { by: Duration },
    /// It says that it does not work any more.
    Distress,
    /// It is gone, but for these processes, which would not die.
    Ended { ending: Ending, left: Vec<u32> },
}

/// Where reports of one life go.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    pub(super) part: PartId,
    pub(super) incarnation: u32,
    pub(super) reports: mpsc::Sender<Report>,
    /// What it says of itself, for whoever asks.
    pub(super) word: watch::Sender<Word>,
}

impl Reporter {
    pub(super) async fn say(&self, news: News) {
        let report = Report {
            part: self.part,
            incarnation: self.incarnation,
            news,
        };
        // A supervisor that is gone wants no news.
        _ = self.reports.send(report).await;
    }
}

/// What a child of ours is started with, besides its [`Launch`].
pub(super) struct Birth {
    pub(super) spawner: Spawner,
    pub(super) log: Log,
    pub(super) journal: Journal,
    pub(super) tie: Tie,
    /// The read end of the lifeline, unless only the kernel ties it to us.
    pub(super) lifeline: Option<OwnedFd>,
    pub(super) ready: ReadyBy,
    pub(super) alive: Option<Alive>,
    pub(super) stop_signal: StopSignal,
    /// Where it may say how it is.
    pub(super) notices: Option<PathBuf>,
}

/// What a child says of itself beside its output.
#[derive(Default)]
struct Ears {
    /// The read end of its readiness pipe.
    ready: Option<pipe::Receiver>,
    notices: Option<Notices>,
}

/// Lives the life of a child process.
pub(super) async fn live(
    launch: Launch,
    birth: Birth,
    mut orders: mpsc::Receiver<Order>,
    reporter: Reporter,
) {
    let log = birth.log.life(reporter.incarnation);
    let (ending, left) = match start(launch, &birth).await {
        Ok((child, ears)) => {
            log.note(&format!("started, pid {}", child.pid()));
            reporter.say(News::Started { pid: child.pid() }).await;
            let since = tokio::time::Instant::now();
            let (ending, left) = watch(child, ears, &birth, &log, &mut orders, &reporter).await;
            log.note(&format!("{ending} after {}", clock::span(since.elapsed())));
            (ending, left)
        }
        Err(ending) => {
            log.note(&ending.to_string());
            (ending, Vec::new())
        }
    };
    // Whoever hears of the end finds in the log what came before it.
    log.flush().await;
    reporter.say(News::Ended { ending, left }).await;
}

async fn start(mut launch: Launch, birth: &Birth) -> Result<(Child, Ears), Ending> {
    let broken = |error: String| Ending::CannotStart {
        error,
        permanent: false,
    };
    let pipes = |error: io::Error| broken(format!("failed to make pipes: {error}"));
    let ears = Ears {
        ready: declare(&mut launch, birth).map_err(pipes)?,
        notices: listen(&mut launch, birth).map_err(broken)?,
    };
    if let Some(before) = launch.before.take() {
        before.await;
    }
    let cannot = |error: SpawnError| Ending::CannotStart {
        permanent: error.is_permanent(),
        error: Causes(&error).to_string(),
    };
    let spec = match (&birth.tie, &birth.lifeline) {
        (Tie::Guard(falco), Some(lifeline)) => {
            let lifeline = lifeline.try_clone().map_err(pipes)?;
            guard::around(launch.spec, falco, lifeline).map_err(cannot)?
        }
        _ => launch.spec,
    };
    let child = birth.spawner.spawn(spec).await.map_err(cannot)?;
    Ok((child, ears))
}

/// Adds the descriptors that a child inherits, most of them only a program of
/// ours; returns the read end of its readiness pipe.
fn declare(launch: &mut Launch, birth: &Birth) -> io::Result<Option<pipe::Receiver>> {
    let is_ours = birth.tie == Tie::Lifeline;
    if !is_ours && !matches!(birth.ready, ReadyBy::Descriptor) {
        return Ok(None);
    }
    let (ready_read, ready_write) = io::pipe()?;
    let descriptors = &mut launch.spec.descriptors;
    descriptors.push((READY_FD, ready_write.into()));
    if let Some(lifeline) = birth.lifeline.as_ref().filter(|_| is_ours) {
        descriptors.push((LIFELINE_FD, lifeline.try_clone()?));
    }
    if let Some(secrets) = launch.secrets.take() {
        let (read, mut write) = io::pipe()?;
        // Fits into the pipe's buffer: nobody reads yet.
        io::Write::write_all(&mut write, secrets.as_bytes())?;
        descriptors.push((SECRETS_FD, read.into()));
    }
    pipe::Receiver::from_owned_fd(ready_read.into()).map(Some)
}

/// Listens where the child may say how it is, and tells it where.
fn listen(launch: &mut Launch, birth: &Birth) -> Result<Option<Notices>, String> {
    let Some(path) = &birth.notices else {
        return Ok(None);
    };
    let notices = Notices::bind(path).map_err(|e| Causes(&e).to_string())?;
    let env = &mut launch.spec.env;
    env.push(("NOTIFY_SOCKET".into(), path.into()));
    if let Some(Alive {
        by: AliveBy::Watchdog { within },
        ..
    }) = &birth.alive
    {
        let micros = within.as_micros().to_string();
        env.push(("WATCHDOG_USEC".into(), micros.into()));
    }
    Ok(Some(notices))
}

enum Event {
    Ended,
    Ready(String),
    Answered(Result<(), String>),
    Said(io::Result<Notice>),
    Order(Option<Order>),
}

async fn watch(
    mut child: Child,
    ears: Ears,
    birth: &Birth,
    log: &LifeLog,
    orders: &mut mpsc::Receiver<Order>,
    reporter: &Reporter,
) -> (Ending, Vec<u32>) {
    let captures = Shutdown::new();
    let found = Arc::new(Notify::new());
    let tap = match &birth.ready {
        ReadyBy::Line(pattern) => Some((pattern.clone(), Arc::clone(&found))),
        _ => None,
    };
    let end = match capture(&mut child, log, tap, &captures).and_then(|()| child.end()) {
        Ok(end) => end,
        Err(error) => {
            return (
                Ending::Failed(format!("cannot be watched: {error}").into()),
                Vec::new(),
            );
        }
    };
    let signals = Signals {
        birth,
        incarnation: reporter.incarnation,
        group: child.pid(),
    };
    let Ears { ready, mut notices } = ears;
    let mut trouble = None;
    let mut is_ready = false;
    let mut has_pinged = false;
    let mut said = String::new();
    let mut asking: Option<BoxFuture<'_, Result<(), String>>> = None;
    {
        let hearing = Hearing {
            tasks: &captures,
            journal: &birth.journal,
        };
        let heard = (ready, hearing);
        let readiness = readiness(heard, &birth.ready, &found, &mut trouble);
        tokio::pin!(readiness);
        loop {
            let event = tokio::select! {
                () = end.reached() => Event::Ended,
                order = orders.recv() => Event::Order(order),
                fact = &mut readiness, if !is_ready => Event::Ready(fact),
                answer = answer(&mut asking) => Event::Answered(answer),
                notice = next_notice(notices.as_ref()) => Event::Said(notice),
            };
            match event {
                Event::Ended => break,
                Event::Ready(fact) => {
                    is_ready = true;
                    said.clone_from(&fact);
                    reporter.say(News::Ready { fact }).await;
                }
                Event::Answered(answer) => {
                    asking = None;
                    reporter.say(News::Pulse { answer }).await;
                }
                Event::Said(Err(error)) => {
                    log.note(&format!("can say no more how it is: {error}"));
                    notices = None;
                }
                Event::Said(Ok(notice)) if !notice.pid.is_none_or(|pid| child.owns(pid)) => {
                    log.note("a notice of another process was ignored");
                }
                Event::Said(Ok(notice)) => {
                    let said = Said::of(&notice.text);
                    has_pinged |= said.alive;
                    let by_notice = matches!(birth.ready, ReadyBy::Notify);
                    if said.ready && by_notice && !is_ready {
                        is_ready = true;
                        let fact = String::new();
                        reporter.say(News::Ready { fact }).await;
                    }
                    heed(&said, birth, reporter).await;
                }
                Event::Order(Some(Order::Ask)) => {
                    asking = Some(ask(birth.alive.as_ref(), &said, &mut has_pinged));
                }
                Event::Order(Some(Order::Terminate)) => {
                    let signal = signal(birth.stop_signal);
                    signals.note(signal.as_str(), "asked to end");
                    child.terminate(signal);
                }
                Event::Order(Some(Order::Kill)) => {
                    signals.note("SIGKILL", "did not end when asked");
                    child.kill();
                }
                Event::Order(None) => {
                    child.kill();
                    end.reached().await;
                    break;
                }
            }
        }
    }
    let trouble = trouble.or_else(|| birth.ready.lacks());
    if let (false, Some(trouble)) = (is_ready, trouble) {
        log.note(&format!("was never ready: {trouble}"));
    }
    let (exit, left) = child.reap().await;
    captures.drain(DRAIN_PATIENCE).await;
    (ending(&exit), left)
}

/// Asks whether the child is alive.
fn ask(
    alive: Option<&Alive>,
    said: &str,
    has_pinged: &mut bool,
) -> BoxFuture<'static, Result<(), String>> {
    match alive {
        Some(Alive {
            by: AliveBy::Probe(probe),
            timeout,
        }) => {
            let (probe, said, timeout) = (probe.clone(), said.to_owned(), *timeout);
            Box::pin(async move { probe.ask_once(&said, timeout).await })
        }
        Some(Alive { .. }) => {
            let pinged = std::mem::take(has_pinged);
            let silent = || "it sent no WATCHDOG=1".to_owned();
            Box::pin(std::future::ready(pinged.then_some(()).ok_or_else(silent)))
        }
        None => Box::pin(std::future::ready(Ok(()))),
    }
}

/// Hands on what a child says of itself besides being ready and alive.
async fn heed(said: &Said, birth: &Birth, reporter: &Reporter) {
    reporter.word.send_if_modified(|word| word.heed(said));
    if let Some(by) = said.extends {
        reporter.say(News::Extends { by }).await;
    }
    let alive = birth.alive.as_ref().map(|alive| &alive.by);
    if said.in_distress && matches!(alive, Some(AliveBy::Watchdog { .. })) {
        reporter.say(News::Distress).await;
    }
}

async fn next_notice(notices: Option<&Notices>) -> io::Result<Notice> {
    match notices {
        Some(notices) => notices.next().await,
        None => std::future::pending().await,
    }
}

pub(super) fn signal(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::SIGTERM,
        StopSignal::Int => Signal::SIGINT,
        StopSignal::Quit => Signal::SIGQUIT,
        StopSignal::Hup => Signal::SIGHUP,
        StopSignal::Usr1 => Signal::SIGUSR1,
        StopSignal::Usr2 => Signal::SIGUSR2,
    }
}

/// Resolves with the answer to what is being asked; never if nothing is.
async fn answer(asking: &mut Option<BoxFuture<'_, Result<(), String>>>) -> Result<(), String> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// Tells the journal of every signal that goes to a child's group.
struct Signals<'a> {
    birth: &'a Birth,
    incarnation: u32,
    group: u32,
}

impl Signals<'_> {
    fn note(&self, signal: &str, why: &str) {
        self.birth.journal.note(Life::Signaled {
            part: self.birth.log.name().to_owned(),
            incarnation: self.incarnation,
            group: self.group,
            signal: signal.to_owned(),
            why: why.to_owned(),
        });
    }
}

fn ending(exit: &Exit) -> Ending {
    match *exit {
        Exit::Code(code) => Ending::Exited(code),
        Exit::Signal {
            signal,
            core_dumped,
        } => Ending::Signaled {
            signal,
            core_dumped,
        },
        Exit::Unknown => Ending::Failed(exit.to_string().into()),
    }
}

fn capture(
    child: &mut Child,
    log: &LifeLog,
    tap: Option<(LinePattern, Arc<Notify>)>,
    captures: &Shutdown,
) -> io::Result<()> {
    if let Some(output) = child.take_output()? {
        let stdout = Tap::new(output.stdout, tap.clone());
        let stderr = Tap::new(output.stderr, tap);
        captures.spawn(log.clone().drain(stdout, Stream::Out));
        captures.spawn(log.clone().drain(stderr, Stream::Err));
    }
    Ok(())
}

/// Resolves with what the child said once it is ready.
async fn readiness(
    (ready, hearing): (Option<pipe::Receiver>, Hearing<'_>),
    by: &ReadyBy,
    found: &Notify,
    trouble: &mut Option<String>,
) -> String {
    let mut fact = String::new();
    match (by, ready) {
        (ReadyBy::Probe(probe), ready) => {
            if let Some(pipe) = ready {
                let mut reader = BufReader::new(pipe);
                fact = next_line(&mut reader).await.unwrap_or_default();
                hearing.begin(reader);
            }
            probe.answered(&fact, trouble).await;
        }
        (ReadyBy::Descriptor, Some(pipe)) => says_anything(pipe).await,
        (ReadyBy::Line(_), _) => found.notified().await,
        (ReadyBy::Runs(so_long), _) => tokio::time::sleep(*so_long).await,
        // A notice says so, and is heard elsewhere.
        (ReadyBy::Notify | ReadyBy::Descriptor, _) => std::future::pending().await,
    }
    fact
}

/// Resolves at the first byte; never if the pipe is closed without one.
async fn says_anything(mut pipe: pipe::Receiver) {
    if pipe.read_u8().await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// The next line; a pipe closed without one says nothing, and the probe
/// decides.
async fn next_line(reader: &mut BufReader<pipe::Receiver>) -> Option<String> {
    /// What is said there are small objects.
    const BYTES_MAX: u64 = 4096;
    let mut line = String::new();
    let read = reader.take(BYTES_MAX).read_line(&mut line).await;
    matches!(read, Ok(1..)).then(|| line.trim_end().to_owned())
}

/// Notes what a child of ours says of itself after it was ready.
struct Hearing<'a> {
    tasks: &'a Shutdown,
    journal: &'a Journal,
}

impl Hearing<'_> {
    /// Until the child closes its end.
    fn begin(self, mut reader: BufReader<pipe::Receiver>) {
        let journal = self.journal.clone();
        self.tasks.spawn(async move {
            while let Some(line) = next_line(&mut reader).await {
                let told = serde_json::from_str::<Told>(&line).ok();
                if let Some(upstream) = told.and_then(|told| told.upstream) {
                    journal.note(Life::Upstream {
                        audience: upstream.audience,
                        state: upstream.state,
                        error: upstream.last_error.map(|error| error.to_string()),
                    });
                }
            }
        });
    }
}
