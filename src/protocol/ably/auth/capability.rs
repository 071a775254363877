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

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::super::error::ErrorInfo;

/// Resources one capability may name; intersecting is quadratic in them.
const RESOURCES_MAX: usize = 1000;

/// Something a capability allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are Ably's")]
pub enum Operation {
    AnnotationPublish,
    AnnotationSubscribe,
    ChannelMetadata,
    History,
    MessageDeleteAny,
    MessageDeleteOwn,
    MessageUpdateAny,
    MessageUpdateOwn,
    ObjectPublish,
    ObjectSubscribe,
    Presence,
    PresenceSubscribe,
    PrivilegedHeaders,
    Publish,
    PushAdmin,
    PushSubscribe,
    Stats,
    Subscribe,
}

impl Operation {
    /// Every operation, in the order of the names.
    const KNOWN: [(Self, &'static str); 18] = [
        (Self::AnnotationPublish, "annotation-publish"),
        (Self::AnnotationSubscribe, "annotation-subscribe"),
        (Self::ChannelMetadata, "channel-metadata"),
        (Self::History, "history"),
        (Self::MessageDeleteAny, "message-delete-any"),
        (Self::MessageDeleteOwn, "message-delete-own"),
        (Self::MessageUpdateAny, "message-update-any"),
        (Self::MessageUpdateOwn, "message-update-own"),
        (Self::ObjectPublish, "object-publish"),
        (Self::ObjectSubscribe, "object-subscribe"),
        (Self::Presence, "presence"),
        (Self::PresenceSubscribe, "presence-subscribe"),
        (Self::PrivilegedHeaders, "privileged-headers"),
        (Self::Publish, "publish"),
        (Self::PushAdmin, "push-admin"),
        (Self::PushSubscribe, "push-subscribe"),
        (Self::Stats, "stats"),
        (Self::Subscribe, "subscribe"),
    ];

    fn from_name(name: &str) -> Option<Self> {
        let found = Self::KNOWN.iter().find(|(_, known)| *known == name)?;
        Some(found.0)
    }
}

/// A set of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Operations(u32);

impl Operations {
    /// No operation.
    pub const NONE: Self = Self(0);
    /// What `*` stands for, operations of later protocols included.
    pub const ALL: Self = Self(u32::MAX);

    /// The set of these operations.
    #[must_use]
    pub fn of(operations: &[Operation]) -> Self {
        Self(operations.iter().fold(0, |bits, op| bits | 1 << *op as u8))
    }

    /// Whether `operation` is in the set.
    #[must_use]
    pub fn contains(self, operation: Operation) -> bool {
        self.0 & (1 << operation as u8) != 0
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// What is in either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    fn parse(resource: &str, names: &[String]) -> Result<Self, CapabilityError> {
        let resource = || resource.to_owned();
        if let [only] = names
            && only == "*"
        {
            return Ok(Self::ALL);
        }
        if names.is_empty() {
            return Err(CapabilityError::NoOperations(resource()));
        }
        let mut operations = Self::NONE;
        for name in names {
            let operation = Operation::from_name(name)
                .ok_or_else(|| CapabilityError::Operation(name.clone(), resource()))?;
            operations = operations.union(Self::of(&[operation]));
        }
        Ok(operations)
    }

    fn names(self) -> Vec<&'static str> {
        if self == Self::ALL {
            return vec!["*"];
        }
        let known = Operation::KNOWN.iter();
        known
            .filter(|(op, _)| self.contains(*op))
            .map(|(_, name)| *name)
            .collect()
    }
}

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
                if let Some(resource) = intersect_resources(ours, theirs) {
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
            if split_qualifier(&resource).is_none_or(|(_, path)| path.is_empty()) {
                return Err(CapabilityError::Resource(resource));
            }
            capability.add(resource, operations);
        }
        Ok(capability)
    }
}

