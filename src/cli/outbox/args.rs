//! Arguments of the verbs about what is kept, and what repeating one means.

use std::collections::HashSet;

use crate::cli::output;
use crate::cli::settings::Instance;
use crate::protocol::id::EffectId;
use crate::protocol::outbox::NO_ID;

/// What all of these verbs take.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Common {
    #[command(flatten)]
    pub(in crate::cli) instance: Instance,
    /// Print JSON, one object a line
    #[arg(long, global = true)]
    pub(in crate::cli) json: bool,
}

/// How much of a list is wanted.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(in crate::cli) struct Limit {
    /// So many at most
    #[arg(short = 'n', long = "limit", value_name = "COUNT", default_value_t = 100, value_parser = at_least_one)]
    pub(in crate::cli) count: usize,
}

impl Limit {
    /// Says that there are more, and how many if that is known; whoever reads the
    /// list by program has asked for so many.
    pub(in crate::cli) fn say_more(self, left_out: u64) {
        let count = self.count;
        let more = match left_out {
            0 => "more".to_owned(),
            known => format!("{known} more"),
        };
        output::message(&format!("… and {more}: -n COUNT lists more than {count}"));
    }
}

fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("nothing would be listed; give 1 or more".to_owned()),
        Ok(count) => Ok(count),
        Err(_) => Err("not a number".to_owned()),
    }
}

/// An effect's id; whoever gives something else meant something else.
pub(super) fn id(text: &str) -> Result<EffectId, String> {
    text.parse().map_err(|_| NO_ID.to_owned())
}

/// Each effect once, however it was written.
pub(super) fn ids(given: &[EffectId]) -> Vec<String> {
    once(given.iter().map(EffectId::to_string))
}

/// Each once, in the order of the first.
pub(in crate::cli) fn once(given: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut seen = HashSet::new();
    let is_first = |one: &String| seen.insert(one.clone());
    given.into_iter().filter(is_first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_twice_is_given_once() {
        let id = "67e55044-10b1-426f-9247-bb680e5fe0c8";
        let given = [id, &id.to_uppercase(), id].map(|text| super::id(text).unwrap());
        assert_eq!(ids(&given), [id]);
        assert!(super::id("x").is_err());
    }

    #[test]
    fn a_list_of_nothing_is_not_asked_for() {
        assert!(at_least_one("0").is_err() && at_least_one("-1").is_err());
        assert_eq!(at_least_one("7"), Ok(7));
    }
}
