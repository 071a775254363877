//! Ids that are settled, while somebody sets the wall clock.

use super::*;

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

/// A journal that is opened again and again, while time passes.
struct Story {
    disk: Lying,
    config: Config,
    now: Now,
}

impl Story {
    /// An effect was published just now.
    fn new() -> Self {
        let config = Config {
            segment_bytes_max: 1 << 20,
            ..small(Sync::Always)
        };
        let mut rig = Rig::new(&config);
        settle(&mut rig, 1);
        rig.core.close(rig.now).expect("closed");
        let Rig { disk, now, .. } = rig;
        Self { disk, config, now }
    }

    fn open(&self) -> (Rig, Recovered) {
        Rig::open_at(&self.disk, &self.config, self.now).expect("it opens")
    }

    /// Opens and closes it; how long ago each effect that it remembers was settled.
    fn ages(&self) -> Vec<u64> {
        let (mut rig, recovered) = self.open();
        rig.core.close(self.now).expect("closed");
        let ages = recovered
            .done
            .iter()
            .map(|done| self.now.ms.saturating_sub(done.at_ms));
        // An append takes some milliseconds.
        ages.map(|age| (age + 100) / MINUTE).collect()
    }

    fn pass(&mut self, minutes: u64) {
        self.now.at += Duration::from_millis(minutes * MINUTE);
        self.now.later(minutes * MINUTE);
    }
}

fn settle(rig: &mut Rig, i: u64) {
    rig.commit(vec![Entry::Effect(effect(i))])
        .expect("recorded");
    let settled = Settled::from(id(i));
    rig.commit(vec![Entry::Done(vec![settled])])
        .expect("recorded");
}

#[test]
fn an_id_is_remembered_for_its_time_whatever_the_clock_is_set_to() {
    for set in [|ms: &mut u64| *ms += HOUR, |ms: &mut u64| *ms -= HOUR] {
        let mut story = Story::new();
        set(&mut story.now.ms);
        assert_eq!(story.ages(), [0]);
        story.pass(7);
        assert_eq!(story.ages(), [7]);
        set(&mut story.now.ms);
        story.pass(7);
        assert_eq!(story.ages(), [14]);
        story.pass(2);
        assert!(story.ages().is_empty());
    }
}

#[test]
fn in_another_life_of_the_machine_the_wall_clock_is_believed() {
    let mut story = Story::new();
    story.pass(7);
    story.disk.begin_life();
    story.now.boot = BootTime::default();
    assert_eq!(story.ages(), [7]);
    story.disk.begin_life();
    story.now.ms += 9 * MINUTE;
    assert!(story.ages().is_empty());
}

#[test]
fn a_clock_that_is_set_is_followed_soon_and_what_was_written_before_keeps_its_age() {
    for set in [|ms: &mut u64| *ms += HOUR, |ms: &mut u64| *ms -= HOUR] {
        let mut story = Story::new();
        let (mut rig, _) = story.open();
        settle(&mut rig, 2);
        set(&mut rig.now.ms);
        rig.pass(Duration::from_secs(61));
        rig.now.later(2 * MINUTE);
        rig.tick();
        settle(&mut rig, 3);
        rig.core.close(rig.now).expect("closed");
        story.now = rig.now;
        story.pass(1);
        assert_eq!(story.ages(), [3, 3, 1]);
        // What was written before it was set tells another time there.
        story.disk.begin_life();
        story.now.boot = BootTime::default();
        assert_eq!(story.ages().last(), Some(&1));
    }
}

#[test]
fn what_is_copied_keeps_its_age() {
    for set in [|ms: &mut u64| *ms += HOUR, |ms: &mut u64| *ms -= HOUR] {
        let mut story = Story::new();
        story.config = small(Sync::Always);
        let (mut rig, _) = story.open();
        (2..40).for_each(|i| settle(&mut rig, i));
        rig.core.close(rig.now).expect("closed");
        story.now = rig.now;
        set(&mut story.now.ms);
        story.pass(5);
        let (mut rig, _) = story.open();
        let before = segments(&rig);
        idle(&mut rig, 100);
        assert!(segments(&rig) < before, "{before}");
        rig.core.close(rig.now).expect("closed");
        story.pass(5);
        assert_eq!(story.ages(), [10; 39]);
    }
}

#[test]
fn ids_are_given_up_with_their_segment_when_their_time_is_over_whatever_the_clock_says() {
    let story = Story::new();
    let (mut rig, _) = story.open();
    rig.now.ms += HOUR;
    idle(&mut rig, 10);
    let kept = segments(&rig);
    rig.now.ms -= 2 * HOUR;
    rig.now.later(16 * MINUTE);
    idle(&mut rig, 10);
    assert!(segments(&rig) < kept, "{kept}");
}
