//! Falco: admission, a disk in some stories, lanes, and what its dispatcher does
//! between them.

use std::time::{Duration, Instant};

use super::effects::{effect, lane, message};
use super::steps::{Door, Fate, How};
use super::transport::Transport;
use super::*;
use crate::clock::BootTime;

/// What a daemon has written, and what it is told.
#[derive(Debug, Default)]
pub(super) struct Connection {
    pub wire: VecDeque<Message>,
    /// And why it failed, if it did.
    pub answers: VecDeque<(Message, Option<Class>)>,
    unanswered: usize,
    is_abandoned: bool,
    is_closed: bool,
}

/// See the module.
pub(super) struct Falco {
    options: Options,
    admission: Admission<usize>,
    waits_for_disk: VecDeque<Admitted>,
    kept: BTreeSet<Message>,
    lanes: Lanes<Ticket>,
    transport: Transport,
    pub connections: Vec<Connection>,
    pub record: Record,
    now: Instant,
    boot_time: BootTime,
}

fn config(options: Options) -> Config {
    Config {
        on_rejected: if options.parks {
            OnRejected::Park
        } else {
            OnRejected::Skip
        },
        attempts_max: options.attempts_max,
        lane_effects_max: options.lane_effects_max,
        held_effects_max: 1,
        ..Config::with_attempt_timeout(Duration::from_millis(500))
    }
}

impl Falco {
    pub(super) fn new(options: Options) -> Self {
        let mut falco = Self {
            options,
            admission: Admission::new(),
            waits_for_disk: VecDeque::new(),
            kept: BTreeSet::new(),
            lanes: Lanes::new(config(options)),
            transport: Transport::default(),
            connections: Vec::new(),
            record: Record::default(),
            now: Instant::now(),
            boot_time: BootTime::default(),
        };
        falco.link();
        falco
    }

    pub(super) fn open(&mut self) -> usize {
        self.connections.push(Connection::default());
        self.connections.len() - 1
    }

    pub(super) fn connection(&mut self, number: usize) -> &mut Connection {
        &mut self.connections[number]
    }

    /// Its daemon is gone; what that wrote is read, if the connection `lingers`.
    pub(super) fn abandon(&mut self, number: usize, lingers: bool) {
        let connection = &mut self.connections[number];
        connection.is_abandoned = true;
        if !lingers {
            connection.wire.clear();
            self.close(number);
        }
    }

    fn close(&mut self, number: usize) {
        let connection = &mut self.connections[number];
        connection.is_closed = true;
        let (producer, unanswered) = (producer(number), connection.unanswered);
        self.admission.handle_closed(producer);
        for left in self.admission.handle_left(producer, unanswered) {
            self.connections[left].unanswered -= 1;
        }
    }

    pub(super) fn step(&mut self, step: Step) {
        match step {
            Step::Read {
                connection,
                count,
                door,
            } => self.read(connection, count, door),
            Step::Disk(fate) => self.settle_disk(fate),
            Step::Answer(how) => {
                let is_final = matches!(how, How::Rejected) && !self.options.repeats;
                let how = if is_final { how } else { how.for_now() };
                let published = self.transport.answer(how, &mut self.lanes, self.now);
                for message in published {
                    self.record.published(message);
                }
            }
            Step::AnswerLate => self.transport.answer_late(&mut self.lanes),
            Step::Pass { ms } => {
                let time = Duration::from_millis(ms);
                self.now += time;
                self.boot_time = self.boot_time.after(time);
                self.lanes.handle_timeout(self.now);
                self.admission.handle_timeout(self.boot_time);
            }
            Step::Unlink => {
                self.transport.lose();
                self.lanes.handle_disconnected(self.now);
            }
            Step::Link => self.link(),
            Step::Surplus { connection } => {
                let whose = producer(connection);
                let surplus = Amount::one(1);
                self.lanes.handle_surplus(&lane(), whose, surplus);
            }
            Step::Resume => _ = self.admission.handle_resumed(None, &lane()),
            Step::Send { .. } | Step::Hear { .. } | Step::Break { .. } => {}
        }
    }

