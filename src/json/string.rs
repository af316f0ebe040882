//! Strings: their escapes, and their bytes that are not UTF-8.

use std::borrow::Cow;

use super::bytes::{is_plain, lossy_length, push_lossy};
use super::error::Context;
use super::{JsonReader, KEY, Result, SyntaxError};

const IN_STRING: &str = "in string literal";
const HEXADECIMAL: &str = "in \\u hexadecimal character escape";

impl<'a> JsonReader<'a> {
    /// Reads a string. It is borrowed from the text unless it has escapes or invalid UTF-8.
    pub fn string(&mut self) -> Result<Cow<'a, str>> {
        if !self.eat(b'"') {
            return self.misfit(KEY);
        }
        let start = self.at;
        let plain = self.plain_run()?;
        if self.eat(b'"') {
            if let Ok(text) = std::str::from_utf8(plain) {
                return Ok(Cow::Borrowed(text));
            }
        }
        // The length is counted first, so that a string that is too large is refused before memory is allocated for it.
        self.at = start;
        let mut length: usize = 0;
        self.decode(&mut |run| length = length.saturating_add(lossy_length(run)))?;
        let end = self.at;
        if !self.take(length) {
            return Err(SyntaxError { offset: start, found: self.byte(), context: Context::Room });
        }
        self.at = start;
        let mut text = String::with_capacity(length);
        self.decode(&mut |run| push_lossy(&mut text, run))?;
        debug_assert_eq!((self.at, text.len()), (end, length));
        Ok(Cow::Owned(text))
    }

    /// Decodes the rest of the string, up to its closing quote, and calls `part` with each part of it. No part ends
    /// inside a character, because an escape stands for a whole character.
    fn decode(&mut self, part: &mut dyn FnMut(&[u8])) -> Result<()> {
        loop {
            part(self.plain_run()?);
            if self.eat(b'"') {
                return Ok(());
            }
            self.step();
            let mut utf8 = [0; 4];
            part(self.escape()?.encode_utf8(&mut utf8).as_bytes());
        }
    }

    /// Reads everything up to the next quote or backslash, which stays unread.
    fn plain_run(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        // Most of a config is long strings, so eight bytes are searched at a time until they hold one of the two.
        let rest = self.text.get(self.at..).unwrap_or_default();
        let plain = rest.chunks_exact(8).take_while(|word| is_plain(word)).count();
        self.at = self.at.saturating_add(plain.saturating_mul(8));
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(run) = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20) else {
            self.at = self.text.len();
            return self.misfit(IN_STRING);
        };
        self.at = self.at.saturating_add(run);
        match self.byte() {
            Some(b'"' | b'\\') => Ok(self.text.get(start..self.at).unwrap_or_default()),
            _ => self.misfit(IN_STRING),
        }
    }

    /// Reads an escape; its backslash has been read.
    fn escape(&mut self) -> Result<char> {
        let byte = self.byte();
        let after = self.at.saturating_add(1);
        let escaped = match byte {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.step();
                return self.unicode_escape();
            }
            _ => return self.broken(Context::Grammar("in string escape code")),
        };
        self.at = after;
        Ok(escaped)
    }

    /// Reads the digits of `\u`, and a second escape if the two are a surrogate pair.
    fn unicode_escape(&mut self) -> Result<char> {
        let first = self.hex4()?;
        if !(0xd800..0xdc00).contains(&first) {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let after_first = self.at;
        if self.eat(b'\\') && self.eat(b'u') {
            let second = self.hex4()?;
            if (0xdc00..0xe000).contains(&second) {
                let high = first.wrapping_sub(0xd800) << 10;
                let low = second.wrapping_sub(0xdc00);
                return Ok(
                    char::from_u32((high | low).wrapping_add(0x10000)).unwrap_or(char::REPLACEMENT_CHARACTER)
                );
            }
        }
        // The high surrogate stands alone. What follows it is read again, as Go does.
        self.at = after_first;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    /// Reads four hexadecimal digits.
    fn hex4(&mut self) -> Result<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = self.byte().and_then(|b| char::from(b).to_digit(16)) else {
                return self.broken(Context::Grammar(HEXADECIMAL));
            };
            value = (value << 4) | digit;
            self.step();
        }
        Ok(value)
    }

    /// Reads a string without decoding it.
    pub(super) fn skip_string(&mut self) -> Result<()> {
        self.eat(b'"');
        loop {
            self.plain_run()?;
            if self.eat(b'"') {
                return Ok(());
            }
            self.step();
            self.escape()?;
        }
    }
}
