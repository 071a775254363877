//! The transport and the server behind it.

use uuid::Uuid;

use super::*;
use crate::protocol::id::IdempotencyKey;

/// How long the server drops copies of an id.
const WINDOW: Time = 120 * SECOND;

/// A request on its way to the transport.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub life: u32,
    pub link: u32,
    pub way: usize,
    pub id: RequestId,
    /// What the server knows its messages by.
    pub keys: Vec<IdempotencyKey>,
    pub base: Uuid,
    /// What the record knows it by.
    pub number: usize,
    pub messages: Vec<Message>,
    pub was_late: bool,
}

/// An answer on its way to Falco.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub life: u32,
    pub link: u32,
    pub way: usize,
    pub id: RequestId,
    pub number: usize,
    /// Code, and whether it may be retried; `None` is an acceptance.
    pub refusal: Option<(Option<u32>, Option<bool>)>,
}

impl Answer {
    /// Whether it says for certain if the request was published.
    pub(super) fn is_certain(&self) -> bool {
        !matches!(self.refusal, Some((Some(50_003), _)))
    }
}

pub(super) struct Server {
    options: Options,
    /// By route.
    hung_until: [Time; 2],
    /// When an id was taken.
    seen: BTreeMap<(u8, String), Time>,
    /// What an object was set to first.
    pub first_sets: BTreeMap<u8, Request>,
}

impl Server {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            hung_until: [0; 2],
            seen: BTreeMap::new(),
            first_sets: BTreeMap::new(),
        }
    }

    /// The server never takes these.
    pub(super) fn refuses(message: Message) -> bool {
        message.1 % 13 == 7
    }

    /// The transport dies of these, at first.
    fn dies_of(message: Message) -> bool {
        message.1 % 29 == 11
    }

    /// Nothing is taken on this route before that; what came first is first then.
    pub(super) fn hang(&mut self, route: usize, until: Time) {
        let hung_until = &mut self.hung_until[route];
        *hung_until = until.max(*hung_until);
    }

    /// Whether this is no copy of what was taken a short while ago.
    fn is_new(&mut self, request: &Request, now: Time) -> bool {
        let (session, _) = request.messages[0];
        if self.options.sets_objects(session) {
            return true;
        }
        let id = match &request.keys[..] {
            [key] => key.to_string(),
            _ => request.base.to_string(),
        };
        let before = self.seen.insert((session, id), now);
        let forgets = self.options.flaw == Some(Flaw::ForgetsIds);
        before.is_none_or(|before| now - before >= WINDOW || forgets)
    }
}

impl World {
    pub(super) fn take_request(&mut self, mut request: Request) {
        let route = request.way % self.options.routes;
        for (session, _) in &request.messages {
            assert_eq!(route, self.options.route(*session), "the wrong route");
        }
        let hung_until = self.server.hung_until[route];
        if self.now < hung_until {
            return self.after(hung_until - self.now, Event::Request(request));
        }
        let is_stale = (request.life, request.link) != self.falco.link_of(request.way);
        if is_stale && !request.was_late {
            // The transport died with it, or will send it when it is back.
            if self.random.chance(500) {
                return;
            }
            request.was_late = true;
            let late = self.random.between(0, 6 * SECOND);
            return self.after(late, Event::Request(request));
        }
        let is_deadly = request.messages.iter().any(|m| Server::dies_of(*m));
        if is_deadly && self.is_troubled {
            return self.unlink(request.way);
        }
        let refusal = self.refusal(&request);
        let is_published = match refusal {
            None => true,
            Some((Some(50_003), _)) => self.random.chance(500),
            Some(_) => false,
        };
        if is_published && self.server.is_new(&request, self.now) {
            self.publish(&request);
        }
        self.answer(&request, refusal);
    }

    fn publish(&mut self, request: &Request) {
        self.record.published(&self.taken(request));
        let (session, _) = request.messages[0];
        let is_ordered = self.options.habit(session) != Habit::Carelessness;
        if self.options.sets_objects(session) && is_ordered {
            self.record.was_set(request);
            self.set_back(request);
        }
        if self.options.parks_for_good(session) {
            self.record.check_parked(&request.messages);
        }
    }

    fn refusal(&mut self, request: &Request) -> Option<(Option<u32>, Option<bool>)> {
        if request.messages.iter().any(|m| Server::refuses(*m)) {
            return Some((Some(40_009), Some(false)));
        }
        let is_refused = self.is_troubled && self.random.chance(self.server.options.refusals);
        is_refused.then(|| match self.random.between(0, 2) {
            0 => (Some(42_911), Some(true)),
            1 => (Some(50_003), Some(true)),
            _ => (Some(80_003), Some(true)),
        })
    }

    fn answer(&mut self, request: &Request, refusal: Option<(Option<u32>, Option<bool>)>) {
        let answer = Answer {
            life: request.life,
            link: request.link,
            way: request.way,
            id: request.id,
            number: request.number,
            refusal,
        };
        let Options {
            answers_lost,
            answers_late,
            answers_doubled,
            ..
        } = self.server.options;
        if self.is_troubled && self.random.chance(answers_lost) {
            return;
        }
        let copies = 1 + u64::from(self.random.chance(answers_doubled));
        for _ in 0..copies {
            let is_late = self.is_troubled && self.random.chance(answers_late);
            let takes = if is_late {
                self.random.between(3, 9) * SECOND
            } else {
                self.random.between(1, 150) * MS
            };
            self.after(takes, Event::Answer(answer.clone()));
        }
    }
}
