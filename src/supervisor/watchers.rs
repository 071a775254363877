//! Those who want to know how a start, a stop or a restart goes.

use std::time::Instant;

use tokio::sync::mpsc;

use super::chain::PartId;
use crate::protocol::control::Event;

/// Until when somebody watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until the chain is ready, or never will be.
    Ready,
    /// Until everything is gone, and only how it goes.
    Stopped,
    /// Until everything is gone, and all that happens before.
    End,
}

/// Everybody who watches; dropping a watcher's sender ends its exchange.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    all: Vec<(Until, mpsc::Sender<Event>)>,
    /// Those who wait for some parts only.
    of_parts: Vec<OfParts>,
}

#[derive(Debug)]
struct OfParts {
    parts: Vec<PartId>,
    aim: Aim,
    events: mpsc::Sender<Event>,
}

/// What somebody waits for some parts to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aim {
    /// Ready.
    Up,
    /// Gone, as was asked then.
    Down(Instant),
}

impl Watchers {
    /// Whether nobody watches.
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty() && self.of_parts.is_empty()
    }

    pub(super) fn add(&mut self, until: Until, events: mpsc::Sender<Event>) {
        self.all.push((until, events));
    }

    /// Adds somebody who hears everything until [`Self::settle`] finds an end
    /// for these parts.
    pub(super) fn add_for(&mut self, parts: Vec<PartId>, aim: Aim, events: mpsc::Sender<Event>) {
        self.of_parts.push(OfParts { parts, aim, events });
    }

    /// Whoever waits for `part` to be ready waits for `other` too: it starts again
    /// with what `part` said.
    pub(super) fn wait_also(&mut self, part: PartId, other: PartId) {
        for waiting in &mut self.of_parts {
            let parts = &mut waiting.parts;
            if waiting.aim == Aim::Up && parts.contains(&part) && !parts.contains(&other) {
                parts.push(other);
            }
        }
    }

    /// Lets go with a last event whoever waits for parts that `end` has one
    /// for.
    pub(super) fn settle(&mut self, end: impl Fn(&[PartId], Aim) -> Option<Event>) {
        self.of_parts
            .retain(|waiting| match end(&waiting.parts, waiting.aim) {
                Some(event) => {
                    _ = waiting.events.try_send(event);
                    false
                }
                None => !waiting.events.is_closed(),
            });
    }

    /// Tells everybody; whoever does not keep up is left behind, and whoever
    /// has heard the last event meant for them is let go.
    pub(super) fn tell(&mut self, event: &Event) {
        self.all.retain(|(until, events)| {
            if !concerns(*until, event) {
                return !events.is_closed();
            }
            events.try_send(event.clone()).is_ok() && !is_last(*until, event)
        });
        // The chain may be ready before these parts are what they are to be.
        if !matches!(event, Event::Ready(_)) {
            self.of_parts
                .retain(|waiting| waiting.events.try_send(event.clone()).is_ok());
        }
    }
}

fn concerns(until: Until, event: &Event) -> bool {
    use Event::{PartStopped, PartStuck, Stopped, Waiting};
    match event {
        PartStopped { .. } | PartStuck { .. } | Stopped { .. } | Waiting { .. } => true,
        _ => until != Until::Stopped,
    }
}

fn is_last(until: Until, event: &Event) -> bool {
    match event {
        Event::Ready(_) | Event::Failed(_) => until == Until::Ready,
        Event::Stopped { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::control::Summary;

    #[test]
    fn each_hears_what_concerns_it_and_then_the_end() {
        let mut watchers = Watchers::default();
        let (start, mut start_events) = mpsc::channel(4);
        let (stop, mut stop_events) = mpsc::channel(4);
        watchers.add(Until::Ready, start);
        watchers.add(Until::Stopped, stop);
        watchers.tell(&Event::Ready(Summary::default()));
        watchers.tell(&Event::Stopped {
            after_ms: 1,
            left: None,
        });
        assert!(matches!(start_events.try_recv(), Ok(Event::Ready(_))));
        assert!(start_events.try_recv().is_err(), "closed");
        assert!(matches!(stop_events.try_recv(), Ok(Event::Stopped { .. })));
        assert!(watchers.all.is_empty());
    }

    #[test]
    fn who_waits_for_parts_hears_how_it_goes_until_they_have_an_end() {
        let mut watchers = Watchers::default();
        let (sender, mut events) = mpsc::channel(4);
        watchers.add_for(vec![1, 2], Aim::Up, sender);
        watchers.tell(&Event::Ready(Summary::default()));
        watchers.settle(|_, _| None);
        let part = "web".to_owned();
        watchers.tell(&Event::PartFinished { part });
        watchers.settle(|parts, _| (parts == [1, 2]).then_some(Event::Done { after_ms: 1 }));
        assert!(matches!(events.try_recv(), Ok(Event::PartFinished { .. })));
        assert!(matches!(events.try_recv(), Ok(Event::Done { .. })));
        assert!(watchers.of_parts.is_empty());
    }

    #[test]
    fn who_waits_for_a_part_to_be_ready_waits_for_those_that_start_again_with_it() {
        let mut watchers = Watchers::default();
        let (sender, _events) = mpsc::channel(4);
        watchers.add_for(vec![1], Aim::Up, sender.clone());
        watchers.add_for(vec![3], Aim::Up, sender.clone());
        watchers.add_for(vec![1], Aim::Down(Instant::now()), sender);
        watchers.wait_also(1, 2);
        watchers.wait_also(1, 2);
        let parts: Vec<_> = watchers
            .of_parts
            .iter()
            .map(|w| w.parts.as_slice())
            .collect();
        assert_eq!(parts, [&[1, 2][..], &[3], &[1]]);
    }
}
