//! The entry that an error is about: its place in the config, and the name of the user or group.

use crate::error::{Error, Reason, Result};

/// An entry of `passwd.users` or `passwd.groups`.
#[derive(Clone, Copy)]
pub(super) struct Subject<'c> {
    /// `users` or `groups`.
    pub(super) list: &'static str,
    /// The index of the entry in its list.
    pub(super) index: usize,
    /// The user's or group's name.
    pub(super) name: &'c str,
}

impl<'c> Subject<'c> {
    /// Returns the error for a request that the account files do not allow.
    pub(super) fn refuse(&self, what: &str) -> Error {
        let Self { list, index, name } = self;
        let kind = list.trim_end_matches('s');
        Error::new(Reason::Account, format!("$.passwd.{list}.{index}: {kind} {name:?}: {what}"))
    }

    /// Returns the error for an invalid value of `field`. The value is not repeated, because it may be a hash.
    pub(super) fn invalid(&self, field: &str, what: &str) -> Error {
        let Self { list, index, .. } = self;
        Error::new(Reason::ConfigInvalid, format!("$.passwd.{list}.{index}.{field}: {what}"))
    }

    /// Returns the error for an id of a user or group (`kind`) that `owner` has already.
    pub(super) fn in_use(&self, kind: &str, id: u32, owner: &[u8]) -> Error {
        let owner = String::from_utf8_lossy(owner);
        self.refuse(&format!("{kind} id {id} is in use already, by {owner:?}"))
            .advise("Choose another id, or leave the id out of the config to get the next free one.")
    }

    /// Returns the error for a name that has several entries in `file`.
    pub(super) fn ambiguous(&self, file: &str) -> Error {
        self.refuse(&format!("{file} has more than one entry of a name that must be changed"))
    }

    /// Returns the name if it can be written to an account file.
    pub(super) fn checked_name(&self) -> Result<&'c [u8]> {
        if self.name.is_empty() {
            return Err(self.invalid("name", "a name is required"));
        }
        if self.name.contains(['/', ',']) {
            return Err(self.invalid("name", "a name must not contain a slash or a comma"));
        }
        self.field("name", self.name)
    }

    /// Returns the name if `useradd` and `groupadd` would accept it for a new account.
    pub(super) fn checked_new_name(&self, longest: usize) -> Result<&'c [u8]> {
        let name = self.checked_name()?;
        if name.len() > longest {
            return Err(self.invalid("name", &format!("a name must not be longer than {longest} bytes")));
        }
        // The names of Samba's machine accounts end in a dollar sign.
        let body = name.strip_suffix(b"$").unwrap_or(name);
        let fine = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        let starts_well = name.first().is_some_and(|byte| fine(byte) && *byte != b'-');
        let is_number = name.iter().all(u8::is_ascii_digit);
        if !starts_well || is_number || !body.iter().all(fine) || matches!(name, b"." | b"..") {
            let what = "a new name must be of letters, digits, dots, dashes and underscores, not begin with a \
                        dash, and not be a number";
            return Err(self.invalid("name", what));
        }
        Ok(name)
    }

    /// Returns `text` if it can be a field of an account file.
    pub(super) fn field<'t>(&self, field: &str, text: &'t str) -> Result<&'t [u8]> {
        if text.contains(':') {
            return Err(self.invalid(field, "it must not contain a colon"));
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(self.invalid(field, "it must not contain a newline or another control character"));
        }
        Ok(text.as_bytes())
    }

    /// Returns `number` as an id if it can be a user or group id.
    pub(super) fn id(&self, field: &str, number: Option<i64>) -> Result<Option<u32>> {
        let Some(number) = number else { return Ok(None) };
        match u32::try_from(number) {
            Ok(id) if id != u32::MAX => Ok(Some(id)),
            _ => Err(self.invalid(field, "an id must be from 0 to 4294967294")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(name: &str) -> Subject<'_> {
        Subject { list: "users", index: 3, name }
    }

    #[test]
    fn new_names_follow_useradd() {
        for name in ["core", "Core", "_x", "9lives", "a.b-c", "machine$", "x", ".hidden", "1.2", "9$"] {
            assert!(subject(name).checked_new_name(32).is_ok(), "{name:?}");
        }
        let long = "a".repeat(33);
        for name in [
            "", "-a", "123", ".", "..", "a b", "a/b", "a:b", "a\nb", "a$b", "a$$", "$", "ü", "a,b", "a@b",
            &long,
        ] {
            let error = subject(name).checked_new_name(32).unwrap_err();
            assert_eq!(error.reason(), Reason::ConfigInvalid, "{name:?}");
            assert!(error.text().starts_with("$.passwd.users.3.name: "), "{error}");
        }
    }

    #[test]
    fn old_names_are_taken_as_they_are() {
        assert_eq!(subject("me@there ü").checked_name().unwrap(), "me@there ü".as_bytes());
        for name in ["", "a/b", "a:b", "a\nb", "a,b"] {
            assert!(subject(name).checked_name().is_err(), "{name:?}");
        }
    }

    #[test]
    fn fields_and_ids_are_bounded() {
        let subject = subject("core");
        assert!(subject.field("gecos", "Jürgen, Room 1/2").is_ok());
        let error = subject.field("passwordHash", "$6$secret:x").unwrap_err();
        assert_eq!(error.text(), "$.passwd.users.3.passwordHash: it must not contain a colon");
        assert!(subject.field("gecos", "a\tb").is_err());
        assert_eq!(subject.id("uid", Some(4_294_967_294)).unwrap(), Some(4_294_967_294));
        assert!(subject.id("uid", Some(-1)).is_err());
        assert!(subject.id("uid", Some(4_294_967_295)).is_err());
        assert_eq!(subject.refuse("no").text(), "$.passwd.users.3: user \"core\": no");
    }
}
