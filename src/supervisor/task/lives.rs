//! The parts as the driver has them: what they are made of, and their lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::super::advised::Advised;
use super::super::chain::{Action, Ending, PartId};
use super::super::incarnation::{self, Birth, News, ORDERS_MAX, Order, Reporter};
use super::super::inside::{self, Server};
use super::super::part::{PartSpec, Run, Tie, Unprepared};
use super::super::said::Word;
use super::Supervisor;
use crate::shortage::Shortage;

/// A part, and its life while it has one.
pub(super) struct Member {
    pub(super) spec: PartSpec,
    pub(super) life: Option<Life>,
}

impl Member {
    pub(super) fn rest(&self) {
        if let Run::Process(process) = &self.spec.run
            && let Some(at_rest) = &process.at_rest
        {
            at_rest();
        }
    }
}

/// A life under way.
pub(super) struct Life {
    pub(super) incarnation: u32,
    orders: mpsc::Sender<Order>,
    pub(super) pid: Option<u32>,
    /// What it says of itself.
    pub(super) word: watch::Receiver<Word>,
}

/// Members without a life, for a chain that has just been made of `specs`.
pub(super) fn members(specs: Vec<PartSpec>) -> BTreeMap<PartId, Member> {
    let member = |spec| Member { spec, life: None };
    specs.into_iter().map(member).enumerate().collect()
}

impl Supervisor {
    pub(super) fn carry_out(&mut self) {
        loop {
            while let Some(change) = self.chain.poll_change() {
                self.announce(change);
            }
            self.note_states();
            match self.chain.poll_action() {
                Some(Action::Start(part, incarnation)) => self.start(part, incarnation),
                Some(Action::Ask(part, incarnation)) => self.order(part, incarnation, Order::Ask),
                Some(Action::Terminate(part, incarnation)) => {
                    self.order(part, incarnation, Order::Terminate);
                }
                Some(Action::Kill(part, incarnation)) => self.order(part, incarnation, Order::Kill),
                None => {
                    self.rest();
                    return self.let_go();
                }
            }
        }
    }

    /// What lives share is let go of where none is to come by itself.
    fn rest(&self) {
        let parts = self.chain.parts().filter(|(_, part)| part.is_at_rest());
        for member in parts.filter_map(|(id, _)| self.members.get(&id)) {
            member.rest();
        }
    }

    fn start(&mut self, part: PartId, incarnation: u32) {
        let (orders, given) = mpsc::channel(ORDERS_MAX);
        let (word, said) = watch::channel(Word::default());
        let reporter = Reporter {
            part,
            incarnation,
            reports: self.reports.clone(),
            word,
        };
        let begun = self.begin_life(part, given, reporter.clone());
        if let Some(member) = self.members.get_mut(&part) {
            member.life = Some(Life {
                incarnation,
                orders,
                pid: None,
                word: said,
            });
        }
        if let Err(error) = begun {
            let ending = cannot_start(&error);
            self.shutdown.spawn(async move {
                reporter
                    .say(News::Ended {
                        ending,
                        left: Vec::new(),
                    })
                    .await;
            });
        }
    }

    fn begin_life(
        &self,
        part: PartId,
        orders: mpsc::Receiver<Order>,
        reporter: Reporter,
    ) -> Result<(), Unprepared> {
        let Some(Member { spec, .. }) = self.members.get(&part) else {
            return Err("it is no part any more".into());
        };
        match &spec.run {
            Run::Server(server) => {
                let server = Server {
                    name: Arc::clone(&spec.plan.name),
                    serve: server.serve.clone(),
                    own_thread: server.own_thread,
                    grace: spec.plan.stop_grace,
                    tasks: self.shutdown.clone(),
                };
                self.shutdown.spawn(inside::live(server, orders, reporter));
            }
            Run::Process(process) => {
                let log = self.config.logs.of(&spec.plan.name, process.log_limits);
                let launch = (process.launch)(&self.facts).inspect_err(|error| {
                    // Whoever looks for its log finds one, and why there is no more.
                    log.life(reporter.incarnation)
                        .note(&Advised(error).to_string());
                })?;
                let lifeline = match process.tie {
                    Tie::Lifeline | Tie::Guard(_) => Some(self.lifeline.try_clone()),
                    Tie::Kernel => None,
                };
                let lifeline = lifeline.transpose().map_err(Unprepared::Descriptors)?;
                let birth = Birth {
                    spawner: self.config.spawner.clone(),
                    log,
                    journal: self.journal.clone(),
                    tie: process.tie.clone(),
                    lifeline: lifeline.map(Into::into),
                    ready: process.ready.clone(),
                    alive: process.alive.clone(),
                    stop_signal: process.stop_signal,
                    notices: process.notices.clone(),
                };
                self.shutdown
                    .spawn(incarnation::live(launch, birth, orders, reporter));
            }
        }
        Ok(())
    }

    fn order(&mut self, part: PartId, incarnation: u32, order: Order) {
        if let Some(life) = self.life(part, incarnation) {
            // Room for every kind; a life that is over needs no order.
            _ = life.orders.try_send(order);
        }
    }

    pub(super) fn life(&mut self, part: PartId, incarnation: u32) -> Option<&mut Life> {
        let life = self.members.get_mut(&part)?.life.as_mut();
        life.filter(|l| l.incarnation == incarnation)
    }

    /// The process of a part, if it has one of its own.
    pub(super) fn pid(&self, part: PartId) -> Option<u32> {
        self.members.get(&part)?.life.as_ref()?.pid
    }

    pub(super) fn name(&self, part: PartId) -> &str {
        let member = self.members.get(&part);
        member.map_or("?", |member| &member.spec.plan.name)
    }

    /// The names of `parts`, as they are told.
    pub(super) fn names(&self, parts: &[PartId]) -> Vec<String> {
        parts.iter().map(|id| self.name(*id).to_owned()).collect()
    }
}

/// What is missing or wrong stays so until a person mends it; what the system
/// did not give it may give the next time.
fn cannot_start(error: &Unprepared) -> Ending {
    Ending::CannotStart {
        error: Advised(error).to_string(),
        permanent: Shortage::behind(error).is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::libc::{EACCES, EAGAIN, EMFILE, ENFILE, ENOENT, ENOMEM};
    use std::io;

    /// Whether a part is given up for good because of this error, wherever on
    /// the way to its first process it comes up.
    fn is_final(errno: i32) -> bool {
        let said = || io::Error::from_raw_os_error(errno);
        let unread = Unprepared::Unread {
            what: "env_file",
            source: said().into(),
        };
        let endings = [unread, Unprepared::Descriptors(said())].map(|e| cannot_start(&e));
        let [one, other] = endings.map(|ending| match ending {
            Ending::CannotStart { permanent, .. } => permanent,
            other => panic!("{other}"),
        });
        assert_eq!(one, other);
        one
    }

    #[test]
    fn a_part_that_cannot_start_for_want_of_something_is_tried_again() {
        for errno in [EMFILE, ENFILE, ENOMEM, EAGAIN] {
            assert!(!is_final(errno), "{errno}");
        }
    }

    #[test]
    fn a_part_that_is_made_of_something_wrong_is_not() {
        for errno in [ENOENT, EACCES] {
            assert!(is_final(errno), "{errno}");
        }
    }
}
