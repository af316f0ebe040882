//! From JSON text to the typed [`Config`](super::Config): keys matched as Go's `encoding/json` does it.

mod mismatch;

use std::borrow::Cow;

use super::hints;
use super::json::{Kind, Reader, SyntaxError};
use super::report::{Finding, Path, Report, Severity, Step, last_key};
use super::schema::{ListMut, Object, Shape, Value};
use crate::sort::sort;

/// All lists of a config together may hold this many items, so that a small text cannot ask for endless memory.
const MAX_ITEMS: u32 = 100_000;
/// As many keys may stand twice: each takes a look at all that was said before.
const MAX_REPEATED: u32 = 1_000;
/// Digits of a number that a message shows.
const LONGEST_NUMBER: usize = 4_096;
/// As many remarks are kept while the text is read.
const MOST_REMARKS: usize = 10_000;
/// Newer than all versions: what was read depends on the version.
const DEPENDS: u8 = u8::MAX;

/// Why the text could not be read.
#[derive(Debug)]
pub(super) enum Fault {
    /// It is not JSON.
    Syntax(SyntaxError),
    /// A value is of the wrong type.
    Type(TypeFault),
    /// There is more of this than anybody writes.
    TooMany(&'static str),
}

/// A value of the wrong type.
#[derive(Debug)]
pub(super) struct TypeFault {
    /// The byte that the reference shows: the one after the value, or after its opening bracket.
    pub offset: usize,
    /// What is wrong, in Go's words.
    pub message: String,
    /// Where, and what is wanted there.
    pub hint: String,
}

impl From<SyntaxError> for Fault {
    fn from(error: SyntaxError) -> Self {
        if error.is_too_large() {
            return Self::TooMany("its strings, decoded, take more than the memory that is left for them");
        }
        Self::Syntax(error)
    }
}

/// What a config may still take beside its text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Room {
    /// Items of lists.
    pub items: u32,
    /// Bytes of strings that cannot be borrowed from the text.
    pub bytes: u64,
}

impl Room {
    /// The room of one config, or of several that belong together, on a machine with `bytes` of memory for them.
    pub fn new(bytes: u64) -> Self {
        Self { items: MAX_ITEMS, bytes }
    }
}

type Result<T> = std::result::Result<T, Fault>;

/// The state of one pass over the text.
pub(super) struct Decoder<'a> {
    reader: Reader<'a>,
    minor: u8,
    only_version: bool,
    path: Vec<Step>,
    /// The names of the objects that are being read, from the outermost.
    objects: Vec<&'static str>,
    /// Keys on the way here that were not written exactly so: the reference's report does not see what is below.
    inexact: u32,
    remarks: Vec<Remark>,
    left_off: usize,
    /// Items that lists may still have.
    items: u32,
    repeated: u32,
    /// The newest version of which a field was read.
    newest: u8,
}

/// What is to be said about a place, though it does not make the config invalid.
#[derive(Default)]
struct Remark {
    path: Vec<Step>,
    offset: usize,
    message: String,
    hint: Option<String>,
}

/// What a pass over the text leaves beside the config.
pub(super) struct Read {
    /// The minor version of the newest field that was read; more than there are where what was read depends on the
    /// version.
    pub newest: u8,
    /// What other texts may still take.
    pub room: Room,
    remarks: Vec<Remark>,
    left_off: usize,
}

impl Read {
    /// Adds the keys that the version does not know, and the objects that are `null`.
    pub fn report(mut self, report: &mut Report) {
        // Of a key that stands several times the last one counts.
        sort(&mut self.remarks, &|one, other| one.path.cmp(&other.path).then(other.offset.cmp(&one.offset)));
        self.remarks.dedup_by(|later, kept| later.path == kept.path);
        for Remark { path, offset, message, hint } in self.remarks {
            report.push(Finding {
                severity: Severity::Warning,
                message: Cow::Owned(message),
                position: None,
                path,
                offset: Some(offset),
                hint,
            });
        }
        report.left_off = report.left_off.saturating_add(self.left_off);
    }
}

