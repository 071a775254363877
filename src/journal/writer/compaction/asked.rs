//! What an operator asks for: space that else would be gained when it is worth it.

use super::super::super::storage::Storage;
use super::super::core::{Core, Mode};
use super::super::now::Now;
use super::super::worth;

impl<S: Storage> Core<S> {
    /// Gains what can be gained, whatever it is worth: empties the segments up
    /// to the last one with a gain, for none goes before the older ones.
    pub(in crate::journal) fn compact(&mut self, now: Now) {
        let before = (self.stats.compactions, self.index.bytes());
        let active = self.index.segments.back().filter(|_| self.active.is_some());
        if active.is_some_and(|active| self.worth(now).has_gain(active)) {
            _ = self.rotate(now);
        }
        let mut sealed = self.index.segments.iter().take(self.sealed());
        self.compaction.forced_to = self.worth(now).last_gain(sealed.clone());
        self.compaction.at_once_to = sealed.next_back().map(|segment| segment.id);
        let has_gain = self.compaction.forced_to.is_some();
        self.maintain(now);
        let is_moving = self.is_compacting()
            || before.0 < self.stats.compactions
            || self.index.bytes() < before.1;
        self.stats.no_gain = (!is_moving).then(|| self.why_no_gain(has_gain, now).into());
    }

    /// Why a compaction that was asked for does not begin.
    fn why_no_gain(&self, has_gain: bool, now: Now) -> String {
        let front = self.index.segments.front();
        let stuck = self.compaction.stuck.as_ref().map(|stuck| stuck.id);
        match front {
            _ if self.mode != Mode::Working => "the journal cannot be written now".to_owned(),
            _ if !has_gain => worth::all_needed(&self.config),
            Some(front) if front.is_unkept => {
                let name = front.name();
                format!(
                    "{name} is damaged, and the disk did not take a copy of that; it goes once a start has made one"
                )
            }
            Some(front) if stuck == Some(front.id) => {
                let name = front.name();
                format!("{name} cannot be emptied; `falco outbox verify` may say why")
            }
            front => {
                let copied = front.map_or(0, |front| self.worth(now).needed(front));
                worth::no_room(copied, self.watch.space.free)
            }
        }
    }
}
