//! The bytes of a string: which of them need decoding, and how invalid UTF-8 is replaced.

/// Returns the length in bytes of the text that [`push_lossy`] makes of `bytes`.
pub(super) fn lossy_length(bytes: &[u8]) -> usize {
    let replacement = char::REPLACEMENT_CHARACTER.len_utf8();
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        chunk.invalid().len().saturating_mul(replacement).saturating_add(chunk.valid().len())
    };
    bytes.utf8_chunks().map(chunk).fold(0, usize::saturating_add)
}

/// Appends `bytes` to `text`. As in Go, each byte that is not part of valid UTF-8 becomes one U+FFFD.
pub(super) fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Returns whether eight bytes hold no quote, no backslash and no control character; false for another number of bytes.
///
/// All eight bytes are tested at once. A test sets the top bit of each byte for which it holds. A borrow can set the
/// top bit of a wrong byte too, but only above a byte for which the test holds, so that the answer stays right.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let Ok(word) = bytes.try_into().map(u64::from_le_bytes) else { return false };
    let below = |word: u64, least: u64| word.wrapping_sub(ONES.wrapping_mul(least)) & !word;
    let equal = |byte: u64| below(word ^ ONES.wrapping_mul(byte), 1);
    (below(word, 0x20) | equal(b'"'.into()) | equal(b'\\'.into())) & TOPS == 0
}
