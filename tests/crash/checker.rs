//! Compares what a daemon was told with what the server has: knows the promises
//! and nothing else.

use std::collections::HashMap;

/// What one lane of a daemon sent, in order; all of it was acked SUCCESS.
pub type Sent = HashMap<String, Vec<String>>;

/// What a look at a channel says, in order.
pub type Seen = HashMap<String, Vec<String>>;

/// Nothing is lost, nothing overtakes, and nothing is seen twice.
pub fn check_seen(sent: &Sent, seen: &Seen) {
    for (lane, sent) in sent {
        let seen = seen.get(lane).map_or(&[][..], Vec::as_slice);
        let lost: Vec<_> = sent.iter().filter(|one| !seen.contains(one)).collect();
        assert!(lost.is_empty(), "{lane}: acked and lost: {lost:?}");
        assert_eq!(inversions(sent, seen), 0, "{lane}: out of order: {seen:?}");
        for (one, times) in times(seen) {
            assert_eq!(times, 1, "{lane}: {one} was seen {times} times");
        }
    }
}

/// No effect went out more often than once and once more for every crash.
pub fn check_copies(sent: &Sent, published: &Seen, crashes: usize) {
    for (lane, sent) in sent {
        let times = times(published.get(lane).map_or(&[][..], Vec::as_slice));
        for one in sent {
            let times = times.get(one.as_str()).copied().unwrap_or_default();
            assert!(times >= 1, "{lane}: acked and never published: {one}");
            assert!(times <= 1 + crashes, "{lane}: {one} went out {times} times");
        }
    }
}

/// How often each is there.
fn times(seen: &[String]) -> HashMap<&str, usize> {
    let mut times = HashMap::new();
    for one in seen {
        *times.entry(one.as_str()).or_default() += 1;
    }
    times
}

/// Effects whose first appearance is before that of one sent earlier.
fn inversions(sent: &[String], seen: &[String]) -> usize {
    let mut first: HashMap<&str, usize> = HashMap::new();
    for (at, one) in seen.iter().enumerate() {
        first.entry(one).or_insert(at);
    }
    let places: Vec<usize> = sent
        .iter()
        .filter_map(|one| first.get(one.as_str()))
        .copied()
        .collect();
    places.windows(2).filter(|two| two[0] > two[1]).count()
}

#[test]
fn the_checker_finds_what_is_lost_reordered_or_repeated() {
    let lane = |numbers: &[&str]| {
        let numbers = numbers.iter().map(ToString::to_string).collect();
        HashMap::from([("a".to_owned(), numbers)])
    };
    let fails = |seen: &[&str]| {
        let (sent, seen) = (lane(&["1", "2", "3"]), lane(seen));
        std::panic::catch_unwind(|| check_seen(&sent, &seen)).is_err()
    };
    assert!(!fails(&["1", "2", "3"]));
    assert!(fails(&["1", "3"]));
    assert!(fails(&["1", "3", "2"]));
    assert!(fails(&["1", "2", "2", "3"]));
}
