//! Resources: patterns of channel names.

/// Whether `resource` can match a channel.
pub(super) fn is_valid(resource: &str) -> bool {
    split_qualifier(resource).is_some_and(|(_, path)| !path.is_empty())
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

/// Whether `resource` stands for `channel`, among others.
pub(super) fn matches(resource: &str, channel: &str) -> bool {
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

/// The resource that stands for what both stand for, if there is any.
pub(super) fn intersect(a: &str, b: &str) -> Option<String> {
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

    proptest::proptest! {
        #[test]
        fn an_intersection_matches_exactly_what_both_match(
            a in "[ab*](:[ab*]){0,3}",
            b in "[ab*](:[ab*]){0,3}",
            channel in "[ab](:[ab]){0,4}",
        ) {
            let both = matches(&a, &channel) && matches(&b, &channel);
            let intersected = intersect(&a, &b).is_some_and(|r| matches(&r, &channel));
            proptest::prop_assert_eq!(intersected, both);
        }
    }
}
