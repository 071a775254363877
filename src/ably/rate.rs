//! Pacing to what the server takes: a token bucket.
//!
//! No SDK honours `maxInboundRate`; a backlog flushed at full speed is
//! answered with 42911 per message, or with the connection's end.
//!
//! A server may take less than it names, because others publish too. Refused
//! once, the bucket is empty; refused again soon after, the rate is halved, and
//! grows back by a twentieth of what the server names each second.

use std::time::{Duration, Instant};

/// The part of a second whose allowance may be spent at once.
const BURST: f64 = 0.5;

/// Refusals closer together than this belong to one burst.
const BURST_OVER: Duration = Duration::from_millis(100);

/// A refusal sooner than this after another says that the rate is too high.
const AGAIN: Duration = Duration::from_secs(2);

/// Of the named rate, what a lowered one regains each second.
const REGAINED: f64 = 0.05;

/// Of the named rate, what is left at least.
const LEFT: f64 = 1.0 / 32.0;

/// Messages that may be sent now, and how fast more are earned.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    per_second: f64,
    /// What the server names.
    ceiling: f64,
    refused_at: Option<Instant>,
    /// Below zero after a batch larger than a full bucket: the debt is waited
    /// off before anything else is sent.
    balance: f64,
    counted_at: Option<Instant>,
}

