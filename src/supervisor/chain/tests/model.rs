//! Whatever happens in whatever order: one life at a time, every command does
//! something or says why not, and a stop ends.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::super::sidecar::Scope;
use super::*;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Debug, Clone)]
enum Step {
    Ready(usize),
    End(usize, i32),
    Answer(usize, bool),
    Wait(u64),
    Resume,
    Restart(usize),
    StopPart(usize),
    RestartAll,
    Reload(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let part = 0..NAMES.len();
    let step = prop_oneof![
        6 => part.clone().prop_map(Step::Ready),
        4 => (part.clone(), prop_oneof![Just(0), Just(1), Just(78)])
            .prop_map(|(part, code)| Step::End(part, code)),
        2 => (part.clone(), any::<bool>()).prop_map(|(part, ok)| Step::Answer(part, ok)),
        4 => (1u64..12_000).prop_map(Step::Wait),
        1 => Just(Step::Resume),
        2 => part.clone().prop_map(Step::Restart),
        2 => part.prop_map(Step::StopPart),
        1 => Just(Step::RestartAll),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(there, changed)| Step::Reload(there, changed)),
    ];
    prop::collection::vec(step, 0..60)
}

/// The parts whose bit is set; each comes after the one two before it, and
/// every other takes those after it along.
fn plans(there: u8) -> Vec<Plan> {
    let names = NAMES.iter().enumerate();
    let there = names.filter(|(at, _)| there & (1 << at) != 0);
    let plan = |(at, name): (usize, &&str)| {
        let after: Vec<&str> = at.checked_sub(2).map(|on| NAMES[on]).into_iter().collect();
        let mut plan = plan(name, &after);
        plan.required = at != 3;
        if at % 2 == 0 {
            plan.restart.scope = Scope::Dependents;
        }
        plan.pace = (at == 1).then_some(Pace {
            every: secs(1),
            failures: 2,
            resume_grace: secs(5),
        });
        plan
    };
    there.map(plan).collect()
}

/// The world beside the chain: what lives in it.
struct World {
    chain: Chain,
    now: Instant,
    alive: BTreeMap<PartId, u32>,
    asked: BTreeMap<PartId, u32>,
}

impl World {
    fn carry_out(&mut self) {
        while let Some(action) = self.chain.poll_action() {
            match action {
                Action::Start(id, incarnation) => {
                    let other = self.alive.insert(id, incarnation);
                    assert_eq!(other, None, "two lives of part {id}");
                }
                Action::Ask(id, incarnation) => {
                    assert_eq!(self.asked.insert(id, incarnation), None, "asked twice");
                }
                Action::Terminate(id, incarnation) | Action::Kill(id, incarnation) => {
                    assert_eq!(
                        self.alive.get(&id),
                        Some(&incarnation),
                        "a signal to nobody"
                    );
                }
            }
        }
        while let Some(change) = self.chain.poll_change() {
            if let Change::Removed { part } = change {
                assert!(!self.alive.contains_key(&part), "forgotten alive");
            }
        }
        let unknown = |id: &&PartId| self.chain.part(**id).is_none();
        assert_eq!(self.alive.keys().find(unknown), None, "a life nobody owns");
    }

    fn take(&mut self, step: &Step) {
        let now = self.now;
        let picked = |part: usize| self.chain.parts().map(|(id, _)| id).nth(part);
        match *step {
            Step::Ready(part) => {
                if let Some((id, incarnation)) = self.living(part) {
                    self.chain.handle_ready(id, incarnation, now);
                }
            }
            Step::End(part, code) => {
                if let Some((id, incarnation)) = self.living(part) {
                    self.end(id, incarnation, code);
                }
            }
            Step::Answer(part, ok) => {
                if let Some((id, incarnation)) = self.asked.pop_first().filter(|_| part < 5) {
                    let answer = ok.then_some(()).ok_or_else(String::new);
                    self.chain.handle_pulse(id, incarnation, answer, now);
                }
            }
            Step::Wait(ms) => {
                self.now += Duration::from_millis(ms);
                self.chain.handle_timeout(self.now);
            }
            Step::Resume => self.chain.handle_resume(now),
            Step::Restart(part) => {
                if let Some(id) = picked(part) {
                    self.command(id, &After::Again, |chain| chain.restart(id, now).map(drop));
                }
            }
            Step::StopPart(part) => {
                if let Some(id) = picked(part) {
                    self.command(id, &After::Stay, |chain| chain.stop_part(id, now).map(drop));
                }
            }
            Step::RestartAll => _ = self.chain.restart_all(now),
            Step::Reload(there, changed) => {
                let changed = |name: &str| {
                    let at = NAMES.iter().position(|n| *n == name).unwrap();
                    changed & (1 << at) != 0
                };
                _ = self.chain.reload(plans(there | 1), changed, now);
            }
        }
        self.carry_out();
    }

    fn living(&self, nth: usize) -> Option<(PartId, u32)> {
        self.alive.iter().nth(nth).map(|(id, n)| (*id, *n))
    }

    fn end(&mut self, id: PartId, incarnation: u32, code: i32) {
        self.alive.remove(&id);
        self.asked.remove(&id);
        let ending = Ending::Exited(code);
        self.chain
            .handle_end(id, incarnation, ending, self.now, 0.5);
        self.carry_out();
    }

    /// A command that is not refused changes something, or is under way.
    fn command(
        &mut self,
        id: PartId,
        aim: &After,
        command: impl FnOnce(&mut Chain) -> Result<(), Refused>,
    ) {
        let before = format!("{:?}", self.chain);
        if command(&mut self.chain).is_ok() && before == format!("{:?}", self.chain) {
            let part = self.chain.part(id).unwrap();
            let after = match &part.state {
                State::Stopping { after, .. } => Some(after),
                _ => part.leaving.as_ref(),
            };
            assert_eq!(after, Some(aim), "nothing changed: {before}");
        }
    }

    /// Stops; everybody ends when told to, but for those in `stubborn`, who
    /// have to be killed or outlive even that.
    fn stop(&mut self, stubborn: u8) {
        // A start that failed has begun to stop before, and time went on.
        let begins = self.chain.gone_by().is_none();
        self.chain.stop(self.now);
        let gone_by = self.chain.gone_by().unwrap();
        self.carry_out();
        for _ in 0..100 {
            if self.chain.outlook() == Outlook::Stopped {
                let bound = gone_by + 5 * KILL_PATIENCE_MIN;
                assert!(!begins || self.now <= bound, "out of bounds");
                return;
            }
            for (id, incarnation) in self.alive.clone() {
                let stopping = matches!(
                    self.chain.part(id).map(|part| &part.state),
                    Some(State::Stopping { .. })
                );
                if stopping && stubborn & (1 << (id % 8)) == 0 {
                    self.end(id, incarnation, 0);
                }
            }
            if let Some(due) = self.chain.poll_timeout() {
                self.now = due.max(self.now);
                self.chain.handle_timeout(self.now);
            }
            self.carry_out();
        }
        panic!("a stop that does not end: {:?}", self.chain);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn there_is_one_life_at_a_time_no_command_is_lost_and_a_stop_ends(
        steps in steps(),
        stubborn in any::<u8>(),
    ) {
        let now = Instant::now();
        let mut world = World {
            chain: Chain::new(plans(0b11111), now),
            now,
            alive: BTreeMap::new(),
            asked: BTreeMap::new(),
        };
        world.carry_out();
        for step in &steps {
            world.take(step);
        }
        world.stop(stubborn);
    }
}
