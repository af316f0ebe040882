//! What the reference has from Go's standard library: how text is quoted in messages, and how keys are matched.

use std::fmt::{self, Write as _};

/// Shows a byte in single quotes, as Go's JSON errors do.
pub(crate) struct Character(pub u8);

impl fmt::Display for Character {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('\'')?;
        match self.0 {
            b'\'' => f.write_str("\\'")?,
            b'"' => f.write_char('"')?,
            byte => character(f, byte.into())?,
        }
        f.write_char('\'')
    }
}

/// Shows bytes in double quotes, as Go's `%q` does.
pub(crate) struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c == '"' { f.write_str("\\\"")? } else { character(f, c)? }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')
    }
}

/// Writes a character, escaped as in a Go string if it is not printable.
fn character(f: &mut fmt::Formatter<'_>, c: char) -> fmt::Result {
    match c {
        '\\' => f.write_str("\\\\"),
        '\u{7}' => f.write_str("\\a"),
        '\u{8}' => f.write_str("\\b"),
        '\u{c}' => f.write_str("\\f"),
        '\n' => f.write_str("\\n"),
        '\r' => f.write_str("\\r"),
        '\t' => f.write_str("\\t"),
        '\u{b}' => f.write_str("\\v"),
        c if is_printable(c) => f.write_char(c),
        c if u32::from(c) < 0x80 => write!(f, "\\x{:02x}", u32::from(c)),
        c if u32::from(c) < 0x1_0000 => write!(f, "\\u{:04x}", u32::from(c)),
        c => write!(f, "\\U{:08x}", u32::from(c)),
    }
}

/// Returns whether Go prints `c` as it is. Go escapes controls, white space other than the plain space, format
/// characters and unassigned code points. Unassigned code points outside the blocks named here are taken for printable.
fn is_printable(c: char) -> bool {
    c == ' '
        || !(c.is_control()
            || c.is_whitespace()
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..))
}

/// Returns whether `encoding/json` takes `key` for the key `exact`. Case does not count, so that the long s (U+017F)
/// and the Kelvin sign (U+212A) are taken for s and k.
pub(crate) fn same_key(exact: &str, key: &str) -> bool {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        c => c.to_ascii_lowercase(),
    });
    folded.eq(exact.chars().map(|c| c.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting_is_go_s() {
        for (byte, text) in [
            (b'x', "'x'"),
            (b'\'', "'\\''"),
            (b'"', "'\"'"),
            (b'\n', "'\\n'"),
            (0, "'\\x00'"),
            (0x80, "'\\u0080'"),
        ] {
            assert_eq!(Character(byte).to_string(), text);
        }
        assert_eq!(Quoted(b"a\"\\\xff\t\xc3\xa9\x7f").to_string(), "\"a\\\"\\\\\\xff\\t\u{e9}\\x7f\"");
        assert_eq!(Quoted("\u{feff}\u{1f600}\u{a0}".as_bytes()).to_string(), "\"\\ufeff\u{1f600}\\u00a0\"");
    }
}
