//! The text format, and nothing of what it says.

use std::fmt::Write as _;

/// Exact to nine thousand million million.
#[allow(clippy::cast_precision_loss)]
pub(super) fn number(count: u64) -> f64 {
    count as f64
}

/// The text format, line by line.
pub(super) struct Page(String);

impl Page {
    pub(super) fn new() -> Self {
        Self(String::new())
    }

    pub(super) fn text(self) -> String {
        self.0
    }

    /// One of `known` is so: its sample is 1, and those of the others are 0, so
    /// that nobody takes an old one for what is.
    pub(super) fn state(&mut self, name: &str, labels: &[(&str, &str)], known: &[&str], is: &str) {
        let other = (!known.contains(&is)).then_some(is);
        for state in known.iter().copied().chain(other) {
            let labels = [labels, &[("state", state)]].concat();
            self.sample(name, &labels, f64::from(u8::from(state == is)));
        }
    }

    pub(super) fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        let escape = |v: &str| {
            v.replace('\\', r"\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        };
        let labels = labels.iter().map(|(k, v)| format!("{k}=\"{}\"", escape(v)));
        let labels = labels.collect::<Vec<_>>().join(",");
        _ = match labels.as_str() {
            "" => writeln!(self.0, "{name} {value}"),
            labels => writeln!(self.0, "{name}{{{labels}}} {value}"),
        };
    }

    /// `buckets` count each observation once, under its bound in microseconds;
    /// `total` is their count and their sum.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        buckets: &[(u64, u64)],
        total: (u64, u64),
    ) {
        let bucket = format!("{name}_bucket");
        let mut within = 0;
        for &(bound_us, count) in buckets {
            within += count;
            let bound = micros(bound_us).to_string();
            let labels = [labels, &[("le", &bound)]].concat();
            self.sample(&bucket, &labels, number(within));
        }
        let all = [labels, &[("le", "+Inf")]].concat();
        let (count, sum_us) = total;
        self.sample(&bucket, &all, number(count));
        self.sample(&format!("{name}_sum"), labels, micros(sum_us));
        self.sample(&format!("{name}_count"), labels, number(count));
    }

    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        self.sample(name, &[], number(value));
    }
}

fn micros(us: u64) -> f64 {
    number(us) / 1_000_000.0
}