impl Rate {
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second.max(1));
        Self {
            per_second,
            ceiling: per_second,
            refused_at: None,
            balance: (per_second * BURST).max(1.0),
            counted_at: None,
        }
    }

    /// Changes the rate; what was earned or owed stays, up to a full bucket, and
    /// a rate that was lowered stays low.
    pub(super) fn set(&mut self, per_second: u32, now: Instant) {
        self.earn(now);
        let part = self.per_second / self.ceiling;
        self.ceiling = f64::from(per_second.max(1));
        self.per_second = (self.ceiling * part).max(1.0);
        self.balance = self.balance.min(self.burst());
    }

    /// Spends `count` if that much is there, or as much as there can be.
    pub(super) fn try_spend(&mut self, count: u32, now: Instant) -> bool {
        self.earn(now);
        let is_enough = self.balance >= self.needed_for(count);
        if is_enough {
            self.balance -= f64::from(count);
        }
        is_enough
    }

    /// Whether [`Rate::try_spend`] would succeed.
    pub(super) fn can_spend(&mut self, count: u32, now: Instant) -> bool {
        self.earn(now);
        self.balance >= self.needed_for(count)
    }

    fn needed_for(&self, count: u32) -> f64 {
        f64::from(count).min(self.burst())
    }

    /// The server says that it was too much: the allowance is gone, and, if it
    /// says so again and again, half of the rate.
    pub(super) fn exhaust(&mut self, now: Instant) {
        self.earn(now);
        self.balance = self.balance.min(0.0);
        let since = self.refused_at.map(|at| now.saturating_duration_since(at));
        if since.is_some_and(|since| since < BURST_OVER) {
            return;
        }
        self.refused_at = Some(now);
        if since.is_some_and(|since| since < AGAIN) {
            let least = (self.ceiling * LEFT).max(1.0);
            self.per_second = (self.per_second / 2.0).max(least);
        }
    }

    /// When [`Rate::try_spend`] can next succeed.
    pub(super) fn ready_at(&self, count: u32, now: Instant) -> Instant {
        let missing = (self.needed_for(count) - self.balance).max(0.0) / self.per_second;
        // A hair later, so that rounding never wakes us too early.
        let wait = Duration::from_secs_f64(missing) + Duration::from_micros(1);
        self.counted_at.unwrap_or(now) + wait
    }

    fn earn(&mut self, now: Instant) {
        let since = self.counted_at.replace(now).unwrap_or(now);
        let seconds = now.saturating_duration_since(since).as_secs_f64();
        let earned = seconds * self.per_second;
        let regained = seconds * self.ceiling * REGAINED;
        self.per_second = (self.per_second + regained).min(self.ceiling);
        self.balance = (self.balance + earned).min(self.burst());
    }

    fn burst(&self) -> f64 {
        (self.per_second * BURST).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many single messages go out in `seconds`, waking when asked to.
    fn sent_in(rate: &mut Rate, start: Instant, seconds: u64) -> u32 {
        let (mut now, mut sent) = (start, 0);
        while now < start + Duration::from_secs(seconds) {
            while rate.try_spend(1, now) {
                sent += 1;
            }
            now = rate.ready_at(1, now);
        }
        sent
    }

    #[test]
    fn a_backlog_leaves_at_the_rate_after_half_a_second_of_burst() {
        let sent = sent_in(&mut Rate::new(50), Instant::now(), 10);
        assert!((520..=526).contains(&sent), "{sent}");
    }

    #[test]
    fn a_batch_waits_until_all_of_it_may_go() {
        let start = Instant::now();
        let mut rate = Rate::new(100);
        assert!(rate.try_spend(32, start));
        assert!(!rate.try_spend(32, start));
        let ready = rate.ready_at(32, start) - start;
        assert!((0.13..0.15).contains(&ready.as_secs_f64()), "{ready:?}");
        assert!(rate.try_spend(32, start + ready));
    }

    #[test]
    fn a_batch_larger_than_a_full_bucket_is_sent_from_a_full_one_and_paid_off() {
        let start = Instant::now();
        let mut rate = Rate::new(10);
        assert!(rate.try_spend(32, start));
        assert!(!rate.try_spend(1, start));
        let ready = rate.ready_at(1, start) - start;
        assert!((2.7..2.9).contains(&ready.as_secs_f64()), "{ready:?}");
        assert!(rate.try_spend(1, start + ready));
        assert!(!rate.try_spend(32, start + ready), "the bucket is not full");
    }

    /// A server that counts with a bucket of one second, and takes no debt.
    #[test]
    fn a_server_that_counts_seconds_never_sees_too_much() {
        for per_second in [50, 1000] {
            let (mut now, mut ours) = (Instant::now(), Rate::new(per_second));
            let (mut theirs, mut at) = (f64::from(per_second), now);
            for step in 0..1000_u32 {
                let count = if step % 3 == 0 { 32 } else { 1 };
                while !ours.try_spend(count, now) {
                    now = ours.ready_at(count, now);
                }
                let earned = (now - at).as_secs_f64() * f64::from(per_second);
                theirs = (theirs + earned).min(f64::from(per_second));
                at = now;
                theirs -= f64::from(count);
                assert!(theirs >= 0.0, "{per_second}: {step}");
            }
        }
    }

    #[test]
    fn a_refusal_by_the_server_empties_the_bucket() {
        let start = Instant::now();
        let mut rate = Rate::new(100);
        rate.exhaust(start);
        assert!(!rate.try_spend(1, start));
        assert!(rate.try_spend(1, start + Duration::from_millis(11)));
    }

    #[test]
    fn a_server_that_refuses_again_and_again_is_given_half_and_then_a_little_more_each_second() {
        let mut now = Instant::now();
        let mut rate = Rate::new(1000);
        rate.exhaust(now);
        for _ in 0..50 {
            rate.exhaust(now + Duration::from_millis(50));
        }
        assert!((rate.per_second - 1000.0).abs() < 1.0, "one burst");
        now += Duration::from_millis(200);
        rate.exhaust(now);
        assert!((rate.per_second - 500.0).abs() < 1.0);
        rate.set(100, now);
        assert!((rate.per_second - 50.0).abs() < 1.0, "it stays low");
        now += Duration::from_secs(5);
        rate.can_spend(1, now);
        assert!((rate.per_second - 75.0).abs() < 1.0);
        now += Duration::from_secs(10);
        rate.can_spend(1, now);
        assert!((rate.per_second - 100.0).abs() < 1.0);
        for _ in 0..20 {
            now += Duration::from_millis(200);
            rate.exhaust(now);
        }
        assert!(rate.per_second >= 100.0 / 32.0);
    }

    #[test]
    fn a_waking_at_the_time_it_names_is_never_too_early() {
        let mut now = Instant::now();
        let mut rate = Rate::new(7);
        while rate.try_spend(1, now) {}
        for _ in 0..1000 {
            now = rate.ready_at(1, now);
            assert!(rate.try_spend(1, now));
        }
    }
}