    fn link(&mut self) {
        self.lanes.handle_connected(Peer {
            batches: self.options.batches,
            window: 8,
        });
    }

    /// Of a connection that is not closed, counted from the last.
    fn read(&mut self, back: usize, count: usize, door: Door) {
        let open = (0..self.connections.len()).rev();
        let mut open = open.filter(|number| !self.connections[*number].is_closed);
        let Some(number) = open.nth(back) else {
            return;
        };
        for _ in 0..count {
            if let Some(message) = self.connections[number].wire.pop_front() {
                self.connections[number].unanswered += 1;
                self.submit(message, number, door);
            } else if self.connections[number].is_abandoned {
                return self.close(number);
            }
        }
    }

    fn submit(&mut self, message: Message, number: usize, door: Door) {
        let effect = effect(message, self.options);
        let producer = producer(number);
        let now = self.boot_time;
        let admitted = self.admission.handle_submit(effect, producer, number, now);
        let Some(admitted) = admitted else {
            return;
        };
        let holds = self.lanes.holds(&lane());
        match door {
            _ if self.kept.contains(&message) => self.admission.handle_kept(admitted.ticket),
            Door::Open if self.options.has_disk && !holds => {
                self.waits_for_disk.push_back(admitted);
            }
            Door::Open => self.deliver(admitted),
            Door::Shut(class) => {
                let failure = Failure::new(class, "not now");
                self.admission.handle_refused(admitted, failure, now);
            }
            Door::Full if holds => {
                self.lanes.handle_full(&lane());
                let failure = Failure::still_full();
                self.admission.handle_refused(admitted, failure, now);
            }
            Door::Full => {
                let failure = Failure::still_full();
                self.admission.handle_shut_out(admitted, failure, now);
            }
        }
    }

    fn deliver(&mut self, admitted: Admitted) {
        let Admitted {
            effect,
            place,
            ticket,
        } = admitted;
        let submitted = Submitted::new(effect, place, ticket, self.now);
        self.lanes.handle_submit(submitted);
    }

    fn settle_disk(&mut self, fate: Fate) {
        for admitted in std::mem::take(&mut self.waits_for_disk) {
            match fate {
                Fate::Kept => {
                    let message = message(admitted.effect.id);
                    self.record.published(message);
                    self.kept.insert(message);
                    self.admission.handle_kept(admitted.ticket);
                }
                Fate::Refused => {
                    let failure = Failure::new(Class::Unrecorded, "the disk is full");
                    self.admission
                        .handle_refused(admitted, failure, self.boot_time);
                }
                Fate::Around => self.deliver(admitted),
            }
        }
    }

    /// What the dispatcher does after whatever happened: what goes out, and what is told.
    pub(super) fn turn(&mut self) -> Vec<String> {
        let mut told = self.transport.take_all(&mut self.lanes, self.now);
        let now = self.boot_time;
        while self.lanes.poll_forsaken().is_some() {}
        while let Some(settled) = self.lanes.poll_settled() {
            self.admission.handle_settled(settled, now);
        }
        while let Some(effects) = self.lanes.poll_published_late() {
            self.admission.handle_published_late(&effects, now);
        }
        while let Some(lane) = self.lanes.poll_emptied() {
            self.admission.handle_emptied(None, &lane, now);
        }
        while let Some(answer) = self.admission.poll_answer() {
            let failed = answer.outcome.err();
            let message = message(answer.id);
            let text = failed.as_ref().map_or("ok".into(), Failure::to_string);
            told.push(format!("  {message:?} over {}: {text}", answer.origin));
            let class = failed.map(|failure| failure.class);
            if class.is_some_and(Class::is_final) {
                self.record.refused_for_good(message);
            }
            let connection = &mut self.connections[answer.origin];
            connection.unanswered -= 1;
            connection.answers.push_back((message, class));
        }
        self.admission.handle_told();
        told
    }
}

fn producer(number: usize) -> Producer {
    Producer(number as u64)
}
