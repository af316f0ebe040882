//! Values of known kinds, for the small files that the program itself writes.
//!
//! Each function returns `None` for JSON of another kind and for text that is not JSON.

use std::borrow::Cow;
use std::str::FromStr;

use super::{JsonKind, JsonReader};

/// Keeps the value of a field, which must not stand twice.
pub(crate) fn set<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.replace(value).is_none().then_some(())
}

/// Reads an object, with `field` for the value of each key.
pub(crate) fn object<'a>(
    reader: &mut JsonReader<'a>,
    field: &mut dyn FnMut(&mut JsonReader<'a>, &str) -> Option<()>,
) -> Option<()> {
    start(reader, JsonKind::Object)?;
    reader.enter().ok()?;
    let mut is_first = true;
    while let Some((key, _)) = reader.next_key(is_first).ok()? {
        is_first = false;
        field(reader, &key)?;
    }
    Some(())
}

/// Moves to the next value, which must be of this kind.
pub(crate) fn start(reader: &mut JsonReader<'_>, kind: JsonKind) -> Option<()> {
    (reader.peek().ok()? == kind).then_some(())
}

/// Reads a string that stands in the text as it is, without escapes.
pub(crate) fn string<'a>(reader: &mut JsonReader<'a>) -> Option<&'a str> {
    start(reader, JsonKind::String)?;
    match reader.string().ok()? {
        Cow::Borrowed(text) => Some(text),
        Cow::Owned(_) => None,
    }
}

/// Reads `true` or `false`.
pub(crate) fn bool(reader: &mut JsonReader<'_>) -> Option<bool> {
    start(reader, JsonKind::Bool)?;
    reader.bool().ok()
}

/// Reads a number that a `T` holds: whole, and not too large.
pub(crate) fn number<T: FromStr>(reader: &mut JsonReader<'_>) -> Option<T> {
    start(reader, JsonKind::Number)?;
    reader.number().ok()?.parse().ok()
}

/// Reads a value by `read`; `null` is `Some(None)`.
#[allow(clippy::option_option, reason = "null and no value of this kind are two things")]
pub(crate) fn unless_null<'a, T>(
    reader: &mut JsonReader<'a>,
    read: &dyn Fn(&mut JsonReader<'a>) -> Option<T>,
) -> Option<Option<T>> {
    if start(reader, JsonKind::Null).is_some() {
        return reader.null().ok().map(|()| None);
    }
    read(reader).map(Some)
}
