//! One life of one part: started, asked until it answers, told to end, gone.
//!
//! A task of its own owns each life and with it the child, so that a signal
//! goes to a child that is not reaped yet or to nobody. It takes orders from
//! the supervisor task and reports back; the last report is always `Ended`,
//! after the last process of the child's group has gone and what the child
//! wrote is in its log.

mod asking;
mod birth;
mod ends;
mod hearing;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};

use super::advised::Advised;
use super::chain::{Ending, PartId};
use super::part::{Launch, ReadyBy};
use super::probe::Unanswered;
use super::said::{Said, Word};
use super::sidecar::LinePattern;
use super::tap::Tap;
use crate::clock;
use crate::net::unix::Notice;
use crate::process::capture::LifeLog;
use crate::process::child::Child;
use crate::protocol::log::Stream;
use crate::shutdown::Shutdown;

use asking::{answer, ask, pulse};
pub(super) use birth::Birth;
use birth::{Ears, start};
pub(super) use ends::signal;
use ends::{Signals, ending};
use hearing::{Hearing, heed, next_notice, readiness};

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
    /// It could not be asked how it is.
    Unasked { why: String },
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

enum Event {
    Ended,
    Ready(String),
    Answered(Result<(), Unanswered>),
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
                Ending::Failed(format!("cannot be watched: {}", Advised(&error)).into()),
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
    let mut asking: Option<BoxFuture<'_, Result<(), Unanswered>>> = None;
    {
        let hearing = Hearing {
            tasks: &captures,
            journal: &birth.journal,
        };
        let heard = (ready, hearing);
        let readiness = readiness(heard, &birth.ready, &found, &mut trouble, reporter);
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
                    reporter.say(pulse(answer)).await;
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
