//! Where lines begin and end in a stream of bytes.

/// The longest line that is kept whole.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024;

/// The next line of a buffer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its bytes, without the newline.
    pub(super) bytes: usize,
    /// What to take off the buffer for it.
    pub(super) taken: usize,
    /// Whether it goes on behind.
    pub(super) cut: bool,
}

/// The next line in `buffer`, if there is one; `ended` says that no more comes.
pub(super) fn next(buffer: &[u8], ended: bool) -> Option<Line> {
    let window = &buffer[..buffer.len().min(LINE_BYTES_MAX)];
    let (bytes, taken, cut) = match memchr::memchr(b'\n', window) {
        Some(end) => (end, end + 1, false),
        None if window.len() < buffer.len() && buffer[window.len()] == b'\n' => {
            (window.len(), window.len() + 1, false)
        }
        None if window.len() < buffer.len() => {
            let bytes = whole_characters(window);
            (bytes, bytes, true)
        }
        None if ended && !buffer.is_empty() => (buffer.len(), buffer.len(), false),
        None => return None,
    };
    Some(Line { bytes, taken, cut })
}

/// The length of `bytes` without a character that is not whole at its end.
fn whole_characters(bytes: &[u8]) -> usize {
    const CHARACTER_BYTES_MAX: usize = 4;
    let last = bytes.len().saturating_sub(CHARACTER_BYTES_MAX);
    match std::str::from_utf8(&bytes[last..]) {
        Err(error) if error.error_len().is_none() => last + error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(mut input: &[u8]) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Vec::new();
        while let Some(Line { bytes, taken, cut }) = next(input, true) {
            lines.push((input[..bytes].to_vec(), cut));
            input = &input[taken..];
        }
        assert!(input.is_empty());
        lines
    }

    #[test]
    fn a_line_is_complete_with_its_newline_or_at_the_end() {
        assert_eq!(next(b"one", false), None);
        assert_eq!(next(b"", true), None);
        let lines = all(b"one\n\ntwo");
        let texts: Vec<&[u8]> = lines.iter().map(|(line, _)| &line[..]).collect();
        assert_eq!(texts, [&b"one"[..], b"", b"two"]);
    }

    #[test]
    fn a_line_of_the_limit_is_whole_and_a_longer_one_is_marked() {
        let mut input = vec![b'x'; LINE_BYTES_MAX];
        input.push(b'\n');
        assert_eq!(all(&input).len(), 1);
        input.insert(0, b'x');
        let sizes: Vec<_> = all(&input).iter().map(|(l, cut)| (l.len(), *cut)).collect();
        assert_eq!(sizes, [(LINE_BYTES_MAX, true), (1, false)]);
    }

    #[test]
    fn a_cut_goes_between_characters() {
        // The two bytes of the last character straddle the limit.
        let mut input = vec![b'x'; LINE_BYTES_MAX - 1];
        input.extend("éé".as_bytes());
        let lines = all(&input);
        assert_eq!(lines[0].0.len(), LINE_BYTES_MAX - 1);
        assert_eq!(lines[1].0, "éé".as_bytes());
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_made(input in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..300)) {
            let mut again = Vec::new();
            for (line, cut) in all(&input) {
                again.extend(line);
                if !cut {
                    again.push(b'\n');
                }
            }
            if !input.is_empty() && !input.ends_with(b"\n") {
                again.pop();
            }
            prop_assert_eq!(again, input);
        }
    }
}
