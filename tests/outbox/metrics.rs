//! Numbers, as Prometheus reads them.

use crate::chain::{Chain, OUTBOX};
use crate::daemon::effect;

#[test]
fn every_line_is_a_comment_or_a_sample_and_the_outbox_is_counted() {
    let chain = Chain::up(OUTBOX);
    let mut daemon = chain.daemon();
    (0..5).for_each(|n| daemon.publish(n, &effect("test", "s", n)));
    let (code, text) = chain.run(&["metrics"]);
    assert_eq!(code, 0, "{text}");
    for line in text.lines().filter(|line| !line.starts_with("# ")) {
        let (name, value) = line.rsplit_once(' ').expect("a sample");
        assert!(name.starts_with("falco_"), "{line}");
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
    let has = |line: &str| text.lines().any(|l| l == line);
    assert!(has("falco_effects_taken_total 5"), "{text}");
    assert!(has("falco_effects_answered_total{outcome=\"success\"} 5"));
    assert!(has("falco_outbox_depth 5"), "{text}");
    assert!(has("falco_part_ready{part=\"falco\"} 1"));
}

#[test]
fn without_a_chain_there_are_none() {
    let chain = Chain::new(OUTBOX);
    assert_eq!(chain.run(&["metrics"]).0, 3);
}
