use super::super::event::Action;
use super::one::HELD_MAX;
use super::*;
use crate::protocol::ably::message::{Message, flags};

const RETRY: Duration = Duration::from_secs(15);
const REFUSED_RETRY: Duration = Duration::from_secs(30);

struct Rig {
    channels: Channels,
    out: Out,
    now: Instant,
}

/// What a test sees: what was sent, what was reported.
#[derive(Debug, PartialEq)]
enum Seen {
    Sent(Wire, Option<String>),
    Attached,
    Unattached { code: u32, refused: bool },
    Lost,
    Message(String),
}

impl Rig {
    fn new() -> Self {
        let timers = ChannelTimers {
            retry: RETRY,
            refused_retry: REFUSED_RETRY,
        };
        Self {
            channels: Channels::new(timers, 7),
            out: Out::default(),
            now: Instant::now(),
        }
    }

    /// Connected, with channel `c` attached at serial `s0`.
    fn attached() -> Self {
        let mut rig = Self::new();
        rig.connect();
        rig.attach();
        rig.receive(message(Wire::Attached, Some("s0")));
        rig.seen();
        rig
    }

    fn connect(&mut self) {
        self.channels.connected(self.now, &mut self.out);
    }

    fn attach(&mut self) {
        self.channels.attach("c", self.now, &mut self.out);
    }

    fn release(&mut self) {
        self.channels.release("c", self.now, &mut self.out);
    }

    fn receive(&mut self, message: ProtocolMessage) {
        self.channels
            .handle_message(message, self.now, &mut self.out);
    }

    /// Moves to the next timeout and handles it.
    fn wake(&mut self) -> Duration {
        let at = self.channels.poll_timeout().expect("something is due");
        let waited = at - self.now;
        self.now = at;
        self.channels.handle_timeout(at, &mut self.out);
        waited
    }

    fn seen(&mut self) -> Vec<Seen> {
        let sent = self.out.actions.drain(..).map(|action| match action {
            Action::Send(message) => Seen::Sent(message.action, message.channel_serial),
            other => panic!("{other:?}"),
        });
        let reported = self.out.events.drain(..).map(|event| match event {
            Event::Attached { .. } => Seen::Attached,
            Event::Unattached {
                reason, refused, ..
            } => Seen::Unattached {
                code: reason.code,
                refused,
            },
            Event::ContinuityLost { .. } => Seen::Lost,
            Event::Messages(message) => {
                Seen::Message(message.messages[0].name.clone().unwrap_or_default())
            }
            Event::State { .. } => panic!("no connection here"),
        });
        sent.chain(reported).collect()
    }
}

fn message(action: Wire, serial: Option<&str>) -> ProtocolMessage {
    ProtocolMessage {
        channel: Some("c".to_owned()),
        channel_serial: serial.map(str::to_owned),
        ..ProtocolMessage::new(action)
    }
}

fn resumed(serial: &str) -> ProtocolMessage {
    ProtocolMessage {
        flags: Some(flags::RESUMED),
        ..message(Wire::Attached, Some(serial))
    }
}

fn content(name: &str, serial: &str) -> ProtocolMessage {
    ProtocolMessage {
        messages: vec![Message {
            name: Some(name.to_owned()),
            ..Message::default()
        }],
        ..message(Wire::Message, Some(serial))
    }
}

fn attach_at(serial: Option<&str>) -> Seen {
    Seen::Sent(Wire::Attach, serial.map(str::to_owned))
}

fn error(action: Wire, code: u32) -> ProtocolMessage {
    ProtocolMessage {
        error: Some(ErrorInfo::new(code, "no")),
        ..message(action, None)
    }
}

#[test]
fn attaching_waits_for_a_connection_and_asks_for_messages_both_ways() {
    let mut rig = Rig::new();
    rig.attach();
    assert!(rig.seen().is_empty());
    assert_eq!(rig.channels.poll_timeout(), None);
    rig.connect();
    let Some(Action::Send(attach)) = rig.out.actions.front() else {
        panic!("an ATTACH");
    };
    assert_eq!(attach.flags, Some(flags::SUBSCRIBE | flags::PUBLISH));
    rig.seen();
    rig.receive(message(Wire::Attached, Some("s0")));
    assert_eq!(rig.seen(), [Seen::Attached]);
    rig.attach();
    assert_eq!(rig.seen(), [Seen::Attached], "again, it is at once");
}

