//! `data` URLs (RFC 2397), read as strictly as the reference reads them: only characters of RFC 2396 and
//! `%XX`, base64 of the standard alphabet with its padding.

use std::borrow::Cow;
use std::io::{self, Read};

use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use base64::read::DecoderReader;

use crate::config::data_url::{self, DataUrl, is_url_character};

/// The reference does not look at the bits that the last character has to spare.
static BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Opens the stream of the bytes that `url` holds.
///
/// # Errors
/// What is wrong with the URL before its data.
pub(super) fn open(url: &str) -> Result<Box<dyn Read + '_>, Cow<'static, str>> {
    let DataUrl { is_base64, data } = data_url::split(url)?;
    if is_base64 {
        return Ok(Box::new(DecoderReader::new(data.as_bytes(), &BASE64)));
    }
    Ok(Box::new(Percent::new(data)))
}

/// Decodes `%XX` and refuses what may not stand in a URL.
struct Percent<'a> {
    rest: &'a [u8],
}

impl<'a> Percent<'a> {
    fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes() }
    }
}

impl Read for Percent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count: usize = 0;
        for slot in buffer {
            let (byte, rest) = match self.rest {
                [] => break,
                [b'%', high, low, rest @ ..] => {
                    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
                    let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
                        return Err(invalid("a % without two hexadecimal digits in a data URL"));
                    };
                    ((high << 4) | low, rest)
                }
                [b'%', ..] => return Err(invalid("a % without two hexadecimal digits in a data URL")),
                [byte, rest @ ..] if is_url_character(*byte) => (*byte, rest),
                _ => return Err(invalid("a character in a data URL that must be written as %XX")),
            };
            *slot = byte;
            self.rest = rest;
            count = count.saturating_add(1);
        }
        Ok(count)
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        open(url).ok()?.read_to_end(&mut bytes).ok()?;
        Some(bytes)
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
    fn small_buffers_do_not_split_escapes() {
        let mut reader = open("data:,%41%42%43").unwrap();
        let mut byte = [0];
        let mut bytes = Vec::new();
        while reader.read(&mut byte).unwrap() == 1 {
            bytes.push(byte[0]);
        }
        assert_eq!(bytes, b"ABC");
    }
}
