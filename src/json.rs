//! A pull reader over JSON text: borrowed strings, byte offsets for every error, no recursion.
//!
//! It accepts what Go's `encoding/json` accepts (RFC 8259, nesting up to 10,000) and refuses the rest in its
//! words: invalid UTF-8 and lone surrogates inside strings become U+FFFD, a byte order mark and trailing data are
//! errors.

mod bytes;
mod error;
pub(crate) mod fields;

use std::borrow::Cow;

use bytes::{is_plain, lossy_length, push_lossy};
use error::Context;
pub use error::SyntaxError;

/// Arrays and objects deeper than this are an error, as in the reference.
const MAX_DEPTH: usize = 10_000;

const VALUE: &str = "looking for beginning of value";
const KEY: &str = "looking for beginning of object key string";
const AFTER_PAIR: &str = "after object key:value pair";
const NUMBER: &str = "in numeric literal";
const EXPONENT: &str = "in exponent of numeric literal";
const HEXADECIMAL: &str = "in \\u hexadecimal character escape";

/// The kind of the value that comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// a number
    Number,
    /// a string
    String,
    /// `[`
    Array,
    /// `{`
    Object,
}

impl Kind {
    /// The kind's name in Go's messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool => "bool",
            Self::Number => "number",
            Self::String => "string",
            Self::Array => "array",
            Self::Object => "object",
        }
    }
}

type Result<T> = std::result::Result<T, SyntaxError>;

/// The reader: a cursor over the bytes of a text.
#[derive(Debug)]
pub struct JsonReader<'a> {
    text: &'a [u8],
    at: usize,
    /// Lists and objects that are open.
    depth: usize,
    /// Bytes that strings may still take beside the text.
    room: u64,
}

impl<'a> JsonReader<'a> {
    /// Starts before the first value of `text`.
    pub fn new(text: &'a [u8]) -> Self {
        Self::within(text, u64::MAX)
    }

    /// As [`JsonReader::new`]. All strings that cannot be borrowed from the text take at most `room` bytes together: those
    /// with escapes, and those with invalid UTF-8, of which each byte becomes three.
    pub fn within(text: &'a [u8], room: u64) -> Self {
        Self { text, at: 0, depth: 0, room }
    }

    /// The bytes that strings may still take beside the text.
    pub(crate) fn room(&self) -> u64 {
        self.room
    }

    /// Takes `bytes` of that room; false, and nothing is taken, if there is less.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let left = u64::try_from(bytes).ok().and_then(|bytes| self.room.checked_sub(bytes));
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    /// The offset of the next byte to be read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The next byte does not fit between values, where white space would.
    fn misfit<T>(&self, place: &'static str) -> Result<T> {
        Err(SyntaxError { offset: self.at, found: self.byte(), context: Context::Place(place) })
    }

    /// The next byte does not fit inside a literal, which an early end closes like a space.
    fn broken<T>(&self, context: Context) -> Result<T> {
        Err(SyntaxError { offset: self.at, found: self.byte().or(Some(b' ')), context })
    }

    fn byte(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn space(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.step();
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.byte() == Some(byte);
        if found {
            self.step();
        }
        found
    }

    /// Skips white space and tells what the next value is.
    pub fn peek(&mut self) -> Result<Kind> {
        self.space();
        match self.byte() {
            Some(b'n') => Ok(Kind::Null),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'"') => Ok(Kind::String),
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            _ => self.misfit(VALUE),
        }
    }

    /// Reads `null`.
    pub fn null(&mut self) -> Result<()> {
        self.word("null")
    }

    /// Reads `true` or `false`.
    pub fn bool(&mut self) -> Result<bool> {
        if self.byte() == Some(b't') {
            self.word("true").map(|()| true)
        } else {
            self.word("false").map(|()| false)
        }
    }

    fn word(&mut self, word: &'static str) -> Result<()> {
        for expected in word.bytes() {
            if !self.eat(expected) {
                return self.broken(Context::Literal(word, expected));
            }
        }
        Ok(())
    }

