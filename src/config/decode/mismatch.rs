//! Errors for values of the wrong type, in the words of Go and with the names of the reference's types.

use std::borrow::Cow;

use super::super::hints;
use super::super::report::{JsonPath, Step};
use super::{DecodeError, Decoder, TypeMismatch};
use crate::json::{JsonKind, SyntaxError};

impl<'a> Decoder<'a> {
    /// Passes the next value, which is of the kind `found`, and returns the error for it: that it is not of the type
    /// `wanted`, or a fault of the text inside the value. `wanted` is the type in Go's words, `hint` in ours.
    pub(super) fn mismatch(&mut self, found: JsonKind, wanted: &str, hint: &str) -> DecodeError {
        let text = match self.enter_or_skip(found) {
            Ok(text) => text,
            Err(error) => return error.into(),
        };
        let mend = hints::for_type(self.last_key(), found, hint, text.as_deref());
        let hint = mend.map_or_else(|| hint.to_owned(), |mend| format!("{hint}: {mend}"));
        self.type_error(found.word(), wanted, &hint)
    }

    /// Reads a value of a wrong type as far as the reference reads it. Returns the text of a string.
    fn enter_or_skip(&mut self, found: JsonKind) -> Result<Option<Cow<'a, str>>, SyntaxError> {
        match found {
            JsonKind::Array | JsonKind::Object => self.reader.enter()?,
            JsonKind::String => return self.reader.string().map(Some),
            _ => self.reader.skip()?,
        }
        Ok(None)
    }

    /// Returns the reference's name, in the version that is being decoded, of the type that the newest version calls
    /// `name`.
    pub(super) fn object_name(&self, name: &'static str) -> &'static str {
        match (self.minor, name, self.last_key()) {
            (0, "Resource", "merge" | "replace") => "ConfigReference",
            (0, "Resource", "certificateAuthorities") => "CaReference",
            (0, "Resource", _) => "FileContents",
            (2, "ClevisCustom", _) => "Custom",
            (_, name, _) => name,
        }
    }

    /// Returns the reference's name of the type of the strings in the current list.
    pub(super) fn text_name(&self) -> &'static str {
        match (self.last_key(), self.objects.last()) {
            ("devices", _) => "Device",
            ("options", Some(&"Filesystem")) => "FilesystemOption",
            ("options", Some(&"Raid")) => "RaidOption",
            ("options", _) => "LuksOption",
            ("mountOptions", _) => "MountOption",
            ("openOptions", _) => "OpenOption",
            ("noProxy", _) => "NoProxyItem",
            ("groups", _) => "Group",
            ("sshAuthorizedKeys", _) => "SSHAuthorizedKey",
            _ => "KernelArgument",
        }
    }

    /// Returns the error for a value, `found`, at the current path. `wanted` and `hint` are as for
    /// [`Decoder::mismatch`].
    pub(super) fn type_error(&self, found: &str, wanted: &str, hint: &str) -> DecodeError {
        let keys: Vec<&str> = self
            .path
            .iter()
            .filter_map(|step| if let Step::Key(key) = step { Some(*key) } else { None })
            .collect();
        // The reference decodes the version first, into a structure without a name.
        let (place, wanted) = match (self.objects.last(), self.only_version, keys.len()) {
            (None, true, _) => ("value".to_owned(), "util.versionStub"),
            (_, true, 0 | 1) => ("struct field versionStub.Ignition".to_owned(), "struct { Version string }"),
            (_, true, _) => ("struct field .Ignition.Version".to_owned(), wanted),
            (None, ..) => ("value".to_owned(), wanted),
            (Some(object), ..) => (format!("struct field {object}.{}", keys.join(".")), wanted),
        };
        DecodeError::Type(TypeMismatch {
            offset: self.reader.offset(),
            message: format!("json: cannot unmarshal {found} into Go {place} of type {wanted}"),
            hint: format!("{} must be {hint}", JsonPath(&self.path)),
        })
    }
}
