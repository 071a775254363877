//! Who is asked: the Falco that runs, else the journal itself.
//!
//! A Falco that runs and does not answer, because it is suspended or busy, is
//! waited for so long and no longer. What only looks then reads the disk, beside
//! it and without its lock; what would change something is not even sent, for it
//! might be done long after somebody was told that it was not. A Falco that ends
//! under a question is asked again in its next life by what only looks.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::of;
use super::question::Question;
use crate::cli::chain;
use crate::cli::config::{self, Given};
use crate::cli::exit::{Exit, Failure};
use crate::cli::status::not_running;
use crate::cli::typed;
use crate::control::client::{self, Exchange};
use crate::ingest::offline::OfflineError;
use crate::journal::{Home, OpenError};
use crate::paths::Paths;
use crate::protocol::control::{Event, Request};
use crate::protocol::outbox::{OutboxStatus, OutboxVerb};

/// How long the disk may take for a change.
const PATIENCE: Duration = Duration::from_secs(35);

/// How long a Falco that runs may take to say anything at all, and one that ends
/// again and again to say what it was asked.
const SILENCE: Duration = Duration::from_secs(3);

/// How soon a Falco that ended is asked again.
const ENDED_PAUSE: Duration = Duration::from_millis(25);

/// How long somebody else may have the journal: another `falco outbox`, or a
/// Falco that starts and will answer itself.
const LOCKED_PATIENCE: Duration = Duration::from_secs(5);

/// How soon it is asked for again.
const LOCKED_PAUSE: Duration = Duration::from_millis(25);

/// Who is asked, by one verb.
pub(in crate::cli) struct Oracle<'a> {
    paths: &'a Paths,
    /// Whether the verb changes nothing.
    only_looks: bool,
    /// Why Falco is not asked any more.
    silence: Option<Failure>,
    /// Whether something was changed already.
    has_changed: bool,
}

/// What came of asking Falco.
enum Asked<A> {
    Answered(A),
    /// Nothing, and it had nothing to change.
    Silent(Failure),
    /// The same, because it ended.
    Ended(Failure),
}

impl<'a> Oracle<'a> {
    /// For a verb that only looks.
    pub(in crate::cli) fn to_look(paths: &'a Paths) -> Self {
        Self {
            paths,
            only_looks: true,
            silence: None,
            has_changed: false,
        }
    }

    /// For a verb that changes something.
    pub(in crate::cli) fn to_change(paths: &'a Paths) -> Self {
        Self {
            only_looks: false,
            ..Self::to_look(paths)
        }
    }

    /// The answer of the Falco that runs, else of the journal itself.
    pub(in crate::cli) async fn ask<Q: Question>(
        &mut self,
        question: &Q,
    ) -> Result<Q::Answer, Failure> {
        let began = Instant::now();
        let answer = loop {
            let silence = match self.ask_falco(question).await? {
                Asked::Answered(answer) => break answer,
                Asked::Ended(_) if began.elapsed() < SILENCE => {
                    sleep(ENDED_PAUSE).await;
                    continue;
                }
                Asked::Silent(silence) | Asked::Ended(silence) => silence,
            };
            match self.ask_disk(question, silence).await? {
                Ok(answer) => break answer,
                Err(error) if is_passing(&error) && began.elapsed() < LOCKED_PATIENCE => {
                    sleep(LOCKED_PAUSE).await;
                }
                Err(OfflineError::Open(error)) => return Err(cannot_open(&error)),
                Err(error) => return Err(not_changed(&error)),
            }
        };
        if let Some(failure) = Q::failure(&answer) {
            return Err(failure);
        }
        self.has_changed |= !question.only_looks();
        Ok(answer)
    }

    /// What Falco says, or why it says nothing.
    async fn ask_falco<Q: Question>(&self, question: &Q) -> Result<Asked<Q::Answer>, Failure> {
        let only_looks = question.only_looks();
        let silence = match &self.silence {
            Some(silence) => Some(silence.clone()),
            None if only_looks => None,
            None => self.listen().await.err(),
        };
        if let Some(silence) = silence {
            return Ok(Asked::Silent(silence));
        }
        let request = question.request();
        let begun = Exchange::begin(&self.paths.control_socket(), &request).await;
        // It never had the request, or not all of it.
        let mut exchange = match begun {
            Ok(exchange) => exchange,
            Err(error) => return Ok(Asked::Silent(not_running(self.paths, &error))),
        };
        let patience = if only_looks { SILENCE } else { PATIENCE };
        match exchange.next(patience).await {
            Ok(Event::Refused(refusal)) => match Failure::from_refusal(refusal) {
                silence if silence.exit() == Exit::NotRunning => Ok(Asked::Silent(silence)),
                failure if failure.exit() != Exit::Unknown => Err(failure),
                late if only_looks => Ok(Asked::Ended(late)),
                late => Err(unsure::<Q>(late)),
            },
            Ok(event) => match Q::heard(event) {
                Some(answer) => Ok(Asked::Answered(answer)),
                None => Err(Failure::new(Exit::Unknown, "Falco answers something else")),
            },
            Err(error) => match not_running(self.paths, &error) {
                silence if only_looks => Ok(Asked::Silent(silence)),
                silence if silence.exit() == Exit::NotRunning => {
                    let ended = Failure::new(Exit::Unknown, "Falco ended before it answered");
                    Err(unsure::<Q>(ended))
                }
                silence => Err(unsure::<Q>(silence)),
            },
        }
    }

