//! Decodes JSON text into the typed [`Config`](super::Config). Keys are matched as Go's `encoding/json` matches them.

mod mismatch;
mod remarks;

use std::borrow::Cow;

use super::report::{Report, Step, last_key};
use super::schema::{ListMut, Object, ShapeMut};
use crate::go::same_key;
use crate::json::{JsonKind, JsonReader, SyntaxError};
use remarks::Remarks;

/// The largest number of items that all lists of a config hold together, so that a small text cannot take endless
/// memory.
const MAX_ITEMS: u32 = 100_000;
/// The largest number of bytes of a number that a message shows.
const LONGEST_NUMBER: usize = 4_096;
/// Stands for a version newer than all others: the version of the config decides what the text means.
const DEPENDS: u8 = u8::MAX;

/// Why a text could not be decoded.
#[derive(Debug)]
pub(super) enum DecodeError {
    /// It is not JSON.
    Syntax(SyntaxError),
    /// A value is of the wrong type.
    Type(TypeMismatch),
    /// A bound on the size of configs is passed; the words name the bound.
    TooMany(&'static str),
}

/// A value of the wrong type.
#[derive(Debug)]
pub(super) struct TypeMismatch {
    /// The offset that the reference shows, in bytes: after the value, or after its opening bracket.
    pub offset: usize,
    /// What is wrong, in Go's words.
    pub message: String,
    /// The path of the value, and which type it must have.
    pub hint: String,
}

impl From<SyntaxError> for DecodeError {
    fn from(error: SyntaxError) -> Self {
        if error.is_too_large() {
            return Self::TooMany("its strings, decoded, take more than the memory that is left for them");
        }
        Self::Syntax(error)
    }
}

/// How much more a text may take while it is decoded, beside the text itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Items of lists.
    pub items: u32,
    /// Bytes of strings that cannot be borrowed from the text.
    pub bytes: u64,
}

impl Room {
    /// Returns the room of one config, or of several that belong together. All their decoded strings take at most
    /// `bytes`.
    pub fn new(bytes: u64) -> Self {
        Self { items: MAX_ITEMS, bytes }
    }
}

type Result<T> = std::result::Result<T, DecodeError>;

/// The state of one pass over the text.
pub(super) struct Decoder<'a> {
    reader: JsonReader<'a>,
    /// The minor version of the spec whose keys and types hold.
    minor: u8,
    /// Whether everything but `ignition.version` is passed over.
    only_version: bool,
    /// The path of the value that is being decoded.
    path: Vec<Step>,
    /// The reference's names of the objects that are being decoded, from the outermost.
    objects: Vec<&'static str>,
    /// The number of keys on the path that are spelled in another case. The reference's report does not see what is
    /// below such a key.
    inexact: u32,
    remarks: Remarks,
    /// The number of items that lists may still have.
    items: u32,
    /// The newest minor version of which a field was decoded, or [`DEPENDS`].
    newest: u8,
}

/// What a pass over the text leaves beside the config.
pub(super) struct Decoded {
    /// The minor version of the newest field in the text. It is above every version if the meaning of the text depends
    /// on the version.
    pub newest: u8,
    /// How much more other texts may take that share the room.
    pub room: Room,
    remarks: Remarks,
}

impl Decoded {
    /// Adds warnings for the keys that the version does not have, and for objects that are `null`.
    pub fn report(self, report: &mut Report) {
        self.remarks.report(report);
    }
}

/// Decodes `text` into `object` by the spec version 3.`minor`, within `room`. With `only_version`, only
/// `ignition.version` is decoded.
///
/// # Errors
/// The first error in the text. `object` holds then what came before it.
pub(super) fn decode<'a>(
    text: &'a [u8],
    minor: u8,
    only_version: bool,
    room: Room,
    object: &mut dyn Object<'a>,
) -> Result<Decoded> {
    let mut decoder = Decoder {
        reader: JsonReader::within(text, room.bytes),
        minor,
        only_version,
        path: Vec::new(),
        objects: Vec::new(),
        inexact: 0,
        remarks: Remarks::default(),
        items: room.items,
        newest: 0,
    };
    decoder.object(object)?;
    decoder.reader.end()?;
    Ok(Decoded {
        newest: decoder.newest,
        room: Room { items: decoder.items, bytes: decoder.reader.room() },
        remarks: decoder.remarks,
    })
}

