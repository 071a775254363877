use super::*;
use std::time::Duration;

use super::super::reply::Answer;

struct Rig {
    queue: Queue,
    now: Instant,
    answer_to: mpsc::Sender<Answer>,
    answers: mpsc::Receiver<Answer>,
}

impl Rig {
    fn new() -> Self {
        let (answer_to, answers) = mpsc::channel(100);
        Self {
            queue: Queue::default(),
            now: Instant::now(),
            answer_to,
            answers,
        }
    }

    fn push(&mut self, channel: &str, key: &str, patience: u64) {
        let reply = Reply::new(self.answer_to.clone(), "object.ack.v1", key.into(), 0);
        self.queue.push(ObjectSet {
            channel: channel.into(),
            key: key.into(),
            value: b"1".to_vec(),
            id: "".into(),
            deadline: self.now + Duration::from_secs(patience),
            reply,
        });
    }

    fn next(&mut self) -> Option<String> {
        let set = self.queue.next()?;
        Some(set.key.to_string())
    }
}

#[test]
fn sets_of_a_channel_are_done_one_by_one_and_channels_take_turns() {
    let mut rig = Rig::new();
    for (channel, key) in [("a", "a1"), ("a", "a2"), ("b", "b1"), ("a", "a3")] {
        rig.push(channel, key, 5);
    }
    assert_eq!(rig.next().as_deref(), Some("a1"));
    assert_eq!(rig.next().as_deref(), Some("b1"));
    assert_eq!(rig.next(), None);
    rig.queue.done("a".into());
    assert_eq!(rig.next().as_deref(), Some("a2"));
    rig.queue.done("b".into());
    rig.queue.done("a".into());
    assert_eq!(rig.next().as_deref(), Some("a3"));
    rig.queue.done("a".into());
    assert!(rig.queue.channels.is_empty() && rig.queue.waiting == 0);
}

#[test]
fn a_set_that_waits_too_long_is_answered_and_not_done() {
    let mut rig = Rig::new();
    rig.push("a", "runs", 9);
    assert_eq!(rig.next().as_deref(), Some("runs"));
    rig.answers.try_recv().expect("dropped, so answered");
    rig.push("a", "late", 1);
    rig.push("a", "in time", 5);
    rig.push("b", "late too", 1);
    let at = |secs| rig.now + Duration::from_secs(secs);
    assert_eq!(rig.queue.ring_at, Some(at(1)));
    rig.queue.expire(at(1));
    assert_eq!(rig.queue.ring_at, Some(at(5)));
    for _ in 0..2 {
        let answer = rig.answers.try_recv().expect("answered");
        assert!(answer.request_id.starts_with("late"));
        assert!(answer.result.expect_err("too late").retryable);
    }
    assert_eq!(rig.next(), None);
    rig.queue.done("a".into());
    assert_eq!(rig.next().as_deref(), Some("in time"));
    assert_eq!(rig.queue.waiting, 0);
}
