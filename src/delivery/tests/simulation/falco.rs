//! The lives of Falco: how each begins, what it is connected to, how it ends.

use super::*;
use requests::Sent;

/// How long a stop waits for what is on its way, and for nothing else.
const GRACE: Time = 2 * SECOND;

pub(super) struct Falco {
    pub program: Program,
    /// Counts its lives.
    pub life: u32,
    /// Its connections to the transports, one on each way.
    links: Vec<Link>,
    pub is_stopping: bool,
    /// Since when, if it is.
    stops_since: Time,
    /// It dies as soon as it writes to its memo.
    pub dies_writing: bool,
    /// It is asked to stop as soon as a frame has come, which it has not read then.
    pub stops_unread: bool,
    before: Option<Before>,
    /// Connections before this one ended with an earlier life.
    pub first_connection: u32,
    pub wake_at: Option<Time>,
    /// Frames arrive in order, over a connection.
    last_frame: BTreeMap<u32, Time>,
    /// So do requests, at the transport.
    pub last_request: Time,
    /// And acks, over a connection.
    last_ack: BTreeMap<u32, Time>,
    /// What it owes an answer, and since when.
    pub owed: BTreeMap<u32, (Submission, Time)>,
}

/// What was before the event in whose midst it may die.
struct Before {
    files: program::Files,
    /// Of everything that was to happen.
    events: u64,
    /// Which request the event answers.
    answered: Option<usize>,
}

/// A connection to a transport.
#[derive(Debug, Clone, Copy, Default)]
struct Link {
    /// Counts those of its way.
    number: u32,
    is_up: bool,
}

impl Falco {
    pub(super) fn new(options: Options) -> Self {
        Self {
            program: Program::new(options),
            life: 0,
            links: vec![Link::default(); options.ways()],
            is_stopping: false,
            stops_since: 0,
            dies_writing: false,
            stops_unread: false,
            before: None,
            first_connection: 0,
            wake_at: None,
            last_frame: BTreeMap::new(),
            last_request: 0,
            last_ack: BTreeMap::new(),
            owed: BTreeMap::new(),
        }
    }

    pub(super) fn frame_arrives(&mut self, connection: u32, at: Time) -> Time {
        let last = self.last_frame.entry(connection).or_default();
        *last = at.max(*last);
        *last
    }

    pub(super) fn ack_arrives(&mut self, connection: u32, at: Time) -> Time {
        let last = self.last_ack.entry(connection).or_default();
        *last = at.max(*last);
        *last
    }

    /// Its life is over, and all its connections end.
    fn end(&mut self, connection: u32) {
        self.life += 1;
        self.owed.clear();
        self.wake_at = None;
        self.is_stopping = false;
        self.dies_writing = false;
        self.stops_unread = false;
        self.before = None;
        for link in &mut self.links {
            link.is_up = false;
        }
        self.first_connection = connection + 1;
    }

    /// Returns what nobody will be told of.
    pub(super) fn close(&mut self, connection: u32) -> Vec<Submission> {
        self.program.close(connection);
        let is_its =
            |_: &_, (submission, _): &mut (Submission, _)| submission.connection == connection;
        let untold = self.owed.extract_if(.., is_its);
        untold.map(|(_, (submission, _))| submission).collect()
    }

    /// Names the connection that a way has now.
    pub(super) fn link_of(&self, way: usize) -> (u32, u32) {
        (self.life, self.links[way].number)
    }

    /// Whether a way has one.
    pub(super) fn is_linked(&self, way: usize) -> bool {
        self.links[way].is_up
    }
}

impl World {
    pub(super) fn link(&mut self, way: usize) {
        let falco = &mut self.falco;
        let link = &mut falco.links[way];
        if link.is_up || !falco.program.is_running() {
            return;
        }
        link.is_up = true;
        link.number += 1;
        let peer = Peer {
            batches: self.options.batches,
            window: 8192,
        };
        falco.program.link(way, peer);
    }

    /// Falco finds a transport on every way, sooner or later.
    pub(super) fn link_soon(&mut self) {
        for way in 0..self.options.ways() {
            let pause = self.random.between(0, SECOND);
            self.after(pause, Event::Linked(way));
        }
    }

