//! What fuzzers may call; compiled for them only.

use super::noted::Noted;
use super::reading::Reading;

/// What `bytes` tell of, and where that ends, read so many at once.
fn read(bytes: &[u8], piece: usize) -> (Noted, usize) {
    let mut noted = Noted::default();
    let mut file = Reading::begin(bytes, piece).expect("memory can be read");
    let end = noted.read(&mut file).expect("memory can be read");
    (noted, end)
}

/// Records with checksums that fit, whatever is in them, and cut off anywhere:
/// what was before the cut is read as it would be without it, in whatever pieces.
pub fn records(data: &[u8]) {
    read(data, data.len());
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let mut bytes = Vec::new();
    for body in data.split(|byte| *byte == 0xff) {
        let length = u32::try_from(4 + body.len()).expect("fuzzed data is short");
        bytes.extend(length.to_le_bytes());
        bytes.extend(crc32c::crc32c(body).to_le_bytes());
        bytes.extend(body);
    }
    let (whole, end) = read(&bytes, bytes.len());
    let (in_pieces, same_end) = read(&bytes, 1 + usize::from(cut));
    assert_eq!((&in_pieces.batches, same_end), (&whole.batches, end));
    assert_eq!(in_pieces.done, whole.done);
    let (half, _) = read(&bytes[..bytes.len() * usize::from(cut) / 256], 1);
    assert!(half.batches.len() <= whole.batches.len());
    assert!(whole.done.starts_with(&half.done));
    for (half, whole) in half.batches.iter().zip(&whole.batches) {
        assert_eq!((half.0, &half.1.entries), (whole.0, &whole.1.entries));
        assert!(whole.1.is_accepted || !half.1.is_accepted);
    }
}
