//! Those who want to know how a start, a stop or a restart goes.

use tokio::sync::mpsc;

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
}

impl Watchers {
    pub(super) fn add(&mut self, until: Until, events: mpsc::Sender<Event>) {
        self.all.push((until, events));
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
    }
}

fn concerns(until: Until, event: &Event) -> bool {
    use Event::{PartStopped, PartStuck, Stopped};
    match event {
        PartStopped { .. } | PartStuck { .. } | Stopped { .. } => true,
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
        watchers.tell(&Event::Stopped { after_ms: 1 });
        assert!(matches!(start_events.try_recv(), Ok(Event::Ready(_))));
        assert!(start_events.try_recv().is_err(), "closed");
        assert!(matches!(stop_events.try_recv(), Ok(Event::Stopped { .. })));
        assert!(watchers.all.is_empty());
    }
}
