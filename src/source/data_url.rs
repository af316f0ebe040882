//! Decodes `data` URLs (RFC 2397) as strictly as the reference does: only characters of RFC 2396 and `%XX`, and
//! padded base64 with the standard alphabet.

use std::borrow::Cow;

use super::transport::{ByteStream, StreamError};
use crate::config::data_url::{self, DataUrl, is_url_character};

/// The digits of the standard alphabet of base64, each at the place of its value.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// The value of each base64 digit of the standard alphabet; 64 for a byte that is not a digit.
#[allow(clippy::indexing_slicing, reason = "checked by the compiler, which computes it")]
const DIGITS: [u8; 256] = {
    let mut digits = [64; 256];
    let mut value: u8 = 0;
    while value < 64 {
        digits[ALPHABET[value as usize] as usize] = value;
        value += 1;
    }
    digits
};

fn digit(byte: u8) -> u8 {
    DIGITS.get(usize::from(byte)).copied().unwrap_or(64)
}

/// The part of a URL that is still to be decoded.
pub(super) struct DataUrlDecoder<'a> {
    is_base64: bool,
    rest: &'a [u8],
}

impl<'a> DataUrlDecoder<'a> {
    /// Returns a decoder of the bytes that `url` holds.
    ///
    /// # Errors
    /// What is wrong with the URL before its data.
    pub(super) fn new(url: &'a str) -> Result<Self, Cow<'static, str>> {
        let DataUrl { is_base64, data } = data_url::split(url)?;
        Ok(Self { is_base64, rest: data.as_bytes() })
    }

    /// Decodes as many groups of four digits as fit into `buffer`. Only the last group may be padded.
    fn base64(&mut self, buffer: &mut [u8]) -> Result<usize, &'static str> {
        const BROKEN: &str = "it is not base64 with its padding";
        let room = (buffer.len() / 3).saturating_mul(4);
        let (now, rest) = self.rest.split_at_checked(room).unwrap_or((self.rest, b""));
        self.rest = rest;
        let digits = now.strip_suffix(b"==").or(now.strip_suffix(b"=")).unwrap_or(now);
        let is_last = rest.is_empty();
        if now.len() % 4 != 0 || (!is_last && digits.len() < room.max(1)) {
            return Err(BROKEN);
        }
        let mut groups = digits.chunks_exact(4);
        let (mut places, mut all) = (buffer.chunks_exact_mut(3), 0);
        for (group, place) in groups.by_ref().zip(places.by_ref()) {
            if let ([a, b, c, d], [x, y, z]) = (group, place) {
                let (a, b, c, d) = (digit(*a), digit(*b), digit(*c), digit(*d));
                (*x, *y, *z) = ((a << 2) | (b >> 4), (b << 4) | (c >> 2), (c << 6) | d);
                all |= a | b | c | d;
            }
        }
        // The unused bits of the last digit before the padding may be anything, as in the reference.
        match (groups.remainder(), places.next()) {
            ([one, two, three @ ..], Some([first, second, _])) => {
                let (one, two) = (digit(*one), digit(*two));
                let three = three.first().map_or(0, |three| digit(*three));
                (*first, *second) = ((one << 2) | (two >> 4), (two << 4) | (three >> 2));
                all |= one | two | three;
            }
            ([], _) => {}
            _ => return Err(BROKEN),
        }
        if all >= 64 { Err(BROKEN) } else { Ok(digits.len().saturating_mul(3) / 4) }
    }

    /// Decodes `%XX` and refuses characters that are not allowed in a URL.
    fn percent(&mut self, buffer: &mut [u8]) -> Result<usize, &'static str> {
        let mut count: usize = 0;
        for slot in buffer {
            let (byte, rest) = match self.rest {
                [] => break,
                [b'%', high, low, rest @ ..] => {
                    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                    let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                        return Err("a % without two hexadecimal digits in a data URL");
                    };
                    ((high << 4) | low, rest)
                }
                [b'%', ..] => return Err("a % without two hexadecimal digits in a data URL"),
                [byte, rest @ ..] if is_url_character(*byte) => (*byte, rest),
                _ => return Err("a character in a data URL that must be written as %XX"),
            };
            *slot = byte;
            self.rest = rest;
            count = count.saturating_add(1);
        }
        Ok(count)
    }
}

