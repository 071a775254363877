//! What fuzzers may call; compiled for them only.

use futures_util::FutureExt as _;

use super::lines::LineBuffer;

/// Small, so that the fuzzer reaches it.
const LINE_MAX: usize = 16;

/// Lines, and whether one after them is too long.
type Found = (Vec<Vec<u8>>, bool);

/// However a stream is split, it yields the lines that a look at all of it
/// finds; it is cut before every byte that has something of the first.
pub fn lines(data: &[u8]) {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let expected = looked_at(stream);
    assert_eq!(read([stream]), expected);
    assert_eq!(read(stream.chunks(1)), expected);
    let is_same = |_: &u8, next: &u8| next & 7 != cut & 7;
    assert_eq!(read(stream.chunk_by(is_same)), expected);
}

fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Found {
    let mut lines = LineBuffer::new(LINE_MAX);
    let mut found = Vec::new();
    for mut piece in pieces {
        while lines
            .fill(&mut piece)
            .now_or_never()
            .expect("ready")
            .expect("reads")
            > 0
        {}
        loop {
            match lines.next_line() {
                Ok(Some(line)) => found.push(line.to_vec()),
                Ok(None) => break,
                Err(_) => return (found, true),
            }
        }
    }
    match lines.last_line() {
        Ok(line) => found.extend(line.map(<[u8]>::to_vec)),
        Err(_) => return (found, true),
    }
    (found, false)
}

fn looked_at(stream: &[u8]) -> Found {
    let mut found = Vec::new();
    let mut parts = stream.split(|byte| *byte == b'\n').peekable();
    while let Some(part) = parts.next() {
        let line = part.strip_suffix(b"\r").unwrap_or(part);
        if line.len() > LINE_MAX {
            return (found, true);
        }
        if parts.peek().is_some() || !line.is_empty() {
            found.push(line.to_vec());
        }
    }
    (found, false)
}