#[test]
fn every_connected_attaches_again_from_the_last_message_handed_out() {
    let mut rig = Rig::attached();
    rig.receive(content("m1", "s1"));
    rig.receive(ProtocolMessage {
        action: Wire::Presence,
        ..content("p", "s2")
    });
    assert_eq!(rig.seen(), [Seen::Message("m1".into())]);
    rig.channels.disconnected();
    rig.connect();
    assert_eq!(rig.seen(), [attach_at(Some("s2"))]);
    rig.receive(resumed("s2"));
    assert_eq!(rig.seen(), [Seen::Attached]);
}

#[test]
fn an_attachment_that_did_not_resume_lost_continuity_but_the_first_did_not() {
    let mut rig = Rig::attached();
    rig.channels.disconnected();
    rig.connect();
    rig.seen();
    rig.receive(message(Wire::Attached, Some("s9")));
    assert_eq!(rig.seen(), [Seen::Lost, Seen::Attached]);
}

#[test]
fn an_unasked_attached_is_lost_continuity_unless_it_is_resumed() {
    let mut rig = Rig::attached();
    rig.receive(resumed("s1"));
    assert!(rig.seen().is_empty());
    rig.receive(message(Wire::Attached, Some("s2")));
    assert_eq!(rig.seen(), [Seen::Lost]);
}

#[test]
fn a_message_before_its_attached_is_held_back_and_not_lost() {
    let mut rig = Rig::attached();
    rig.channels.disconnected();
    rig.connect();
    rig.seen();
    rig.receive(content("early", "s5"));
    assert!(rig.seen().is_empty());
    // The connection breaks before ATTACHED: nothing was skipped.
    rig.channels.disconnected();
    rig.connect();
    assert_eq!(rig.seen(), [attach_at(Some("s0"))]);
    rig.receive(resumed("s0"));
    assert_eq!(rig.seen(), [Seen::Attached, Seen::Message("early".into())]);
}

#[test]
fn more_than_can_be_held_back_is_lost_and_said_so() {
    let mut rig = Rig::attached();
    rig.channels.disconnected();
    rig.connect();
    for _ in 0..=HELD_MAX {
        rig.receive(content("early", "s1"));
    }
    rig.seen();
    rig.receive(resumed("s0"));
    assert_eq!(rig.seen()[..2], [Seen::Lost, Seen::Attached]);
}

#[test]
fn an_unanswered_attach_suspends_the_channel_and_is_tried_again() {
    let mut rig = Rig::new();
    rig.connect();
    rig.attach();
    rig.seen();
    assert_eq!(rig.wake(), REQUEST_TIMEOUT);
    let suspended = Seen::Unattached {
        code: 90_007,
        refused: false,
    };
    assert_eq!(rig.seen(), [suspended]);
    assert!(rig.channels.refusal("c").is_some());
    let wait = rig.wake();
    assert!((RETRY.mul_f64(0.8)..=RETRY).contains(&wait), "{wait:?}");
    assert_eq!(rig.seen(), [attach_at(None)]);
    rig.receive(message(Wire::Attached, None));
    assert_eq!(rig.seen(), [Seen::Attached]);
    assert_eq!(rig.channels.poll_timeout(), None);
}

#[test]
fn retries_of_a_suspended_channel_wait_for_the_connection() {
    let mut rig = Rig::new();
    rig.connect();
    rig.attach();
    rig.wake();
    rig.channels.disconnected();
    assert_eq!(rig.channels.poll_timeout(), None);
    rig.seen();
    rig.connect();
    assert_eq!(rig.seen(), [attach_at(None)]);
}

#[test]
fn a_detached_by_the_server_attaches_again_at_once_and_suspends_while_attaching() {
    let mut rig = Rig::attached();
    rig.receive(error(Wire::Detached, 90_001));
    assert_eq!(rig.seen(), [attach_at(Some("s0"))]);
    rig.receive(error(Wire::Detached, 90_001));
    let suspended = Seen::Unattached {
        code: 90_001,
        refused: false,
    };
    assert_eq!(rig.seen(), [suspended]);
    rig.receive(error(Wire::Detached, 90_001));
    assert_eq!(rig.seen(), [attach_at(Some("s0"))], "when suspended, too");
}

