//! Hints that depend on nothing but the reference's message: how to mend what the message only names.

/// The beginning of a message, and the hint for it.
const HINTS: &[(&str, &str)] = &[
    ("path is not fully simplified", "remove \"//\", \".\", \"..\" and a slash at the end from the path"),
    ("malformed hash specifier", "write sha512- and the hexadecimal sum, or sha256- from 3.1.0 on"),
    ("unrecognized hash function", "write sha512- and the hexadecimal sum, or sha256- from 3.1.0 on"),
    ("incorrect size for hash sum", "a sha512 sum has 128 hexadecimal digits, a sha256 sum 64"),
    ("duplicate entry defined", "two items have the same path, name, source or value: keep only one of them"),
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
    ("invalid systemd unit extension", "end the name in .service, .socket, .timer or another type of unit"),
    ("invalid unit content: line too long", "break the line with a backslash at its end"),
    ("unit \"", "add [Install] with WantedBy=, or leave enabled out"),
    ("template unit", "add [Install] with WantedBy= to the template, or leave enabled out"),
    ("a partition number >= 1", "number 0 stands for the next free number: such a partition needs a label"),
    ("source is required", "name the URL of the config or certificates in source"),
    ("path not specified", "write the path"),
];

/// Returns the hint for `message`, where the message alone says enough.
pub(super) fn for_message(message: &str) -> Option<&'static str> {
    if message.ends_with("path includes link in config") {
        return Some("write the path that the link leads to");
    }
    HINTS.iter().find(|(start, _)| message.starts_with(start)).map(|(_, hint)| *hint)
}