    /// Reads a number and returns its text.
    pub fn number(&mut self) -> Result<&'a str> {
        let start = self.at;
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits(NUMBER)?;
        }
        if self.eat(b'.') {
            self.digits("after decimal point in numeric literal")?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.step();
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.step();
            }
            self.digits(EXPONENT)?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        Ok(std::str::from_utf8(text).unwrap_or_default())
    }

    fn digits(&mut self, place: &'static str) -> Result<()> {
        if !matches!(self.byte(), Some(b'0'..=b'9')) {
            return self.broken(Context::Place(place));
        }
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.step();
        }
        Ok(())
    }

    /// Reads a string: borrowed unless it holds escapes or invalid UTF-8.
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
        // Its length is known before it is allocated, so that an endless one is refused without taking the memory.
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

    /// Hands the parts of the string that the reader is in to `part`, up to its closing quote. A part never ends inside
    /// of a character, since an escape stands for a whole one.
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

    /// Returns everything up to a quote or a backslash, which is next then.
    fn plain_run(&mut self) -> Result<&'a [u8]> {
        let start = self.at;
        // Long strings are most of a config: as long as nothing is found, eight bytes at a time.
        let rest = self.text.get(self.at..).unwrap_or_default();
        let plain = rest.chunks_exact(8).take_while(|word| is_plain(word)).count();
        self.at = self.at.saturating_add(plain.saturating_mul(8));
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(run) = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20) else {
            self.at = self.text.len();
            return self.misfit("in string literal");
        };
        self.at = self.at.saturating_add(run);
        match self.byte() {
            Some(b'"' | b'\\') => Ok(self.text.get(start..self.at).unwrap_or_default()),
            _ => self.misfit("in string literal"),
        }
    }

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
            _ => return self.broken(Context::Place("in string escape code")),
        };
        self.at = after;
        Ok(escaped)
    }

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
        // A lone high surrogate: what follows it is read again by itself.
        self.at = after_first;
        Ok(char::REPLACEMENT_CHARACTER)
    }

    fn hex4(&mut self) -> Result<u32> {
        let mut value = 0;
        for _ in 0..4 {
            let Some(digit) = self.byte().and_then(|b| char::from(b).to_digit(16)) else {
                return self.broken(Context::Place(HEXADECIMAL));
            };
            value = (value << 4) | digit;
            self.step();
        }
        Ok(value)
    }

    /// Enters an object or list. Follow with [`JsonReader::next_key`] or [`JsonReader::next_item`].
    pub fn enter(&mut self) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return self.misfit("exceeded max depth");
        }
        self.depth = self.depth.saturating_add(1);
        self.step();
        Ok(())
    }

    /// Moves to the next key of the object that was entered; `None` past its end. With it comes the offset of its
    /// opening quote.
    pub fn next_key(&mut self, first: bool) -> Result<Option<(Cow<'a, str>, usize)>> {
        if !self.next(first, b'}', AFTER_PAIR)? {
            return Ok(None);
        }
        let start = self.at;
        let key = self.string()?;
        self.colon()?;
        Ok(Some((key, start)))
    }

    /// As [`JsonReader::next_key`], without the key; false past the end.
    fn skip_key(&mut self, first: bool) -> Result<bool> {
        if !self.next(first, b'}', AFTER_PAIR)? {
            return Ok(false);
        }
        if self.byte() != Some(b'"') {
            return self.misfit(KEY);
        }
        self.skip_string()?;
        self.colon()?;
        Ok(true)
    }

    fn colon(&mut self) -> Result<()> {
        self.space();
        if self.eat(b':') { Ok(()) } else { self.misfit("after object key") }
    }

    /// Moves to the next item of the list that was entered; false past its end.
    pub fn next_item(&mut self, first: bool) -> Result<bool> {
        self.next(first, b']', "after array element")
    }

    fn next(&mut self, first: bool, close: u8, place: &'static str) -> Result<bool> {
        self.space();
        if self.eat(close) {
            self.depth = self.depth.saturating_sub(1);
            return Ok(false);
        }
        if !first && !self.eat(b',') {
            return self.misfit(place);
        }
        self.space();
        Ok(true)
    }

    /// Passes over one whole value of any kind, checking it.
    pub fn skip(&mut self) -> Result<()> {
        // One entry for each open list (false) or object (true).
        let mut open: Vec<bool> = Vec::new();
        loop {
            let mut first = false;
            match self.peek()? {
                Kind::Null => self.null()?,
                Kind::Bool => self.bool().map(drop)?,
                Kind::Number => self.number().map(drop)?,
                Kind::String => self.skip_string()?,
                kind @ (Kind::Array | Kind::Object) => {
                    self.enter()?;
                    open.push(kind == Kind::Object);
                    first = true;
                }
            }
            // Close whatever ends here, then stand before the next value.
            loop {
                let Some(&is_object) = open.last() else { return Ok(()) };
                let more = if is_object { self.skip_key(first)? } else { self.next_item(first)? };
                if more {
                    break;
                }
                open.pop();
                first = false;
            }
        }
    }

    fn skip_string(&mut self) -> Result<()> {
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

    /// Makes sure that nothing but white space follows.
    pub fn end(&mut self) -> Result<()> {
        self.space();
        if self.byte().is_some() { self.misfit("after top-level value") } else { Ok(()) }
    }
}

/// Checks that `text` is one JSON value.
///
/// # Errors
/// The first error of its syntax.
pub(crate) fn check(text: &[u8]) -> Result<()> {
    let mut reader = JsonReader::new(text);
    reader.skip()?;
    reader.end()
}

#[cfg(test)]
mod tests;
