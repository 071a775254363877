//! How long something took, by fixed bounds.

use std::time::Duration;

use crate::protocol::control::LatencyStatus;

/// In microseconds: from a disk that answers at once to an effect's deadline.
const BOUNDS_US: [u64; 15] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 10_000_000, 30_000_000,
];

#[derive(Debug, Default)]
pub(super) struct Latency {
    counts: [u64; BOUNDS_US.len()],
    count: u64,
    sum_us: u64,
}

impl Latency {
    pub(super) fn count(&mut self, took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let within = BOUNDS_US.partition_point(|bound| *bound < us);
        if let Some(count) = self.counts.get_mut(within) {
            *count += 1;
        }
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
    }

    pub(super) fn status(&self) -> LatencyStatus {
        LatencyStatus {
            count: self.count,
            sum_us: self.sum_us,
            buckets: BOUNDS_US.into_iter().zip(self.counts).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket_and_what_took_longer_than_all_is_only_counted() {
        let mut latency = Latency::default();
        for us in [250, 251, 31_000_000] {
            latency.count(Duration::from_micros(us));
        }
        let status = latency.status();
        assert_eq!(status.buckets[..2], [(250, 1), (500, 1)]);
        assert_eq!(
            status.buckets.iter().map(|(_, count)| count).sum::<u64>(),
            2
        );
        assert_eq!((status.count, status.sum_us), (3, 31_000_501));
    }
}