/// Reads `text` as one value of the spec version 3.`minor`, within `room`; with `only_version`, nothing of it but
/// `ignition.version`.
pub(super) fn decode<'a>(
    text: &'a [u8],
    minor: u8,
    only_version: bool,
    room: Room,
    value: &mut dyn Value<'a>,
) -> Result<Read> {
    let mut decoder = Decoder {
        reader: Reader::within(text, room.bytes),
        minor,
        only_version,
        path: Vec::new(),
        objects: Vec::new(),
        inexact: 0,
        remarks: Vec::new(),
        left_off: 0,
        items: room.items,
        repeated: 0,
        newest: 0,
    };
    value.decode(&mut decoder)?;
    decoder.reader.end()?;
    Ok(Read {
        newest: decoder.newest,
        room: Room { items: decoder.items, bytes: decoder.reader.room() },
        remarks: decoder.remarks,
        left_off: decoder.left_off,
    })
}

/// Whether `text` is JSON at all.
pub(super) fn check(text: &[u8]) -> std::result::Result<(), SyntaxError> {
    let mut reader = Reader::new(text);
    reader.skip()?;
    reader.end()
}

impl<'a> Decoder<'a> {
    /// Whether the value is `null`, which is then passed over.
    pub fn null(&mut self) -> Result<bool> {
        let is_null = self.reader.peek()? == Kind::Null;
        if is_null {
            self.reader.null()?;
        }
        Ok(is_null)
    }

