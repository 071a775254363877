//! Which stories go wrong, and how little it takes.

use std::ops::Range;

use super::*;

fn goes_wrong(options: Options, story: &[Step]) -> bool {
    play(options, story).1.is_some()
}

/// The same without the steps that it takes not.
fn shortened(options: Options, mut story: Vec<Step>) -> Vec<Step> {
    let mut length = story.len();
    while 0 < length {
        let mut at = 0;
        while at < story.len() {
            let mut shorter = story.clone();
            shorter.drain(at..story.len().min(at + length));
            if goes_wrong(options, &shorter) {
                story = shorter;
            } else {
                at += length;
            }
        }
        length /= 2;
    }
    story
}

/// Those whose stories go wrong.
pub(super) fn wrong(seeds: Range<u64>, kind: Kind) -> Vec<u64> {
    let is_wrong = |seed: &u64| {
        let (options, story) = steps(*seed, kind);
        goes_wrong(options, &story)
    };
    seeds.filter(is_wrong).collect()
}

/// One that goes wrong, as short as it can be.
pub(super) fn tell(seed: u64, kind: Kind) -> String {
    let (options, story) = steps(seed, kind);
    let story = shortened(options, story);
    let (trace, inversion) = play(options, &story);
    let trace = trace.join("\n");
    format!("seed {seed}: {inversion:?}\n{options:?}\n{trace}")
}