impl<'a> Decoder<'a> {
    /// Decodes the next value into `target`.
    fn value(&mut self, target: ShapeMut<'_, 'a>) -> Result<()> {
        match target {
            ShapeMut::Text(text) => {
                if let Some(found) = self.string()? {
                    *text = found;
                }
            }
            ShapeMut::Integer(integer) => {
                if let Some(found) = self.integer()? {
                    *integer = found;
                }
            }
            ShapeMut::OptionalText(text) => *text = self.string()?,
            ShapeMut::OptionalInteger(integer) => *integer = self.integer()?,
            ShapeMut::OptionalBool(bool) => *bool = self.bool()?,
            ShapeMut::Object(object) => return self.object(object),
            ShapeMut::List(list) => return self.list(list),
        }
        Ok(())
    }

    /// Reads a string. Returns `None` for `null`.
    fn string(&mut self) -> Result<Option<Cow<'a, str>>> {
        match self.reader.peek()? {
            JsonKind::Null => self.reader.null().map(|()| None).map_err(DecodeError::from),
            JsonKind::String => Ok(Some(self.reader.string()?)),
            found => {
                let in_list = matches!(self.path.last(), Some(Step::Index(_)));
                let wanted =
                    if in_list { format!("types.{}", self.text_name()) } else { "string".to_owned() };
                Err(self.mismatch(found, &wanted, "a string"))
            }
        }
    }

    /// Reads a boolean. Returns `None` for `null`.
    fn bool(&mut self) -> Result<Option<bool>> {
        match self.reader.peek()? {
            JsonKind::Null => self.reader.null().map(|()| None).map_err(DecodeError::from),
            JsonKind::Bool => Ok(Some(self.reader.bool()?)),
            found => Err(self.mismatch(found, "bool", "true or false")),
        }
    }

    /// Reads an integer of 64 bits. Returns `None` for `null`.
    fn integer(&mut self) -> Result<Option<i64>> {
        match self.reader.peek()? {
            JsonKind::Null => self.reader.null().map(|()| None).map_err(DecodeError::from),
            JsonKind::Number => {
                let text = self.reader.number()?;
                if let Ok(value) = text.parse() {
                    return Ok(Some(value));
                }
                let text = text.get(..LONGEST_NUMBER).unwrap_or(text);
                Err(self.type_error(&format!("number {text}"), "int", "an integer of 64 bits"))
            }
            found => Err(self.mismatch(found, "int", "an integer")),
        }
    }

    /// Decodes a list into `list`. `null` empties it. If a key stands twice, the items of the second list are decoded
    /// into those of the first, as in the reference.
    fn list(&mut self, list: &mut dyn ListMut<'a>) -> Result<()> {
        match self.reader.peek()? {
            JsonKind::Null => {
                list.truncate(0);
                return Ok(self.reader.null()?);
            }
            JsonKind::Array => self.reader.enter()?,
            found => {
                let wanted = match list.slot(0) {
                    Some(ShapeMut::Object(object)) if object.name() == "HTTPHeader" => {
                        "types.HTTPHeaders".to_owned()
                    }
                    Some(ShapeMut::Object(object)) => format!("[]types.{}", self.object_name(object.name())),
                    _ => format!("[]types.{}", self.text_name()),
                };
                return Err(self.mismatch(found, &wanted, "a list"));
            }
        }
        let mut count = 0;
        while self.reader.next_item(count == 0)? {
            let items = self.items.checked_sub(1);
            self.items = items.ok_or(DecodeError::TooMany("the lists hold more than 100,000 items"))?;
            self.path.push(Step::Index(count));
            if let Some(item) = list.slot(count) {
                self.value(item)?;
            }
            self.path.pop();
            count = count.saturating_add(1);
        }
        list.truncate(count);
        Ok(())
    }

    /// Decodes an object into `object`. A key that stands twice is decoded twice, into the same field.
    fn object(&mut self, object: &mut dyn Object<'a>) -> Result<()> {
        match self.reader.peek()? {
            JsonKind::Null => return self.null_object(object),
            JsonKind::Object => {}
            found => {
                let wanted = format!("types.{}", self.object_name(object.name()));
                return Err(self.mismatch(found, &wanted, "an object"));
            }
        }
        if object.name() == "ClevisCustom" {
            self.begin_custom_pin(object);
        }
        self.objects.push(self.object_name(object.name()));
        self.reader.enter()?;
        let mut first = true;
        let (mut seen, mut seen_exactly): (u32, u32) = (0, 0);
        while let Some((key, start)) = self.reader.next_key(first)? {
            first = false;
            let known = self.field(&*object, &key);
            let Some((index, exact)) = known.filter(|_| !self.passes_over(&key)) else {
                if known.is_none() {
                    self.note_unused_key(&key, start, &*object);
                }
                self.reader.skip()?;
                continue;
            };
            self.path.push(Step::Key(exact));
            let is_exact = exact == key;
            let bit = u32::try_from(index).ok().and_then(|index| 1u32.checked_shl(index)).unwrap_or(0);
            if seen & bit != 0 {
                self.note_repeated_key(is_exact && seen_exactly & bit != 0)?;
            }
            seen |= bit;
            if is_exact {
                seen_exactly |= bit;
            } else {
                self.path.pop();
                self.note_unused_key(&key, start, &*object);
                self.path.push(Step::Key(exact));
                self.inexact = self.inexact.saturating_add(1);
            }
            if let Some(value) = object.field_mut(index) {
                self.value(value)?;
            }
            if !is_exact {
                self.inexact = self.inexact.saturating_sub(1);
            }
            self.path.pop();
        }
        self.objects.pop();
        Ok(())
    }

    /// Makes the strings of a custom Clevis pin empty instead of absent, in 3.2 only. There, an empty object differs
    /// from an absent one.
    fn begin_custom_pin(&mut self, object: &mut dyn Object<'a>) {
        self.newest = DEPENDS;
        if self.minor != 2 {
            return;
        }
        for index in 0..object.fields().len() {
            if let Some(ShapeMut::OptionalText(text)) = object.field_mut(index) {
                text.get_or_insert_with(Cow::default);
            }
        }
    }

    /// Returns the index of the field for `key`, and the key as the spec spells it; `None` if the version has no such
    /// field.
    fn field(&mut self, object: &dyn Object<'a>, key: &str) -> Option<(usize, &'static str)> {
        let fields = object.fields();
        let found = fields.iter().position(|field| field.key == key);
        let found = found.or_else(|| fields.iter().position(|field| same_key(field.key, key)))?;
        let field = fields.get(found)?;
        // In 3.0, referenced configs and certificates have no compression.
        let is_late = field.key == "compression"
            && matches!(self.last_key(), "merge" | "replace" | "certificateAuthorities");
        let since = if is_late { 1 } else { field.since };
        if since > self.minor {
            return None;
        }
        self.newest = self.newest.max(since);
        Some((found, field.key))
    }

    /// Returns whether only the version is to be decoded, and `key` does not lead to it.
    fn passes_over(&self, key: &str) -> bool {
        let wanted = if self.path.is_empty() { "ignition" } else { "version" };
        self.only_version && !same_key(wanted, key)
    }

    /// Passes `null` in the place of an object, which stays as it is. The reference warns about it.
    fn null_object(&mut self, object: &mut dyn Object<'a>) -> Result<()> {
        let offset = self.reader.offset();
        self.reader.null()?;
        // In 3.2 the reference's types hold pointers to these two objects, which may be null.
        if matches!(object.name(), "Clevis" | "ClevisCustom") {
            self.newest = DEPENDS;
            if self.minor == 2 {
                return Ok(());
            }
        }
        self.note_null_object(offset);
        Ok(())
    }

    /// Returns the key of the value that is being decoded, or of the list that the value stands in.
    fn last_key(&self) -> &'static str {
        last_key(&self.path)
    }
}