    /// The connection between Falco and a transport ends.
    pub(super) fn unlink(&mut self, way: usize) {
        let falco = &mut self.falco;
        if !std::mem::take(&mut falco.links[way].is_up) {
            return;
        }
        falco.program.unlink(way);
        let pause = self.random.between(0, 2 * SECOND);
        self.after(pause, Event::Linked(way));
    }

    /// Falco dies, with what it knows; all its connections end.
    pub(super) fn crash_falco(&mut self) {
        if !self.falco.program.is_running() {
            return;
        }
        self.falco.end(self.daemon.last_connection());
        self.crash_program();
    }

    /// Before something happens to a Falco that dies as soon as it writes to its
    /// memo.
    pub(super) fn look_at_memo(&mut self, event: &Event) {
        if !self.falco.dies_writing {
            return;
        }
        let falco = &mut self.falco;
        // As long as it lives, they are what they were.
        let before = falco.before.take().map(|before| before.files);
        falco.before = Some(Before {
            files: before.unwrap_or_else(|| falco.program.memo_files()),
            events: self.next,
            answered: match event {
                Event::Answer(answer) => Some(answer.number),
                _ => None,
            },
        });
    }

    /// Falco may die in the midst of writing its memo: what it was about to send
    /// and to tell, nobody sees, and what it was told just now, nobody knows.
    pub(super) fn dies_writing(&mut self) -> bool {
        let falco = &mut self.falco;
        let files = || falco.program.memo_files();
        let Some(before) = falco.before.take_if(|before| before.files != files()) else {
            return false;
        };
        self.falco.program.cut_memo(&before.files, &mut self.random);
        let record = &mut self.record;
        self.queue.retain(|(_, number), event| match event {
            Event::Request(request) if before.events <= *number => {
                record.requests.not_sent(request.number);
                false
            }
            _ => true,
        });
        if let Some(answered) = before.answered {
            let Record {
                requests, known, ..
            } = &mut self.record;
            let Sent { messages, ids, .. } = requests.get(answered);
            let messages = messages.clone();
            known.forget(&messages, ids);
            self.record.forgot(messages.into_iter());
        }
        self.crash_falco();
        true
    }

    /// Falco is asked to stop.
    pub(super) fn stop_falco(&mut self) {
        let falco = &mut self.falco;
        if falco.program.is_running() && !std::mem::replace(&mut falco.is_stopping, true) {
            // It knows itself how long to wait.
            falco.stops_since = self.now;
            falco.program.stop();
        }
    }

    /// Falco has stopped, if it was to and nothing is on its way any more.
    pub(super) fn end_in_peace(&mut self) {
        let falco = &mut self.falco;
        if !falco.is_stopping || !falco.program.is_done() {
            return;
        }
        assert!(falco.owed.is_empty(), "not answered: {:?}", falco.owed);
        let is_soon = self.now < falco.stops_since + GRACE;
        let for_disk = self.options.outbox.is_some_and(|outbox| 0 < outbox.hangs);
        let for_answers = self.record.requests.are_open(falco.life);
        let has_waited = is_soon || for_disk || for_answers;
        assert!(has_waited, "a stop has waited for nothing");
        falco.end(self.daemon.last_connection());
        for connection in self.daemon.connections().collect::<Vec<_>>() {
            // Behind the last acks.
            self.after(4 * MS, Event::HungUp(connection));
        }
        self.stop_program();
    }

    pub(super) fn start_falco(&mut self) {
        let is_troubled = self.is_troubled;
        let program = &mut self.falco.program;
        if program.is_running() {
            return;
        }
        if is_troubled {
            program.disturb_start();
        }
        if !program.start(&self.record, is_troubled) {
            let pause = self.random.between(0, SECOND);
            return self.after(pause, Event::Start);
        }
        // Whoever tried to connect meanwhile was refused.
        self.falco.first_connection = self.daemon.last_connection() + 1;
        self.record.order = Order::default();
        for which in 0..self.options.daemons {
            self.hang_up_on_daemon(which);
        }
        for connection in self.daemon.connections() {
            self.falco.program.open(connection);
        }
        self.link_soon();
    }
}
