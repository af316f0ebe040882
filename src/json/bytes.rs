//! The bytes of strings.

/// How long `bytes` are as text.
pub(super) fn lossy_length(bytes: &[u8]) -> usize {
    let replacement = char::REPLACEMENT_CHARACTER.len_utf8();
    let chunk = |chunk: std::str::Utf8Chunk<'_>| {
        chunk.invalid().len().saturating_mul(replacement).saturating_add(chunk.valid().len())
    };
    bytes.utf8_chunks().map(chunk).fold(0, usize::saturating_add)
}

/// Adds `bytes` to `text`, every byte that is not UTF-8 as U+FFFD of its own, as Go does it.
pub(super) fn push_lossy(text: &mut String, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
}

/// Whether eight bytes hold no quote, no backslash and no control character. Each test leaves the top bit of a byte
/// set where it holds; what a borrow adds lies above a byte that was found.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let Ok(word) = bytes.try_into().map(u64::from_le_bytes) else { return false };
    let below = |word: u64, least: u64| word.wrapping_sub(ONES.wrapping_mul(least)) & !word;
    let equal = |byte: u64| below(word ^ ONES.wrapping_mul(byte), 1);
    (below(word, 0x20) | equal(b'"'.into()) | equal(b'\\'.into())) & TOPS == 0
}
