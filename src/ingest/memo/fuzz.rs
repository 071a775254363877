//! What fuzzers may call; compiled for them only.

use super::noted::Noted;

/// Records with checksums that fit, whatever is in them, and cut off anywhere:
/// what was before the cut is read as it would be without it.
pub fn records(data: &[u8]) {
    Noted::default().read(data);
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
    let (mut whole, mut half) = (Noted::default(), Noted::default());
    whole.read(&bytes);
    half.read(&bytes[..bytes.len() * usize::from(cut) / 256]);
    assert!(half.batches.len() <= whole.batches.len());
    assert!(whole.done.starts_with(&half.done));
    for (half, whole) in half.batches.iter().zip(&whole.batches) {
        assert_eq!((half.0, &half.1.entries), (whole.0, &whole.1.entries));
        assert!(whole.1.is_accepted || !half.1.is_accepted);
    }
}
