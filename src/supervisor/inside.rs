//! One life of a server inside this process.
//!
//! On a thread and a runtime of its own, or on the supervisor's. A panic of any
//! of its tasks ends this life, as a crash ends a child's; its listening
//! sockets belong to the supervisor and stay, so clients wait in the backlog
//! until the next life accepts them.
//!
//! A server that does not stop cannot be killed; it is abandoned, and ends with
//! the process.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::{mpsc, oneshot};

use super::advised::Advised;
use super::chain::{Ending, Fall};
use super::incarnation::{News, Order, Reporter};
use super::part::{Serve, Serving};
use crate::shutdown::{Drained, Shutdown};

/// What runs, and how long it may take to stop.
pub(super) struct Server {
    pub(super) name: Arc<str>,
    pub(super) serve: Serve,
    pub(super) own_thread: bool,
    pub(super) grace: Duration,
    /// Tracks it, unless it has a thread of its own.
    pub(super) tasks: Shutdown,
}

type Outcome = Result<(), Fall>;

/// Lives the life of a server.
pub(super) async fn live(server: Server, mut orders: mpsc::Receiver<Order>, reporter: Reporter) {
    let shutdown = Shutdown::new();
    let (ready, said) = oneshot::channel();
    let (busy, work) = mpsc::channel(1);
    let serving = Serving {
        shutdown: shutdown.clone(),
        ready,
        busy,
    };
    let ending = match run(server, serving) {
        Ok(ended) => attend((ended, said, work), &shutdown, &mut orders, &reporter).await,
        Err(error) => Ending::CannotStart {
            error: format!("failed to start a thread: {}", Advised(&error)),
            permanent: false,
        },
    };
    let left = Vec::new();
    reporter.say(News::Ended { ending, left }).await;
}

fn run(server: Server, serving: Serving) -> std::io::Result<oneshot::Receiver<Outcome>> {
    let (done, ended) = oneshot::channel();
    let main = main(server.serve, serving, server.grace);
    if !server.own_thread {
        server.tasks.spawn(async move { done.send(main.await) });
        return Ok(ended);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let work = move || {
        let outcome = runtime.block_on(main);
        drop(runtime);
        _ = done.send(outcome);
    };
    std::thread::Builder::new()
        .name(server.name.to_string())
        .spawn(work)?;
    Ok(ended)
}

async fn main(serve: Serve, serving: Serving, grace: Duration) -> Outcome {
    let shutdown = serving.shutdown.clone();
    let serving = AssertUnwindSafe(async move { serve(serving).await }).catch_unwind();
    let outcome = tokio::select! {
        outcome = serving => outcome.unwrap_or_else(|_| Err("panicked".to_owned().into())),
        () = shutdown.panicked() => Err("a task of it panicked".to_owned().into()),
    };
    if let Drained::TimedOut { left } = shutdown.drain(grace).await {
        tracing::warn!(tasks = left, "A server did not stop in time.");
    }
    outcome
}

enum Event {
    Ended(Outcome),
    Said(Option<String>),
    Busy(String),
    Order(Option<Order>),
}

/// What a server says: how it ended, that it is ready, what it is at.
type Ears = (
    oneshot::Receiver<Outcome>,
    oneshot::Receiver<String>,
    mpsc::Receiver<String>,
);

async fn attend(
    (mut ended, mut said, mut work): Ears,
    shutdown: &Shutdown,
    orders: &mut mpsc::Receiver<Order>,
    reporter: &Reporter,
) -> Ending {
    let mut has_said = false;
    loop {
        let event = tokio::select! {
            outcome = &mut ended => Event::Ended(outcome.unwrap_or(Err("panicked".to_owned().into()))),
            word = &mut said, if !has_said => Event::Said(word.ok()),
            Some(what) = work.recv(), if !has_said => Event::Busy(what),
            order = orders.recv() => Event::Order(order),
        };
        match event {
            Event::Ended(outcome) => return ending(outcome, shutdown.has_begun()),
            Event::Said(word) => {
                has_said = true;
                if let Some(fact) = word {
                    reporter.say(News::Ready { fact }).await;
                }
            }
            Event::Busy(what) => reporter.say(News::Busy { what }).await,
            Event::Order(Some(Order::Terminate)) => shutdown.begin(),
            // Nobody asks a server of ours whether it is alive: it would tell.
            Event::Order(Some(Order::Ask)) => {}
            Event::Order(Some(Order::Kill) | None) => {
                shutdown.begin();
                return Ending::Failed("abandoned: it did not stop".to_owned().into());
            }
        }
    }
}

fn ending(outcome: Outcome, asked: bool) -> Ending {
    match outcome {
        Err(fall) => Ending::Failed(fall),
        Ok(()) if asked => Ending::Exited(0),
        Ok(()) => Ending::Failed("ended by itself".to_owned().into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::incarnation::Report;
    use super::*;

    fn server(serve: Serve, own_thread: bool) -> Server {
        Server {
            name: "server".into(),
            serve,
            own_thread,
            grace: Duration::from_millis(100),
            tasks: Shutdown::new(),
        }
    }

    fn begin(server: Server) -> (mpsc::Sender<Order>, mpsc::Receiver<Report>) {
        let (orders, given) = mpsc::channel(4);
        let (reports, news) = mpsc::channel(4);
        let reporter = Reporter {
            part: 0,
            incarnation: 1,
            reports,
            word: tokio::sync::watch::Sender::default(),
        };
        tokio::spawn(live(server, given, reporter));
        (orders, news)
    }

    fn until_stopped() -> Serve {
        Arc::new(|serving: Serving| {
            Box::pin(async move {
                serving.ready.send("fact".to_owned()).unwrap();
                serving.shutdown.begun().await;
                Ok(())
            })
        })
    }

    #[tokio::test]
    async fn a_server_says_its_word_and_ends_when_told_to() {
        for own_thread in [false, true] {
            let (orders, mut news) = begin(server(until_stopped(), own_thread));
            let said = news.recv().await.unwrap().news;
            assert!(matches!(said, News::Ready { fact } if fact == "fact"));
            orders.send(Order::Terminate).await.unwrap();
            let ended = news.recv().await.unwrap().news;
            assert!(
                matches!(
                    ended,
                    News::Ended {
                        ending: Ending::Exited(0),
                        ..
                    }
                ),
                "{ended:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_panic_of_any_of_its_tasks_ends_a_server() {
        let serve: Serve = Arc::new(|serving: Serving| {
            Box::pin(async move {
                serving.shutdown.spawn(async { panic!("broken") });
                std::future::pending().await
            })
        });
        for own_thread in [false, true] {
            let (_orders, mut news) = begin(server(serve.clone(), own_thread));
            let ended = news.recv().await.unwrap().news;
            assert!(
                matches!(
                    ended,
                    News::Ended {
                        ending: Ending::Failed(_),
                        ..
                    }
                ),
                "{ended:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_server_that_does_not_stop_is_abandoned() {
        let serve: Serve = Arc::new(|serving: Serving| {
            Box::pin(async move {
                serving.shutdown.spawn(std::future::pending::<()>());
                std::future::pending().await
            })
        });
        let (orders, mut news) = begin(server(serve, true));
        orders.send(Order::Terminate).await.unwrap();
        orders.send(Order::Kill).await.unwrap();
        assert!(matches!(
            news.recv().await.unwrap().news,
            News::Ended { .. }
        ));
    }
}