    /// Whether Falco says anything at all.
    async fn listen(&self) -> Result<(), Failure> {
        let anything = Request::Outbox(of(OutboxVerb::Stats, Vec::new()));
        let said = client::ask(&self.paths.control_socket(), &anything, SILENCE).await;
        said.map(drop)
            .map_err(|error| not_running(self.paths, &error))
    }

    async fn ask_disk<Q: Question>(
        &mut self,
        question: &Q,
        silence: Failure,
    ) -> Result<Result<Q::Answer, OfflineError>, Failure> {
        let runs = silence.exit() != Exit::NotRunning;
        if runs && !self.only_looks {
            let none = if self.has_changed {
                "nothing more was changed"
            } else {
                "nothing was changed"
            };
            return Err(silence.adding(none));
        }
        if !question.is_kept() {
            return Err(silence);
        }
        let directory = self.paths.outbox();
        if !is_there(&directory)? {
            return Err(Q::without_outbox(self.paths, silence));
        }
        if runs && self.silence.is_none() {
            silence.note("this is what is on disk");
            self.silence = Some(silence);
        }
        let config = config::load(self.paths, &Given::new(config::variables()))?.right()?;
        let journal = chain::journal(&config);
        let home = Home::marked_in(self.paths.run());
        let answer = question.offline(&directory, &journal, &home, runs);
        Ok(answer.await)
    }
}

/// The numbers.
pub(super) async fn stats(oracle: &mut Oracle<'_>) -> Result<OutboxStatus, Failure> {
    let answer = oracle.ask(&of(OutboxVerb::Stats, Vec::new())).await?;
    let none = || Failure::new(Exit::Unknown, "Falco said no numbers");
    let mut stats = answer.stats.ok_or_else(none)?;
    typed::complete_outbox(&mut stats, oracle.paths);
    Ok(stats)
}

/// Whether there is an outbox, as far as we may look.
pub(super) fn is_there(directory: &Path) -> Result<bool, Failure> {
    directory.try_exists().map_err(|error| {
        let exit = Exit::of_call(&error, Exit::Failed);
        let text = format!("failed to look for {}: {error}", directory.display());
        Failure::new(exit, text)
    })
}

pub(super) fn no_outbox(paths: &Paths) -> Failure {
    absent(&format!("there is no outbox in {}", paths.base().display()))
}

/// There is no outbox to look at, and `why` says it.
pub(super) fn absent(why: &str) -> Failure {
    Failure::new(Exit::NotRunning, why)
        .hint("a chain with delivery.mode = \"outbox\" in falco.toml makes one")
}

/// Falco had a change, and nobody knows what it has done.
fn unsure<Q: Question>(failure: Failure) -> Failure {
    let look = Q::LOOK;
    failure.adding(&format!(
        "it may or may not have happened: look with {look} before you ask again"
    ))
}

fn not_changed(error: &OfflineError) -> Failure {
    let failure = Failure::of(Exit::Failed, error);
    match error {
        OfflineError::Unrecorded(why) if why.may_come_back() => failure.hint(
            "it may have happened all the same: look with `falco outbox list` before you ask again",
        ),
        _ => failure,
    }
}

/// Whether somebody else is at it, and soon is not.
fn is_passing(error: &OfflineError) -> bool {
    match error {
        OfflineError::Open(OpenError::Locked { .. }) => true,
        OfflineError::Open(error) => is_gone(error),
        OfflineError::Unrecorded(_) => false,
    }
}

/// Whether a segment that was listed is gone: it was no longer needed.
pub(super) fn is_gone(error: &OpenError) -> bool {
    matches!(error, OpenError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// What it means that a journal cannot be opened.
pub(super) fn cannot_open(error: &OpenError) -> Failure {
    match error {
        OpenError::Locked { .. } | OpenError::Astray(_) => {
            Failure::of(Exit::TimedOut, error).hint("try again")
        }
        OpenError::Insecure { .. } => Failure::of(Exit::Permission, error),
        OpenError::NewerVersion { .. } | OpenError::UnknownRecord { .. } => {
            Failure::of(Exit::Config, error).hint("use that version, or a later one")
        }
        OpenError::Read { .. } => Failure::of(Exit::Disk, error),
        OpenError::Io { source, .. } => {
            Failure::of(Exit::of_call(source, Exit::CannotCreate), error)
        }
        OpenError::Thread(_) => Failure::of(Exit::CannotCreate, error),
    }
}
