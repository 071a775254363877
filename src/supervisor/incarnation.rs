//! One life of one part: started, asked until it answers, told to end, gone.
//!
//! A task of its own owns each life and with it the child, so that a signal
//! goes to a child that is not reaped yet or to nobody. It takes orders from
//! the supervisor task and reports back; the last report is always `Ended`,
//! after the last process of the child's group has gone and what the child
//! wrote is in its log.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::chain::{Ending, PartId};
use super::part::Launch;
use super::probe::Probe;
use crate::clock;
use crate::process::capture::{Journal, LifeLog, Log};
use crate::process::child::{Child, Exit};
use crate::process::inherited::{LIFELINE_FD, READY_FD, SECRETS_FD};
use crate::process::spawn::Spawner;
use crate::protocol::life::{Life, Told};
use crate::protocol::log::Stream;
use crate::report::Report as Causes;
use crate::shutdown::Shutdown;

/// How long output is read on after the child's group has gone: a process that
/// left the group may hold the pipe for ever.
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);

/// How long an answer to whether it is alive may take.
const ALIVE_PATIENCE: Duration = Duration::from_secs(2);

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
    /// It answers, and said this.
    Ready { fact: String },
    /// It was asked whether it is alive.
    Pulse { answer: Result<(), String> },
    /// It is gone, but for these processes, which would not die.
    Ended { ending: Ending, left: Vec<u32> },
}

/// Where reports of one life go.
#[derive(Debug, Clone)]
pub(super) struct Reporter {
    pub(super) part: PartId,
    pub(super) incarnation: u32,
    pub(super) reports: mpsc::Sender<Report>,
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
    /// The read end of the lifeline, if the program is ours.
    pub(super) lifeline: Option<OwnedFd>,
    pub(super) probe: Probe,
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
        Ok((child, ready)) => {
            log.note(&format!("started, pid {}", child.pid()));
            reporter.say(News::Started { pid: child.pid() }).await;
            let since = tokio::time::Instant::now();
            let (ending, left) = watch(child, ready, &birth, &log, &mut orders, &reporter).await;
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

async fn start(
    mut launch: Launch,
    birth: &Birth,
) -> Result<(Child, Option<pipe::Receiver>), Ending> {
    let broken = |error: io::Error| Ending::CannotStart {
        error: format!("failed to make pipes: {error}"),
        permanent: false,
    };
    let ready = match &birth.lifeline {
        Some(lifeline) => Some(declare(&mut launch, lifeline).map_err(broken)?),
        None => None,
    };
    if let Some(before) = launch.before.take() {
        before.await;
    }
    let spawned = birth.spawner.spawn(launch.spec).await;
    let child = spawned.map_err(|error| Ending::CannotStart {
        permanent: error.is_permanent(),
        error: Causes(&error).to_string(),
    })?;
    Ok((child, ready))
}

/// Adds the descriptors that a program of ours inherits; returns the read end
/// of its readiness pipe.
fn declare(launch: &mut Launch, lifeline: &OwnedFd) -> io::Result<pipe::Receiver> {
    let (ready_read, ready_write) = io::pipe()?;
    let descriptors = &mut launch.spec.descriptors;
    descriptors.push((READY_FD, ready_write.into()));
    descriptors.push((LIFELINE_FD, lifeline.try_clone()?));
    if let Some(secrets) = launch.secrets.take() {
        let (read, mut write) = io::pipe()?;
        // Fits into the pipe's buffer: nobody reads yet.
        io::Write::write_all(&mut write, secrets.as_bytes())?;
        descriptors.push((SECRETS_FD, read.into()));
    }
    pipe::Receiver::from_owned_fd(ready_read.into())
}

enum Event {
    Ended,
    Ready(String),
    Answered(Result<(), String>),
    Order(Option<Order>),
}

async fn watch(
    mut child: Child,
    ready: Option<pipe::Receiver>,
    birth: &Birth,
    log: &LifeLog,
    orders: &mut mpsc::Receiver<Order>,
    reporter: &Reporter,
) -> (Ending, Vec<u32>) {
    let captures = Shutdown::new();
    let end = match capture(&mut child, log, &captures).and_then(|()| child.end()) {
        Ok(end) => end,
        Err(error) => {
            return (
                Ending::Failed(format!("cannot be watched: {error}")),
                Vec::new(),
            );
        }
    };
    let signals = Signals {
        birth,
        incarnation: reporter.incarnation,
        group: child.pid(),
    };
    let mut trouble = None;
    let mut is_ready = false;
    let mut said = String::new();
    let mut asking: Option<BoxFuture<'_, Result<(), String>>> = None;
    {
        let hearing = Hearing {
            tasks: &captures,
            journal: &birth.journal,
        };
        let readiness = readiness(ready, hearing, &birth.probe, &mut trouble);
        tokio::pin!(readiness);
        loop {
            let event = tokio::select! {
                () = end.reached() => Event::Ended,
                order = orders.recv() => Event::Order(order),
                fact = &mut readiness, if !is_ready => Event::Ready(fact),
                answer = answer(&mut asking) => Event::Answered(answer),
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
                Event::Order(Some(Order::Ask)) => {
                    let (probe, said) = (birth.probe.clone(), said.clone());
                    let ask = async move { probe.ask_once(&said, ALIVE_PATIENCE).await };
                    asking = Some(Box::pin(ask));
                }
                Event::Order(Some(Order::Terminate)) => {
                    signals.note("SIGTERM", "asked to end");
                    child.terminate();
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
    if let (false, Some(trouble)) = (is_ready, trouble) {
        log.note(&format!("was never ready: {trouble}"));
    }
    let (exit, left) = child.reap().await;
    captures.drain(DRAIN_PATIENCE).await;
    (ending(&exit), left)
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
        Exit::Signal(signal) => Ending::Signaled(signal),
        Exit::Unknown => Ending::Failed(exit.to_string()),
    }
}

fn capture(child: &mut Child, log: &LifeLog, captures: &Shutdown) -> io::Result<()> {
    if let Some(output) = child.take_output()? {
        captures.spawn(log.clone().drain(output.stdout, Stream::Out));
        captures.spawn(log.clone().drain(output.stderr, Stream::Err));
    }
    Ok(())
}

/// Resolves with what the child said once it also answers its own protocol.
async fn readiness(
    ready: Option<pipe::Receiver>,
    hearing: Hearing<'_>,
    probe: &Probe,
    trouble: &mut Option<String>,
) -> String {
    let fact = match ready {
        Some(pipe) => {
            let mut reader = BufReader::new(pipe);
            let fact = next_line(&mut reader).await.unwrap_or_default();
            hearing.begin(reader);
            fact
        }
        None => String::new(),
    };
    probe.answered(&fact, trouble).await;
    fact
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
