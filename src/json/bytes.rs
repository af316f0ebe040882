//! The bytes of a string: which of them need decoding, and how invalid UTF-8 is replaced.

use crate::words::Word;

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
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    let is_plain = |word: Word| word.below(0x20).or(word.equal(b'"')).or(word.equal(b'\\')).is_none();
    Word::new(bytes).is_some_and(is_plain)
}
