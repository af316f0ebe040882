//! A pull reader for JSON: it borrows strings from the text, names the byte offset of every error, and does not
//! recurse.
//!
//! The reader accepts exactly what Go's `encoding/json` accepts: RFC 8259, nested up to 10,000 deep. Invalid UTF-8 and
//! lone surrogates in strings become U+FFFD. A byte order mark and data after the value are errors. Errors are told in
//! Go's words.

mod bytes;
mod error;
pub(crate) mod fields;
mod string;

use std::borrow::Cow;

use error::Context;
pub use error::SyntaxError;

/// The largest number of arrays and objects inside each other, as in the reference.
const MAX_DEPTH: usize = 10_000;

const VALUE: &str = "looking for beginning of value";
const KEY: &str = "looking for beginning of object key string";
const AFTER_PAIR: &str = "after object key:value pair";
const NUMBER: &str = "in numeric literal";
const EXPONENT: &str = "in exponent of numeric literal";

/// The kind of a JSON value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JsonKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number
    Number,
    /// A string
    String,
    /// `[`
    Array,
    /// `{`
    Object,
}

impl JsonKind {
    /// Returns the name of the kind in Go's messages.
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

/// A cursor over the bytes of a JSON text.
#[derive(Debug)]
pub struct JsonReader<'a> {
    text: &'a [u8],
    /// The offset of the next byte.
    at: usize,
    /// The number of lists and objects that are open.
    depth: usize,
    /// The number of bytes that decoded strings may still take.
    room: u64,
}

impl<'a> JsonReader<'a> {
    /// Returns a reader at the start of `text`. Its decoded strings may take any amount of memory.
    pub fn new(text: &'a [u8]) -> Self {
        Self::within(text, u64::MAX)
    }

    /// As [`JsonReader::new`], but decoded strings take at most `room` bytes together. Only strings with escapes or
    /// with invalid UTF-8 have to be decoded; one invalid byte becomes three bytes.
    pub fn within(text: &'a [u8], room: u64) -> Self {
        Self { text, at: 0, depth: 0, room }
    }

    /// Returns the number of bytes that decoded strings may still take.
    pub(crate) fn room(&self) -> u64 {
        self.room
    }

    /// Subtracts `bytes` from the room. Returns false, and leaves the room as it is, if less than `bytes` is left.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let left = u64::try_from(bytes).ok().and_then(|bytes| self.room.checked_sub(bytes));
        self.room = left.unwrap_or(self.room);
        left.is_some()
    }

    /// Returns the offset of the next byte.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// Returns the error for the next byte, at a place between values: white space would have been accepted.
    fn misfit<T>(&self, place: &'static str) -> Result<T> {
        Err(SyntaxError { offset: self.at, found: self.byte(), context: Context::Grammar(place) })
    }

    /// Returns the error for the next byte, inside a literal. As in Go, the end of the text is reported as a space.
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

    /// Skips white space and returns the kind of the next value.
    pub fn peek(&mut self) -> Result<JsonKind> {
        self.space();
        match self.byte() {
            Some(b'n') => Ok(JsonKind::Null),
            Some(b't' | b'f') => Ok(JsonKind::Bool),
            Some(b'-' | b'0'..=b'9') => Ok(JsonKind::Number),
            Some(b'"') => Ok(JsonKind::String),
            Some(b'[') => Ok(JsonKind::Array),
            Some(b'{') => Ok(JsonKind::Object),
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

    /// Reads a number and returns its text, which has the form of RFC 8259 but any length.
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
            return self.broken(Context::Grammar(place));
        }
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.step();
        }
        Ok(())
    }

    /// Passes the opening bracket of an object or list. Go on with [`JsonReader::next_key`] or
    /// [`JsonReader::next_item`].
    pub fn enter(&mut self) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return self.misfit("exceeded max depth");
        }
        self.depth = self.depth.saturating_add(1);
        self.step();
        Ok(())
    }

    /// Reads the next key of the object that was entered, up to the value. Returns the key and the offset of its
    /// opening quote; `None` after the closing bracket. `first` says whether no key was read before, so that no comma
    /// is due.
    pub fn next_key(&mut self, first: bool) -> Result<Option<(Cow<'a, str>, usize)>> {
        if !self.next(first, b'}', AFTER_PAIR)? {
            return Ok(None);
        }
        let start = self.at;
        let key = self.string()?;
        self.colon()?;
        Ok(Some((key, start)))
    }

    /// As [`JsonReader::next_key`], but does not decode the key. Returns false after the closing bracket.
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

    /// Moves to the next item of the list that was entered. Returns false after the closing bracket. `first` says
    /// whether no item was read before.
    pub fn next_item(&mut self, first: bool) -> Result<bool> {
        self.next(first, b']', "after array element")
    }

    /// Passes the comma before the next key or item; or the bracket `close`, and returns false then.
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

    /// Reads one whole value of any kind without decoding it. Its syntax is checked.
    pub fn skip(&mut self) -> Result<()> {
        // Holds one entry for each open object (true) and list (false).
        let mut open: Vec<bool> = Vec::new();
        loop {
            let mut first = false;
            match self.peek()? {
                JsonKind::Null => self.null()?,
                JsonKind::Bool => self.bool().map(drop)?,
                JsonKind::Number => self.number().map(drop)?,
                JsonKind::String => self.skip_string()?,
                kind @ (JsonKind::Array | JsonKind::Object) => {
                    self.enter()?;
                    open.push(kind == JsonKind::Object);
                    first = true;
                }
            }
            // Pass all closing brackets that follow, up to the next value.
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

    /// Checks that only white space follows.
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