#[test]
fn an_error_fails_the_channel_which_forgets_its_place_and_is_tried_again_slowly() {
    let mut rig = Rig::attached();
    rig.receive(error(Wire::Error, 40_160));
    let failed = Seen::Unattached {
        code: 40_160,
        refused: true,
    };
    assert_eq!(rig.seen(), [failed]);
    assert_eq!(rig.wake(), REFUSED_RETRY);
    assert_eq!(rig.seen(), [attach_at(None)]);
}

#[test]
fn an_attachment_without_the_right_to_messages_is_a_refusal() {
    let mut rig = Rig::new();
    rig.connect();
    rig.attach();
    rig.seen();
    rig.receive(ProtocolMessage {
        flags: Some(flags::PUBLISH),
        ..message(Wire::Attached, Some("s0"))
    });
    let failed = Seen::Unattached {
        code: 40_160,
        refused: true,
    };
    assert_eq!(rig.seen(), [Seen::Sent(Wire::Detach, None), failed]);
    rig.receive(message(Wire::Detached, None));
    assert!(rig.seen().is_empty());
}

#[test]
fn a_released_channel_is_detached_and_forgotten() {
    let mut rig = Rig::attached();
    rig.release();
    assert_eq!(rig.seen(), [Seen::Sent(Wire::Detach, None)]);
    rig.receive(content("late", "s1"));
    rig.receive(message(Wire::Detached, None));
    assert!(rig.seen().is_empty());
    assert!(rig.channels.by_name.is_empty());
}

#[test]
fn a_detach_is_sent_again_on_a_new_connection_and_given_up_in_time() {
    let mut rig = Rig::attached();
    rig.release();
    rig.channels.disconnected();
    rig.seen();
    rig.connect();
    assert_eq!(rig.seen(), [Seen::Sent(Wire::Detach, None)]);
    assert_eq!(rig.wake(), REQUEST_TIMEOUT);
    assert!(rig.channels.by_name.is_empty());
}

#[test]
fn an_attached_for_what_is_not_wanted_is_answered_with_detach() {
    let mut rig = Rig::attached();
    rig.release();
    rig.seen();
    rig.receive(message(Wire::Attached, None));
    assert_eq!(rig.seen(), [Seen::Sent(Wire::Detach, None)]);
    rig.receive(message(Wire::Detached, None));
    rig.receive(message(Wire::Attached, None));
    assert_eq!(rig.seen(), [Seen::Sent(Wire::Detach, None)]);
}

#[test]
fn wanting_a_channel_again_while_it_detaches_attaches_it_anew_afterwards() {
    let mut rig = Rig::attached();
    rig.release();
    rig.attach();
    rig.seen();
    rig.receive(message(Wire::Detached, None));
    assert_eq!(rig.seen(), [attach_at(None)]);
    rig.receive(message(Wire::Attached, None));
    assert_eq!(rig.seen(), [Seen::Attached], "a new beginning has no gap");
}

#[test]
fn a_suspended_connection_suspends_channels_which_keep_their_place() {
    let mut rig = Rig::attached();
    rig.channels
        .suspend_all(&ErrorInfo::new(80_002, "away"), &mut rig.out);
    let suspended = Seen::Unattached {
        code: 80_002,
        refused: false,
    };
    assert_eq!(rig.seen(), [suspended]);
    rig.connect();
    assert_eq!(rig.seen(), [attach_at(Some("s0"))]);
}

#[test]
fn a_failed_connection_fails_channels_which_forget_their_place() {
    let mut rig = Rig::attached();
    rig.channels
        .fail_all(&ErrorInfo::new(80_000, "no"), &mut rig.out);
    assert!(matches!(
        rig.seen()[..],
        [Seen::Unattached { refused: false, .. }]
    ));
    assert_eq!(rig.channels.poll_timeout(), None);
    rig.connect();
    assert_eq!(rig.seen(), [attach_at(None)]);
}
