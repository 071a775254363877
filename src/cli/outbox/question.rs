//! What can be asked: about what is kept, and about lanes that are parked.

use std::path::Path;

use super::ask;
use crate::cli::exit::{Exit, Failure};
use crate::ingest::offline::{self, OfflineError};
use crate::journal::{self, Home};
use crate::paths::Paths;
use crate::protocol::control::{Event, Request};
use crate::protocol::lane::{LaneAnswer, LaneRequest, LaneVerb};
use crate::protocol::outbox::{OutboxAnswer, OutboxRequest, OutboxVerb};

/// What can be asked of Falco, and of its journal.
pub(in crate::cli) trait Question {
    /// What is said.
    type Answer;

    /// Which command says what there is now.
    const LOOK: &'static str;

    /// Whether it changes nothing.
    fn only_looks(&self) -> bool;

    /// Whether the journal knows an answer, too.
    fn is_kept(&self) -> bool {
        true
    }

    /// As Falco is asked.
    fn request(&self) -> Request;

    /// What Falco says, if it is an answer to this.
    fn heard(event: Event) -> Option<Self::Answer>;

    /// What the journal in `directory`, of `home`, says; `beside` a Falco that has
    /// it open.
    async fn offline(
        &self,
        directory: &Path,
        config: &journal::Config,
        home: &Home,
        beside: bool,
    ) -> Result<Self::Answer, OfflineError>;

    /// Why nothing was done.
    fn failure(answer: &Self::Answer) -> Option<Failure>;

    /// What is said where nothing runs and nothing is kept.
    fn without_outbox(paths: &Paths, silence: Failure) -> Failure;
}

impl Question for OutboxRequest {
    type Answer = OutboxAnswer;
    const LOOK: &'static str = "`falco outbox list`";

    fn only_looks(&self) -> bool {
        use OutboxVerb::{List, Show, Stats};
        matches!(self.verb, List | Show | Stats)
    }

    fn request(&self) -> Request {
        Request::Outbox(self.clone())
    }

    fn heard(event: Event) -> Option<OutboxAnswer> {
        match event {
            Event::Outbox(answer) => Some(*answer),
            _ => None,
        }
    }

    async fn offline(
        &self,
        directory: &Path,
        config: &journal::Config,
        home: &Home,
        beside: bool,
    ) -> Result<OutboxAnswer, OfflineError> {
        let mut answer = offline::ask(directory, config, home, self).await?;
        if let Some(stats) = answer.stats.as_mut().filter(|_| beside) {
            "unanswered".clone_into(&mut stats.state);
        }
        Ok(answer)
    }

    fn failure(answer: &OutboxAnswer) -> Option<Failure> {
        let error = answer.error.as_ref()?;
        Some(if answer.absent {
            ask::absent(error)
        } else {
            Failure::new(Exit::Failed, error)
        })
    }

    fn without_outbox(paths: &Paths, silence: Failure) -> Failure {
        if silence.exit() == Exit::NotRunning {
            ask::no_outbox(paths)
        } else {
            silence
        }
    }
}

impl Question for LaneRequest {
    type Answer = LaneAnswer;
    const LOOK: &'static str = "`falco lane list`";

    fn only_looks(&self) -> bool {
        matches!(self.verb, LaneVerb::List | LaneVerb::Stuck)
    }

    fn is_kept(&self) -> bool {
        self.verb != LaneVerb::Stuck
    }

    fn request(&self) -> Request {
        Request::Lanes(self.clone())
    }

    fn heard(event: Event) -> Option<LaneAnswer> {
        match event {
            Event::Lanes(answer) => Some(*answer),
            _ => None,
        }
    }

    async fn offline(
        &self,
        directory: &Path,
        config: &journal::Config,
        home: &Home,
        _beside: bool,
    ) -> Result<LaneAnswer, OfflineError> {
        offline::ask_lanes(directory, config, home, self).await
    }

    fn failure(answer: &LaneAnswer) -> Option<Failure> {
        let error = answer.error.as_ref()?;
        Some(Failure::new(Exit::Failed, error))
    }

    /// Lanes of daemons are known to a Falco that runs only.
    fn without_outbox(_paths: &Paths, silence: Failure) -> Failure {
        silence
    }
}
