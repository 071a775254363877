//! When to try again (RTB1), and Ably's default timers.

use std::time::Duration;

use super::chance::Chance;

/// How long anything that is answered may take: connect, attach, detach,
/// close (TO3l11).
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// No two automatic connection attempts start closer together, or a server
/// that accepts and drops us would keep a core busy.
pub(super) const ATTEMPT_SPACING: Duration = Duration::from_secs(1);

/// The delay before retry number `attempt`, counted from 1 (RTB1):
/// `base * min((attempt + 2) / 3, 2)`, of which jitter takes up to a fifth.
pub(super) fn delay(base: Duration, attempt: u32, chance: &mut Chance) -> Duration {
    let growth = (f64::from(attempt.max(1)) + 2.0) / 3.0;
    let jitter = 0.8 + 0.2 * chance.unit();
    base.mul_f64(growth.min(2.0) * jitter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_by_thirds_to_twice_the_base_less_a_fifth_of_jitter() {
        let base = Duration::from_secs(15);
        for seed in 0..100 {
            let mut chance = Chance::new(seed);
            for (attempt, full) in [(1, 15.0), (2, 20.0), (3, 25.0), (4, 30.0), (9, 30.0)] {
                let delay = delay(base, attempt, &mut chance).as_secs_f64();
                assert!((full * 0.8..=full).contains(&delay), "{attempt}: {delay}");
            }
        }
    }
}
