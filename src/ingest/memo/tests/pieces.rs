//! Files as they are read: in pieces, and no further than they are written.

use std::cell::Cell;
use std::io::Read;

use super::*;

/// How it was read when a file was read whole.
fn at_once(bytes: &[u8]) -> (Vec<u8>, usize) {
    let body = |left: &[u8], seed: u32| {
        let (len, rest) = left.split_first_chunk::<4>()?;
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        let (crc, body) = rest.get(..len)?.split_first_chunk::<4>()?;
        let is_whole = crc32c::crc32c_append(seed, body) == u32::from_le_bytes(*crc);
        Some(body.to_vec()).filter(|_| is_whole)
    };
    let number = |body: &Vec<u8>| (body[0] == record::BEGUN).then(|| body[9..25].to_vec());
    let number = body(bytes, 0).as_ref().and_then(number);
    let number = number.map_or(0, |n| {
        u64::from_be_bytes(n[8..].try_into().expect("8 bytes"))
    });
    let (mut kinds, mut end) = (Vec::new(), 0);
    let mut seed = 0;
    while let Some(body) = body(&bytes[end..], seed).filter(|body| 27 <= body.len()) {
        kinds.push(body[0]);
        end += record::HEAD_BYTES + body.len();
        seed = record::seed(number);
    }
    (kinds, end)
}

/// The kinds of the records, and where they end, read in pieces of so many bytes.
fn in_pieces(bytes: &[u8], piece: usize) -> (Vec<u8>, usize) {
    let mut file = Reading::begin(bytes, piece).expect("memory can be read");
    let mut kinds = Vec::new();
    while let Some(parsed) = file.next().expect("memory can be read") {
        kinds.push(parsed.kind);
    }
    (kinds, file.end())
}

/// A file of some records, begun in the place of a longer one, and its end.
fn begun_anew() -> (Vec<u8>, usize) {
    let mut story = Story::new();
    story.send(&[1, 2, 3]);
    for n in 4..9 {
        story.publish(n, n);
    }
    story.memo.turn();
    story.memo.turn();
    let first = story.send(&[9]);
    story.accept(first);
    story.publish(9, 9);
    let (path, end) = story.end();
    let mut bytes = fs::read(&path).expect("reads");
    // What was before reaches further.
    let was = bytes.iter().rposition(|byte| *byte != 0).expect("records");
    assert!(end + 100 < was && was < 1000, "{end} of {was}");
    bytes.truncate(was + 100);
    (bytes, end)
}

#[test]
fn in_whatever_pieces_a_file_is_read_it_says_the_same_up_to_the_same_end() {
    let (bytes, end) = begun_anew();
    let expected = at_once(&bytes);
    assert_eq!(expected.1, end);
    for piece in (1..60).chain([end - 1, end, end + 1, bytes.len(), PIECE]) {
        assert_eq!(in_pieces(&bytes, piece), expected, "pieces of {piece}");
    }
}

#[test]
fn wherever_a_file_is_cut_damaged_or_not_overwritten_it_ends_there_in_pieces_too() {
    let (bytes, end) = begun_anew();
    for at in 0..end + 20 {
        let cut = &bytes[..at];
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        // A write that was cut short, over zeros, over room that was never used,
        // and over what an earlier life has left.
        let over = |behind: &[u8]| [cut, behind].concat();
        let torn = [over(&[0; 99]), over(&[0xff; 99]), over(&bytes[at / 2..])];
        for file in [cut, &flipped]
            .into_iter()
            .chain(torn.iter().map(|f| &f[..]))
        {
            let expected = at_once(file);
            assert!(expected.1 <= end);
            for piece in [1, 7, 64, 500] {
                assert_eq!(in_pieces(file, piece), expected, "at {at} by {piece}");
            }
        }
    }
}

#[test]
fn no_more_of_a_file_is_read_than_is_written_and_a_piece() {
    let dir = tempfile::tempdir().expect("a directory");
    let place = MemoPlace::new(dir.path().to_owned(), "boot".into());
    let (mut memo, _) = Memo::open(&place, at());
    memo.handle_done(done(1, 1), at());
    memo.flush();
    let read = Cell::new(0);
    let file = Counted(
        fs::File::open(memo.files.newest()).expect("it is there"),
        &read,
    );
    assert_eq!(
        file.0.metadata().expect("a file").len(),
        FILE_BYTES_MAX as u64
    );
    let (noted, end) = super::read(file, PIECE);
    assert_eq!(
        (noted.done.len(), memo.files.with(0)),
        (1, end + record::END.len())
    );
    assert!(read.get() <= end + PIECE, "{} bytes", read.get());
}

#[test]
fn what_no_record_is_long_enough_for_is_not_read_to_find_that_out() {
    for (len, most) in [(u32::MAX, PIECE), (5 << 20, PIECE), (1 << 20, 2 << 20)] {
        let mut bytes = vec![0xff; FILE_BYTES_MAX];
        bytes[..4].copy_from_slice(&len.to_le_bytes());
        let read = Cell::new(0);
        let (_, end) = super::read(Counted(&bytes[..], &read), PIECE);
        assert_eq!(end, 0);
        assert!(read.get() <= most, "{} bytes for {len}", read.get());
    }
}

#[test]
fn the_longest_record_there_can_be_is_read() {
    let many: Vec<Done> = (0..u16::MAX)
        .map(|n| {
            let id = Uuid::from_u128(n.into());
            Done {
                id: id.into(),
                known_by: id,
                fingerprint: 7,
            }
        })
        .collect();
    let mut bytes = Vec::new();
    record::done(&mut bytes, at(), &many);
    record::seal(&mut bytes, 0);
    assert!(bytes.len() <= record::BYTES_MAX);
    let (noted, end) = super::read(&bytes[..], PIECE);
    assert_eq!((noted.done.len(), end), (many.len(), bytes.len()));
}

#[test]
fn of_a_file_that_the_disk_does_not_give_to_its_end_counts_what_it_gives() {
    let (bytes, end) = begun_anew();
    let broken = Broken(&bytes[..end - 10]);
    let mut noted = Noted::default();
    let mut file = Reading::begin(broken, 64).expect("it begins");
    assert!(noted.read(&mut file).is_err());
    assert_eq!(noted.batches.len(), 2);
}

/// Counts what is read.
struct Counted<'a, R>(R, &'a Cell<usize>);

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        self.1.set(self.1.get() + read);
        Ok(read)
    }
}

/// Fails where it should end.
struct Broken<'a>(&'a [u8]);

impl Read for Broken<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::Error::other("a bad block")),
            read => Ok(read),
        }
    }
}
