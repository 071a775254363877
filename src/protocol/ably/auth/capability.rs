//! What a key or token may do on which channels.
//!
//! A capability is a JSON object from resource to operations:
//! `{"session:*:status":["publish","object-publish"]}`.
//!
//! | resource | matches |
//! |---|---|
//! | `a:b` | that channel |
//! | `a:*:c` | one segment in place of an inner `*` |
//! | `a:*` | `a`, and everything below it |
//! | `*` | every channel without a qualifier |
//! | `[meta]x` | `x` in that qualifier's space |
//! | `[*]*` | everything |
//!
//! `*` is a wildcard only as a whole segment. A channel's operations are the
//! union over all resources that match it.

mod operation;
mod resource;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::super::error::ErrorInfo;

pub use operation::{Operation, Operations};
use resource::{intersect, is_valid, matches};

/// Resources one capability may name; intersecting is quadratic in them.
const RESOURCES_MAX: usize = 1000;

/// What may be done where. `Display` is the canonical JSON text: resources
/// and operations sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capability(BTreeMap<String, Operations>);

impl Capability {
    /// Everything everywhere: `{"[*]*":["*"]}`.
    #[must_use]
    pub fn everything() -> Self {
        Self::default().allowing("[*]*", Operations::ALL)
    }

    /// The same with `operations` on `resource` added.
    #[must_use]
    pub fn allowing(mut self, resource: impl Into<String>, operations: Operations) -> Self {
        self.add(resource.into(), operations);
        self
    }

    fn add(&mut self, resource: String, operations: Operations) {
        let entry = self.0.entry(resource).or_default();
        *entry = entry.union(operations);
    }

    /// Whether nothing is allowed anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything allowed on `channel`.
    #[must_use]
    pub fn operations(&self, channel: &str) -> Operations {
        let matching = self
            .0
            .iter()
            .filter(|(resource, _)| matches(resource, channel));
        matching.fold(Operations::NONE, |all, (_, operations)| {
            all.union(*operations)
        })
    }

    /// Whether `operation` is allowed on `channel`.
    #[must_use]
    pub fn allows(&self, channel: &str, operation: Operation) -> bool {
        self.operations(channel).contains(operation)
    }

    /// What both allow: a token gets what it asks for and its key has.
    ///
    /// Empty when they have nothing in common, which Ably refuses with 40160.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::default();
        for (ours, our_operations) in &self.0 {
            for (theirs, their_operations) in &other.0 {
                let operations = our_operations.intersection(*their_operations);
                if operations.is_empty() {
                    continue;
                }
                if let Some(resource) = intersect(ours, theirs) {
                    both.add(resource, operations);
                }
            }
        }
        both
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named: BTreeMap<&str, Vec<&str>> = self
            .0
            .iter()
            .map(|(resource, ops)| (resource.as_str(), ops.names()))
            .collect();
        let text = serde_json::to_string(&named).map_err(|_| fmt::Error)?;
        f.write_str(&text)
    }
}

/// Why a text is no capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// Not a JSON object of arrays of strings.
    #[error("invalid capability: it must be a JSON object from resource to a list of operations")]
    Shape,
    /// More resources than we compare.
    #[error("invalid capability: it names more than {RESOURCES_MAX} resources")]
    TooMany,
    /// A resource that can match nothing.
    #[error("invalid capability: `{0}` is no resource")]
    Resource(String),
    /// An empty list of operations.
    #[error("invalid capability: no operations for `{0}`")]
    NoOperations(String),
    /// An operation Ably does not have, or `*` beside others.
    #[error("invalid capability: `{0}` is no operation that can be listed for `{1}`")]
    Operation(String, String),
}

impl From<&CapabilityError> for ErrorInfo {
    fn from(error: &CapabilityError) -> Self {
        Self::new(40000, error.to_string())
    }
}

impl FromStr for Capability {
    type Err = CapabilityError;

    fn from_str(text: &str) -> Result<Self, CapabilityError> {
        let entries: BTreeMap<String, Vec<String>> =
            serde_json::from_str(text).map_err(|_| CapabilityError::Shape)?;
        if RESOURCES_MAX < entries.len() {
            return Err(CapabilityError::TooMany);
        }
        let mut capability = Self::default();
        for (resource, names) in entries {
            let operations = Operations::parse(&resource, &names)?;
            if !is_valid(&resource) {
                return Err(CapabilityError::Resource(resource));
            }
            capability.add(resource, operations);
        }
        Ok(capability)
    }
}

#[cfg(test)]
mod tests;