/// Splits `[qualifier]path`; `None` when the bracket is never closed.
///
/// Parameters after a `?` inside the brackets say nothing about the right to
/// use a channel, so they are dropped.
fn split_qualifier(name: &str) -> Option<(&str, &str)> {
    let Some(rest) = name.strip_prefix('[') else {
        return Some(("", name));
    };
    let (inside, path) = rest.split_once(']')?;
    let qualifier = inside.split_once('?').map_or(inside, |(before, _)| before);
    Some((qualifier, path))
}

fn matches(resource: &str, channel: &str) -> bool {
    let (Some((ours, pattern)), Some((theirs, path))) =
        (split_qualifier(resource), split_qualifier(channel))
    else {
        return false;
    };
    (ours == "*" || ours == theirs) && path_matches(pattern, path)
}

fn path_matches(pattern: &str, path: &str) -> bool {
    let mut wanted = pattern.split(':').peekable();
    let mut segments = path.split(':');
    while let Some(want) = wanted.next() {
        if want == "*" && wanted.peek().is_none() {
            return true;
        }
        match segments.next() {
            Some(segment) if want == "*" || want == segment => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

fn intersect_resources(a: &str, b: &str) -> Option<String> {
    let (a_qualifier, a) = split_qualifier(a)?;
    let (b_qualifier, b) = split_qualifier(b)?;
    let qualifier = match (a_qualifier, b_qualifier) {
        ("*", other) | (other, "*") => other,
        (ours, theirs) if ours == theirs => ours,
        _ => return None,
    };
    let path = intersect_paths(a, b)?;
    Some(if qualifier.is_empty() {
        path
    } else {
        format!("[{qualifier}]{path}")
    })
}

/// The pattern that matches what both match; there is at most one.
fn intersect_paths(a: &str, b: &str) -> Option<String> {
    let (a, a_open) = open_ended(a);
    let (b, b_open) = open_ended(b);
    if (a.len() < b.len() && !a_open) || (b.len() < a.len() && !b_open) {
        return None;
    }
    let mut segments = Vec::with_capacity(a.len().max(b.len()) + 1);
    for at in 0..a.len().max(b.len()) {
        segments.push(match (a.get(at), b.get(at)) {
            (Some(&"*"), Some(other)) | (Some(other), Some(&"*")) => *other,
            (Some(ours), Some(theirs)) if ours != theirs => return None,
            (Some(one), _) | (None, Some(one)) => *one,
            (None, None) => break,
        });
    }
    if a_open && b_open {
        segments.push("*");
    }
    Some(segments.join(":"))
}

/// The segments before a trailing `*`, and whether there is one.
fn open_ended(pattern: &str) -> (Vec<&str>, bool) {
    let mut segments: Vec<&str> = pattern.split(':').collect();
    let open = segments.last() == Some(&"*");
    if open {
        segments.pop();
    }
    (segments, open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capability(text: &str) -> Capability {
        text.parse().expect("a capability")
    }

    #[test]
    fn an_inner_wildcard_takes_one_segment_and_a_trailing_one_takes_the_rest() {
        let table = [
            ("a:b", "a:b", true),
            ("a:b", "a:b:c", false),
            ("a:b", "a", false),
            ("session:*:status", "session:42:status", true),
            ("session:*:status", "session:4:2:status", false),
            ("session:*:status", "session:status", false),
            ("a:*", "a:b", true),
            ("a:*", "a:b:c", true),
            ("a:*", "a", true),
            ("a:*", "ab", false),
            ("a:*:*", "a", false),
            ("a:*:*", "a:b", true),
            ("a*", "ab", false),
            ("a*", "a*", true),
            ("*", "anything:at:all", true),
            ("*", "[meta]log", false),
            ("[meta]*", "[meta]log", true),
            ("[meta]*", "log", false),
            ("[*]*", "[meta]log", true),
            ("[*]*", "plain", true),
            ("plain", "[?rewind=1]plain", true),
            ("*", "[unclosed", false),
        ];
        for (resource, channel, expected) in table {
            assert_eq!(
                matches(resource, channel),
                expected,
                "{resource} on {channel}"
            );
        }
    }

    #[test]
    fn operations_of_all_matching_resources_are_united() {
        let capability = capability(r#"{"a:*":["subscribe"],"a:b":["publish"],"*":["history"]}"#);
        let wanted = [Operation::Subscribe, Operation::Publish, Operation::History];
        assert_eq!(capability.operations("a:b"), Operations::of(&wanted));
        assert!(!capability.allows("a:c", Operation::Publish));
    }

    #[test]
    fn the_canonical_text_is_sorted() {
        let text = capability(r#"{"b":["subscribe","publish"],"a":["*"],"a":["*"]}"#).to_string();
        assert_eq!(text, r#"{"a":["*"],"b":["publish","subscribe"]}"#);
        assert_eq!(Capability::default().to_string(), "{}");
    }

    #[test]
    fn a_token_gets_what_it_asks_for_and_its_key_has() {
        let table = [
            (
                r#"{"*":["*"]}"#,
                r#"{"a":["publish"]}"#,
                r#"{"a":["publish"]}"#,
            ),
            (
                r#"{"a":["publish","subscribe"]}"#,
                r#"{"a":["*"]}"#,
                r#"{"a":["publish","subscribe"]}"#,
            ),
            (
                r#"{"a":["subscribe"]}"#,
                r#"{"a":["subscribe","presence"],"x":["publish"]}"#,
                r#"{"a":["subscribe"]}"#,
            ),
            (
                r#"{"a:*":["subscribe"]}"#,
                r#"{"a:b:*":["*"]}"#,
                r#"{"a:b:*":["subscribe"]}"#,
            ),
            (
                r#"{"a:*":["subscribe"]}"#,
                r#"{"a":["subscribe"]}"#,
                r#"{"a":["subscribe"]}"#,
            ),
            (
                r#"{"a:*":["publish"]}"#,
                r#"{"*:b":["publish"]}"#,
                r#"{"a:b":["publish"]}"#,
            ),
            (
                r#"{"a:*:c":["publish"]}"#,
                r#"{"a:*":["publish"]}"#,
                r#"{"a:*:c":["publish"]}"#,
            ),
            (
                r#"{"[*]*":["*"]}"#,
                r#"{"[meta]*":["subscribe"],"*":["stats"]}"#,
                r#"{"*":["stats"],"[meta]*":["subscribe"]}"#,
            ),
            (r#"{"a":["publish"]}"#, r#"{"a":["subscribe"]}"#, "{}"),
            (r#"{"a":["publish"]}"#, r#"{"b":["publish"]}"#, "{}"),
            (r#"{"a:b":["publish"]}"#, r#"{"a:b:c":["publish"]}"#, "{}"),
        ];
        for (key, asked, expected) in table {
            let (key, asked) = (capability(key), capability(asked));
            assert_eq!(key.intersection(&asked).to_string(), expected);
            assert_eq!(asked.intersection(&key).to_string(), expected);
        }
    }

    #[test]
    fn what_ably_refuses_is_refused_with_40000() {
        let refused = [
            "",
            "[]",
            r#"{"a":"publish"}"#,
            r#"{"a":[]}"#,
            r#"{"a":["publish_"]}"#,
            r#"{"a":["*","publish"]}"#,
            r#"{"":["publish"]}"#,
            r#"{"[meta":["publish"]}"#,
        ];
        for text in refused {
            let error = text.parse::<Capability>().expect_err(text);
            assert_eq!(ErrorInfo::from(&error).code, 40000);
        }
    }

    proptest::proptest! {
        #[test]
        fn an_intersection_matches_exactly_what_both_match(
            a in "[ab*](:[ab*]){0,3}",
            b in "[ab*](:[ab*]){0,3}",
            channel in "[ab](:[ab]){0,4}",
        ) {
            let both = matches(&a, &channel) && matches(&b, &channel);
            let intersected = intersect_resources(&a, &b).is_some_and(|r| matches(&r, &channel));
            proptest::prop_assert_eq!(intersected, both);
        }
    }
}
