//! `data` URLs (RFC 2397), read as strictly as the reference reads them: only characters of RFC 2396 and
//! `%XX`, base64 of the standard alphabet with its padding.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

use crate::config::data_url::{self, DataUrl, is_url_character};

/// The reference does not look at the bits that the last character has to spare.
static BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// What is left to decode of a URL.
pub(super) struct Decoder<'a> {
    is_base64: bool,
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// A decoder of the bytes that `url` holds.
    ///
    /// # Errors
    /// What is wrong with the URL before its data.
    pub(super) fn new(url: &'a str) -> Result<Self, Cow<'static, str>> {
        let DataUrl { is_base64, data } = data_url::split(url)?;
        Ok(Self { is_base64, rest: data.as_bytes() })
    }

    /// Decodes into `buffer`, which has room for three bytes at least; 0 only at the end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, &'static str> {
        if self.is_base64 { self.base64(buffer) } else { self.percent(buffer) }
    }

    /// Decodes as many groups of four characters as there is room for. The padding can only be in the last one.
    fn base64(&mut self, buffer: &mut [u8]) -> Result<usize, &'static str> {
        let length = (buffer.len() / 3).saturating_mul(4).clamp(4, self.rest.len().max(4));
        let (now, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, b""));
        let broken = "it is not base64 with its padding";
        if now.ends_with(b"=") && !rest.is_empty() {
            return Err(broken);
        }
        self.rest = rest;
        BASE64.decode_slice(now, buffer).map_err(|_| broken)
    }

    /// Decodes `%XX` and refuses what may not stand in a URL.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What `url` holds, read in pieces of `size` bytes at the most.
    fn read_by(url: &str, size: usize) -> Option<Vec<u8>> {
        let mut decoder = Decoder::new(url).ok()?;
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