    /// Reads a string; `None` for `null`.
    pub fn string(&mut self) -> Result<Option<Cow<'a, str>>> {
        match self.reader.peek()? {
            Kind::Null => self.reader.null().map(|()| None).map_err(Fault::from),
            Kind::String => Ok(Some(self.reader.string()?)),
            found => {
                let in_list = matches!(self.path.last(), Some(Step::Index(_)));
                let wanted =
                    if in_list { format!("types.{}", self.text_name()) } else { "string".to_owned() };
                self.mismatch(found, &wanted, "a string")
            }
        }
    }

    /// Reads a boolean; `None` for `null`.
    pub fn bool(&mut self) -> Result<Option<bool>> {
        match self.reader.peek()? {
            Kind::Null => self.reader.null().map(|()| None).map_err(Fault::from),
            Kind::Bool => Ok(Some(self.reader.bool()?)),
            found => self.mismatch(found, "bool", "true or false"),
        }
    }

    /// Reads an integer; `None` for `null`.
    pub fn integer(&mut self) -> Result<Option<i64>> {
        match self.reader.peek()? {
            Kind::Null => self.reader.null().map(|()| None).map_err(Fault::from),
            Kind::Number => {
                let text = self.reader.number()?;
                if let Ok(value) = text.parse() {
                    return Ok(Some(value));
                }
                let text = text.get(..LONGEST_NUMBER).unwrap_or(text);
                Err(self.type_fault(&format!("number {text}"), "int", "an integer of 64 bits"))
            }
            found => self.mismatch(found, "int", "an integer"),
        }
    }

    /// Reads a list. As in the reference, the items of one that stands twice are read over those of the first.
    pub fn list(&mut self, list: &mut dyn ListMut<'a>) -> Result<()> {
        match self.reader.peek()? {
            Kind::Null => {
                list.cut(0);
                return Ok(self.reader.null()?);
            }
            Kind::Array => self.reader.enter()?,
            found => {
                let wanted = match list.slot(0).map(|item| item.shape()) {
                    Some(Shape::Object(object)) if object.name() == "HTTPHeader" => {
                        "types.HTTPHeaders".to_owned()
                    }
                    Some(Shape::Object(object)) => format!("[]types.{}", self.object_name(object.name())),
                    _ => format!("[]types.{}", self.text_name()),
                };
                return self.mismatch(found, &wanted, "a list");
            }
        }
        let mut count = 0;
        while self.reader.next_item(count == 0)? {
            let items = self.items.checked_sub(1);
            self.items = items.ok_or(Fault::TooMany("the lists hold more than 100,000 items"))?;
            self.path.push(Step::Index(count));
            if let Some(item) = list.slot(count) {
                item.decode(self)?;
            }
            self.path.pop();
            count = count.saturating_add(1);
        }
        list.cut(count);
        Ok(())
    }

    /// Reads an object into `object`; a key that stands twice is read twice, into the same place.
    pub fn object(&mut self, object: &mut dyn Object<'a>) -> Result<()> {
        match self.reader.peek()? {
            Kind::Null => return self.null_object(object),
            Kind::Object => {}
            found => {
                let wanted = format!("types.{}", self.object_name(object.name()));
                return self.mismatch(found, &wanted, "an object");
            }
        }
        if object.given(self.minor) {
            self.newest = DEPENDS;
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
                    self.unused(&key, start, &*object);
                }
                self.reader.skip()?;
                continue;
            };
            self.path.push(Step::Key(exact));
            let is_exact = exact == key;
            let bit = u32::try_from(index).ok().and_then(|index| 1u32.checked_shl(index)).unwrap_or(0);
            if seen & bit != 0 {
                self.again(is_exact && seen_exactly & bit != 0)?;
            }
            seen |= bit;
            if is_exact {
                seen_exactly |= bit;
            } else {
                self.path.pop();
                self.unused(&key, start, &*object);
                self.path.push(Step::Key(exact));
                self.inexact = self.inexact.saturating_add(1);
            }
            if let Some(value) = object.field_mut(index) {
                value.decode(self)?;
            }
            if !is_exact {
                self.inexact = self.inexact.saturating_sub(1);
            }
            self.path.pop();
        }
        self.objects.pop();
        Ok(())
    }

    /// The key that the path leads to stands there again. Of keys that are written alike the reference's report sees
    /// the last only.
    fn again(&mut self, alike: bool) -> Result<()> {
        self.repeated = self.repeated.saturating_add(1);
        if self.repeated > MAX_REPEATED {
            return Err(Fault::TooMany("more than 1,000 keys stand twice"));
        }
        if alike {
            let path = &self.path;
            self.remarks.retain(|remark| !remark.path.starts_with(path));
        }
        Ok(())
    }

    /// The index and the exact key of the field for `key`, if the version has it.
    fn field(&mut self, object: &dyn Object<'a>, key: &str) -> Option<(usize, &'static str)> {
        let fields = object.fields();
        let found = fields.iter().position(|field| field.key == key);
        let found = found.or_else(|| fields.iter().position(|field| same_key(field.key, key)))?;
        let field = fields.get(found)?;
        // In 3.0, referenced configs and certificates cannot be compressed.
        let is_late = field.key == "compression"
            && matches!(self.last_key(), "merge" | "replace" | "certificateAuthorities");
        let since = if is_late { 1 } else { field.since };
        if since > self.minor {
            return None;
        }
        self.newest = self.newest.max(since);
        Some((found, field.key))
    }

    /// Whether only the version is wanted, and `key` does not lead to it.
    fn passes_over(&self, key: &str) -> bool {
        let wanted = if self.path.is_empty() { "ignition" } else { "version" };
        self.only_version && !same_key(wanted, key)
    }

    /// `null` leaves an object as it is; the reference is at a loss where its report expects one.
    fn null_object(&mut self, object: &mut dyn Object<'a>) -> Result<()> {
        let offset = self.reader.offset();
        self.reader.null()?;
        // These two were pointers in 3.2, which may be null.
        if matches!(object.name(), "Clevis" | "ClevisCustom") {
            self.newest = DEPENDS;
            if self.minor == 2 {
                return Ok(());
            }
        }
        let message = format!(
            "context tree does not match content tree at {}. Line and column reporting may be inconsistent. \
             Unused keys may not be reported",
            Path(&self.path)
        );
        let hint = Some("leave the key out: null stands for no object".to_owned());
        self.remark(Remark { path: self.path.clone(), offset, message, hint });
        Ok(())
    }

    fn unused(&mut self, key: &str, offset: usize, object: &dyn Object<'a>) {
        // The key goes into the path and the message, and into the line that is made of them.
        if !self.reader.take(key.len().saturating_mul(4)) {
            self.left_off = self.left_off.saturating_add(1);
            return;
        }
        let mut path = self.path.clone();
        path.push(Step::Unused(key.into()));
        let hint = hints::for_unused_key(key, object, self.minor);
        self.remark(Remark { path, offset, message: format!("unused key {key}"), hint });
    }

    fn remark(&mut self, remark: Remark) {
        if self.inexact > 0 || self.only_version {
            return;
        }
        if self.remarks.len() >= MOST_REMARKS {
            self.left_off = self.left_off.saturating_add(1);
            return;
        }
        self.remarks.push(remark);
    }

    /// The key of the value that is being read, or of the list that it is in.
    fn last_key(&self) -> &'static str {
        last_key(&self.path)
    }
}

/// Whether Go takes `key` for `exact`: without regard to case, two signs beyond ASCII included.
pub(super) fn same_key(exact: &str, key: &str) -> bool {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    folded.eq(exact.chars().map(|c| c.to_ascii_lowercase()))
}
