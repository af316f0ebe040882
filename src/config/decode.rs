//! From JSON text to the typed [`Config`](super::Config): keys matched as Go's `encoding/json` does it.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::json::{Kind, Position, Reader, SyntaxError};
use super::version::Version;
use crate::error::{Error, Reason, Result};

/// All lists of a config together may hold this many items, so that a small text cannot ask for endless memory.
const MAX_ITEMS: u32 = 100_000;
/// As many unused keys are told.
const MOST_UNUSED: usize = 20;

/// A value of the config that can be read from JSON. `null` leaves it as it is by default.
pub(super) trait Value<'a> {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()>;
}

/// An object of the config: its fields by key.
pub(super) trait Object<'a> {
    /// The field for `key`: its exact key, the minor version of the first spec that has it, and its place.
    fn field(&mut self, key: &str) -> Option<(&'static str, u8, &mut dyn Value<'a>)>;
}

/// One step of a path such as `$.storage.files.0`.
enum Segment {
    Key(&'static str),
    Index(usize),
}

/// A key that the config's spec version does not know, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusedKey {
    /// The path of the object that holds it, then the key: `$.storage.fiels`.
    pub path: String,
    /// Offset of the byte after the key's colon.
    pub offset: usize,
}

/// The state of one pass over the text.
pub(super) struct Decoder<'a> {
    text: &'a [u8],
    reader: Reader<'a>,
    version: Version,
    path: Vec<Segment>,
    unused: Vec<UnusedKey>,
    items: u32,
}

/// Reads `text` as one value of the given spec version.
pub(super) fn decode<'a>(
    text: &'a [u8],
    version: Version,
    value: &mut dyn Value<'a>,
) -> Result<Vec<UnusedKey>> {
    let mut decoder =
        Decoder { text, reader: Reader::new(text), version, path: Vec::new(), unused: Vec::new(), items: 0 };
    value.decode(&mut decoder)?;
    let end = decoder.reader.end();
    decoder.syntax(end)?;
    Ok(decoder.unused)
}

impl<'a> Decoder<'a> {
    fn syntax<T>(&self, result: std::result::Result<T, SyntaxError>) -> Result<T> {
        result.map_err(|error| {
            let position = Position::of(self.text, error.offset);
            Error::new(
                Reason::ConfigSyntax,
                format!("the config is not valid JSON: {}, at {self}, {position}", error.what),
            )
        })
    }

    fn mismatch<T>(&self, expected: &str, found: &str) -> Result<T> {
        let position = Position::of(self.text, self.reader.offset());
        Err(Error::new(
            Reason::ConfigSyntax,
            format!("expected {expected}, found {found}, at {self}, {position}"),
        ))
    }

    fn peek(&mut self) -> Result<Kind> {
        let peeked = self.reader.peek();
        self.syntax(peeked)
    }

    /// Whether the value is `null`, which is then passed over.
    fn null(&mut self) -> Result<bool> {
        if self.peek()? != Kind::Null {
            return Ok(false);
        }
        let read = self.reader.null();
        self.syntax(read).map(|()| true)
    }

    fn expect(&mut self, kind: Kind) -> Result<()> {
        let found = self.peek()?;
        if found == kind { Ok(()) } else { self.mismatch(kind.word(), found.word()) }
    }

    /// Reads an object into `object`; a key that stands twice is read twice, into the same place.
    pub(super) fn object(&mut self, object: &mut dyn Object<'a>) -> Result<()> {
        if self.null()? {
            return Ok(());
        }
        self.expect(Kind::Object)?;
        self.reader.enter();
        let mut first = true;
        loop {
            let key = self.reader.next_key(first);
            let Some(key) = self.syntax(key)? else { return Ok(()) };
            first = false;
            match object.field(&key) {
                Some((exact, since, value)) if since <= self.version.minor() => {
                    if exact != key {
                        self.unused(&key);
                    }
                    self.path.push(Segment::Key(exact));
                    value.decode(self)?;
                    self.path.pop();
                }
                _ => {
                    self.unused(&key);
                    let skipped = self.reader.skip();
                    self.syntax(skipped)?;
                }
            }
        }
    }

    fn unused(&mut self, key: &str) {
        if self.unused.len() >= MOST_UNUSED {
            return;
        }
        let path = format!("{self}.{key}");
        self.unused.push(UnusedKey { path, offset: self.reader.offset() });
    }
}

/// The path of the value that is being read.
impl fmt::Display for Decoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('$')?;
        for segment in &self.path {
            match segment {
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, ".{index}")?,
            }
        }
        Ok(())
    }
}

impl<'a> Value<'a> for Cow<'a, str> {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()> {
        if decoder.null()? {
            return Ok(());
        }
        decoder.expect(Kind::String)?;
        let text = decoder.reader.string();
        *self = decoder.syntax(text)?;
        Ok(())
    }
}

impl<'a> Value<'a> for bool {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()> {
        decoder.expect(Kind::Bool)?;
        let value = decoder.reader.bool();
        *self = decoder.syntax(value)?;
        Ok(())
    }
}

impl<'a> Value<'a> for i64 {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()> {
        decoder.expect(Kind::Number)?;
        let text = decoder.reader.number();
        let text = decoder.syntax(text)?;
        match text.parse() {
            Ok(value) => *self = value,
            Err(_) => return decoder.mismatch("an integer of 64 bits", text),
        }
        Ok(())
    }
}

/// `null` unsets, as it does for the reference's pointers.
impl<'a, T: Value<'a> + Default> Value<'a> for Option<T> {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()> {
        if decoder.null()? {
            *self = None;
            return Ok(());
        }
        self.get_or_insert_with(T::default).decode(decoder)
    }
}

/// A list that stands twice is replaced.
impl<'a, T: Value<'a> + Default> Value<'a> for Vec<T> {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()> {
        self.clear();
        if decoder.null()? {
            return Ok(());
        }
        decoder.expect(Kind::Array)?;
        decoder.reader.enter();
        loop {
            let more = decoder.reader.next_item(self.is_empty());
            if !decoder.syntax(more)? {
                return Ok(());
            }
            decoder.items = decoder.items.saturating_add(1);
            if decoder.items > MAX_ITEMS {
                return decoder.mismatch("at most 100,000 items in all lists", "more");
            }
            decoder.path.push(Segment::Index(self.len()));
            let mut item = T::default();
            item.decode(decoder)?;
            self.push(item);
            decoder.path.pop();
        }
    }
}
