//! How to mend what the reference's messages only name.

use super::decode::same_key;
use super::schema::Field;

/// A hint for everybody who meets a message, by what the message begins with.
const HINTS: &[(&str, &str)] = &[
    ("path is not fully simplified", "take \"//\", \".\", \"..\" and a slash at the end out of the path"),
    ("malformed hash specifier", "write sha512- and the hexadecimal sum, or sha256- from 3.1.0 on"),
    ("unrecognized hash function", "write sha512- and the hexadecimal sum, or sha256- from 3.1.0 on"),
    ("incorrect size for hash sum", "a sha512 sum has 128 hexadecimal digits, a sha256 sum 64"),
    ("duplicate entry defined", "two items have the same path, name, source or value: make one of them"),
    ("invalid url scheme", "use data, http, https, tftp, s3, gs (from 3.2.0 on) or arn (from 3.4.0 on)"),
    ("invalid compression method", "leave compression out, or write gzip"),
    ("missing media type slash", "a data URL has a comma before its data: \"data:,text\""),
    ("missing comma before data", "a data URL has a comma before its data: \"data:,text\""),
    ("invalid data character", "write the character as %XX, or the data as base64 after \"data:;base64,\""),
    ("rfc2396:", "write % itself as %25"),
    ("illegal base64 data", "write base64 of the standard alphabet with its padding"),
    ("path conflicts with", "write the unit in systemd.units or in storage, not in both"),
    ("overwrite must be false", "give contents a source; \"data:,\" is an empty file"),
    ("illegal file mode", "JSON has no octal numbers: 420 is 0644, 493 is 0755"),
    ("setuid/setgid/sticky bits", "set ignition.version to 3.6.0"),
    ("invalid systemd unit extension", "end the name in .service, .socket, .timer or another of systemd's"),
    ("invalid unit content: line too long", "break the line with a backslash at its end"),
    ("unit \"", "add [Install] with WantedBy=, or leave enabled out"),
    ("template unit", "add [Install] with WantedBy= to the template, or leave enabled out"),
    ("a partition number >= 1", "number 0 is the next free one, which needs a label to be found again"),
    ("source is required", "name the URL of the config or certificates in source"),
    ("invalid character 'ï'", "save the file without a byte order mark"),
    ("unexpected end of JSON input", "the text ends too early: a bracket, brace or quote is not closed"),
];

/// The hint for a message of the report.
pub(super) fn for_message(message: &str) -> Option<&'static str> {
    if message.ends_with("path includes link in config") {
        return Some("write the path that the link leads to");
    }
    HINTS.iter().find(|(start, _)| message.starts_with(start)).map(|(_, hint)| *hint)
}

/// What may be meant by a key that an object of 3.`minor` does not have.
pub(super) fn for_unused_key(key: &str, fields: &[Field], minor: u8) -> Option<String> {
    if let Some(field) = fields.iter().find(|field| same_key(field.key, key)) {
        return Some(if field.since > minor {
            format!("it exists from 3.{}.0 on: raise ignition.version", field.since)
        } else {
            format!("it counts all the same, but is written {}", field.key)
        });
    }
    let near = fields.iter().filter(|field| field.since <= minor && is_near(key, field.key));
    near.into_iter().next().map(|field| format!("is {} meant?", field.key))
}

/// Whether one letter too many, too few or wrong tells the two apart.
fn is_near(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let same = one.iter().zip(other).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
    let (Some(one), Some(other)) = (one.get(same..), other.get(same..)) else { return false };
    let after = |text: &[u8]| text.get(1..).map(<[u8]>::to_ascii_lowercase);
    let swapped = |text: &[u8]| match text {
        [a, b, rest @ ..] => [&[*b, *a], rest].concat().to_ascii_lowercase(),
        _ => Vec::new(),
    };
    after(one).is_some_and(|rest| rest == other.to_ascii_lowercase() || Some(rest) == after(other))
        || after(other).is_some_and(|rest| rest == one.to_ascii_lowercase())
        || (!one.is_empty() && swapped(one) == other.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::super::schema::Duplicates;
    use super::*;

    #[test]
    fn near_keys_are_found() {
        for (key, near) in [
            ("fiels", true),
            ("flies", true),
            ("filess", true),
            ("file", true),
            ("links", false),
            ("", false),
        ] {
            assert_eq!(is_near(key, "files"), near, "{key}");
        }
        let field = |key, since| Field { key, since, duplicates: Duplicates::Refused };
        let fields = [field("mountOptions", 1), field("path", 0)];
        let hint = |key, minor| for_unused_key(key, &fields, minor).unwrap_or_default();
        assert_eq!(hint("mountOptions", 0), "it exists from 3.1.0 on: raise ignition.version");
        assert_eq!(hint("Path", 0), "it counts all the same, but is written path");
        assert_eq!(hint("paht", 0), "is path meant?");
        assert_eq!(hint("owner", 0), "");
    }
}