impl ByteStream for DataUrlDecoder<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, StreamError> {
        if self.is_base64 { self.base64(buffer) } else { self.percent(buffer) }.map_err(Into::into)
    }
}

/// Appends `bytes` to `text` in base64, with its padding.
pub fn encode_base64(bytes: &[u8], text: &mut String) {
    for group in bytes.chunks(3) {
        let byte = |at: usize| usize::from(group.get(at).copied().unwrap_or_default());
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for (place, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = ALPHABET.get((bits >> shift) & 63).filter(|_| place <= group.len());
            text.push(digit.map_or('=', |digit| char::from(*digit)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_bytes_are_decoded() {
        let bytes: Vec<u8> = (0..=255).collect();
        for end in [0, 1, 2, 3, 4, 5, 256] {
            let mut url = "data:;base64,".to_owned();
            encode_base64(&bytes[..end], &mut url);
            assert_eq!(read_by(&url, 99).as_deref(), Some(&bytes[..end]));
        }
        let mut text = String::new();
        encode_base64(b"\xfb\xff\xfe>", &mut text);
        assert_eq!(text, "+//+Pg==");
    }

    /// Returns the bytes of `url`, read into a buffer of `size` bytes.
    fn read_by(url: &str, size: usize) -> Option<Vec<u8>> {
        let mut decoder = DataUrlDecoder::new(url).ok()?;
        let mut bytes = Vec::new();
        let mut buffer = vec![0; size];
        loop {
            match decoder.read(&mut buffer).ok()? {
                0 => return Some(bytes),
                count => bytes.extend_from_slice(&buffer[..count]),
            }
        }
    }

    fn read(url: &str) -> Option<Vec<u8>> {
        read_by(url, 1000)
    }

    #[test]
    fn good_urls() {
        for (url, bytes) in [
            ("data:,", ""),
            ("data:,a+b%20c%0A?", "a+b c\n?"),
            ("data:,L+%20$&=:@-_.~", "L+ $&=:@-_.~"),
            ("data:text/plain;charset=utf-8,a,b", "a,b"),
            ("data:;base64,", ""),
            ("data:;base64,YQ==", "a"),
            ("data:;base64,YR==", "a"),
            ("data:text/plain;base64,YWJj", "abc"),
        ] {
            assert_eq!(read(url).as_deref(), Some(bytes.as_bytes()), "{url}");
        }
    }

    #[test]
    fn bad_urls() {
        for url in [
            "data:abc",
            "data:abc,x",
            "DATA:,x",
            "data:;base64,YQ=",
            "data:;base64,YQ",
            "data:;base64,Y%51==",
            "data:;base64,YW\nJj",
            "data:;base64,_-==",
            "data:,a b",
            "data:,a#b",
            "data:,\"",
            "data:,%4",
            "data:,%zz",
            "data:,\u{e9}",
            "data:,<x>",
            "data:te xt/plain,x",
            "data:a/b;c=%zz,x",
            "data:;base64,YQ==YQ==",
        ] {
            assert_eq!(read(url), None, "{url}");
        }
    }

    #[test]
    fn small_buffers_split_neither_escapes_nor_groups() {
        assert_eq!(read_by("data:,%41%42%43", 1).unwrap(), b"ABC");
        for size in 3..9 {
            assert_eq!(read_by("data:;base64,YWJjZGVmZw==", size).unwrap(), b"abcdefg", "{size}");
            for bad in ["data:;base64,YQ==YWJj", "data:;base64,YWJjYQ==YWJjYWJj", "data:;base64,YWJjYQ"] {
                assert_eq!(read_by(bad, size), None, "{bad} by {size}");
            }
        }
    }
}
