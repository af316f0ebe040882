//! Percent encoding of URLs (RFC 3986, section 2.1).

use std::fmt::Write as _;

/// Which bytes [`encode`] leaves as they are, beside those that RFC 3986 calls unreserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// The slash, as in the path of an object.
    Slash,
    /// Nothing.
    Nothing,
}

/// Returns `bytes` with `%XX` for everything that is not unreserved.
pub(crate) fn encode(bytes: &[u8], keep: Keep) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        let is_kept =
            byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || (*byte == b'/' && keep == Keep::Slash);
        if is_kept {
            text.push(char::from(*byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// Returns the bytes that `text` stands for; `None` for a `%` without two hexadecimal digits.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
            let value = digit()?.checked_mul(16)?.checked_add(digit()?)?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_their_text() {
        assert_eq!(encode("a/b \u{e4}+~%".as_bytes(), Keep::Slash), "a/b%20%C3%A4%2B~%25");
        assert_eq!(encode(b"a/b", Keep::Nothing), "a%2Fb");
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(decode(&encode(&all, Keep::Slash)), Some(all));
        assert_eq!(decode("%2f+%C3x"), Some(b"/+\xc3x".to_vec()));
        for text in ["%", "%2", "%g0", "%0g", "a%", "%+1"] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}
