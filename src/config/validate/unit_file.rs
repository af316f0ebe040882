//! Reads unit files as go-systemd's deserializer does, because its errors are part of the reference's report.
//!
//! That deserializer sees only as much of a long line as its buffer of 4,096 bytes holds. Which lines it refuses
//! depends on that, so that this reader has the same buffer.

use std::borrow::Cow;

use super::super::report::Message;
use crate::go::Quoted;

/// The size of the buffer of Go's `bufio.Reader`, in bytes.
const BUFFER: usize = 4096;
/// The longest line that go-systemd accepts, in bytes.
const LINE_MAX: usize = 2048;

/// Returns whether the unit file has an option in a section `[Install]`.
///
/// # Errors
/// The first error for which go-systemd refuses the file, in its words.
pub(super) fn has_install_options(text: &str) -> Result<bool, Message> {
    let mut lexer = Lexer { text: text.as_bytes(), at: 0, filled: 0, at_end: false };
    let mut section: &[u8] = b"";
    let mut found = false;
    let mut step = LexStep::BeforeSection;
    loop {
        lexer.check_line()?;
        step = match step {
            LexStep::BeforeSection | LexStep::InSection => match (lexer.character(), &step) {
                (None, _) => return Ok(found),
                (Some('['), _) => LexStep::SectionName,
                (Some('#' | ';'), LexStep::InSection) => LexStep::Comment(true),
                (Some('#' | ';'), _) => LexStep::Comment(false),
                (Some(_), LexStep::BeforeSection) => step,
                (Some(c), _) if is_space(c) => step,
                (Some(c), _) => {
                    lexer.at = lexer.at.saturating_sub(c.len_utf8());
                    LexStep::OptionName
                }
            },
            LexStep::SectionName => {
                section = lexer.until(b']').ok_or("unable to find end of section")?;
                LexStep::SectionEnd
            }
            LexStep::SectionEnd => {
                let garbage = trim(lexer.line().0);
                if !garbage.is_empty() {
                    let garbage = Quoted(garbage);
                    return Err(Cow::Owned(format!("found garbage after section name : {garbage}")));
                }
                LexStep::InSection
            }
            LexStep::Comment(in_section) => {
                while let (line, false) = lexer.line() {
                    let line = line.strip_suffix(b" ").unwrap_or(line);
                    if !line.ends_with(b"\\") {
                        break;
                    }
                }
                if in_section { LexStep::InSection } else { LexStep::BeforeSection }
            }
            LexStep::OptionName => {
                lexer.option_name()?;
                LexStep::OptionValue
            }
            LexStep::OptionValue => {
                let (line, _) = lexer.line();
                if !trim(line).is_empty() && line.ends_with(b"\\") {
                    LexStep::OptionValue
                } else {
                    found |= section == b"Install";
                    LexStep::InSection
                }
            }
        };
    }
}

/// What the lexer reads next, as in go-systemd.
enum LexStep {
    /// Anything before the first section.
    BeforeSection,
    /// The start of an option, a comment or the next section.
    InSection,
    /// The name of a section, up to its closing bracket.
    SectionName,
    /// The rest of the line after the closing bracket.
    SectionEnd,
    /// A comment; true if a section has begun.
    Comment(bool),
    /// The name of an option, up to the equals sign.
    OptionName,
    /// A line of an option's value.
    OptionValue,
}

/// A cursor over the unit file, with go-systemd's buffer.
struct Lexer<'t> {
    text: &'t [u8],
    /// The offset of the next byte.
    at: usize,
    /// The offset after the last byte in the buffer.
    filled: usize,
    /// Whether the last attempt to fill the buffer added nothing.
    at_end: bool,
}

impl<'t> Lexer<'t> {
    /// Returns the unread bytes in the buffer.
    fn buffered(&self) -> &'t [u8] {
        self.text.get(self.at..self.filled).unwrap_or_default()
    }

    /// Fills the buffer as far as it and the text reach.
    fn fill(&mut self) {
        let filled = self.at.saturating_add(BUFFER).min(self.text.len());
        self.at_end = filled == self.filled;
        self.filled = filled;
    }

    /// Refuses a line that is too long, as far as the buffer shows it.
    fn check_line(&self) -> Result<(), Message> {
        match self.buffered().get(..LINE_MAX) {
            Some(line) if !line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) => {
                Err(Cow::Borrowed("line too long (max 2048 bytes)"))
            }
            _ => Ok(()),
        }
    }

    /// Reads a character; `None` at the end of the text.
    fn character(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        // The text is UTF-8, so that the first byte tells the length of the character.
        let length = match rest.first()? {
            0..0x80 => 1,
            0x80..0xe0 => 2,
            0xe0..0xf0 => 3,
            _ => 4,
        };
        while self.buffered().len() < length && !self.at_end {
            self.fill();
        }
        let character = rest.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok())?;
        self.at = self.at.saturating_add(length);
        character.chars().next()
    }

    /// Reads up to the next byte `end`, which is passed, and returns what stands before it; `None` if there is none.
    fn until(&mut self, end: u8) -> Option<&'t [u8]> {
        let start = self.at;
        loop {
            if let Some(length) = self.buffered().iter().position(|&byte| byte == end) {
                let stop = self.at.saturating_add(length);
                self.at = stop.saturating_add(1);
                return self.text.get(start..stop);
            }
            if self.at_end || self.buffered().len() >= BUFFER {
                self.at = self.filled;
            }
            if self.at_end {
                return None;
            }
            self.fill();
        }
    }

    /// Reads the rest of the line. Returns it without its line break, and whether the text ends there.
    fn line(&mut self) -> (&'t [u8], bool) {
        let start = self.at;
        let (line, at_end) = match self.until(b'\n') {
            Some(line) => (line, false),
            None => (self.text.get(start..).unwrap_or_default(), true),
        };
        // As in go-systemd, the "\r" of a line that ends in "\r\n" stays.
        (line.strip_suffix(b"\r").filter(|_| at_end).unwrap_or(line), at_end)
    }

    /// Passes the name of an option and the equals sign.
    fn option_name(&mut self) -> Result<(), Message> {
        loop {
            match self.character() {
                None => return Err(Cow::Borrowed("EOF")),
                Some('\n' | '\r') => {
                    return Err(Cow::Borrowed("unexpected newline encountered while parsing option name"));
                }
                Some('=') => return Ok(()),
                Some(_) => {}
            }
        }
    }
}

/// Returns whether Go's `unicode.IsSpace` holds for `c`. It goes by Unicode, as Rust does.
fn is_space(c: char) -> bool {
    c.is_whitespace()
}

/// Returns `bytes` without white space at both ends; as they are if they are not UTF-8.
fn trim(bytes: &[u8]) -> &[u8] {
    std::str::from_utf8(bytes).map_or(bytes, |text| text.trim().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn install_sections_count_by_their_options() {
        for (text, has_options) in [
            ("", false),
            ("[Install]\nWantedBy=a.target\n", true),
            ("[Install]\n", false),
            ("[Install]\n[Unit]\nA=b", false),
            ("no section [Install]\nA=", true),
            ("[Install] \r\n# x \\\nA=b", false),
            ("[Install]\nA=b\\\nc\n", true),
            ("; [Unit\n[Install]\nA=b", true),
        ] {
            assert_eq!(has_install_options(text), Ok(has_options), "{text:?}");
        }
    }

    #[test]
    fn faults_are_those_of_go_systemd() {
        for (text, fault) in [
            ("[Foo", "unable to find end of section"),
            ("[Foo] bar", "found garbage after section name : \"bar\""),
            ("[Foo]\nbar\n", "unexpected newline encountered while parsing option name"),
            ("[Foo]\nbar", "EOF"),
        ] {
            assert_eq!(has_install_options(text), Err(Cow::Borrowed(fault)), "{text:?}");
        }
        let long = format!("[Foo]\nA={}\nB=c\n", "x".repeat(5000));
        assert_eq!(has_install_options(&long), Err(Cow::Borrowed("line too long (max 2048 bytes)")));
        let short = format!("[Foo]\nA={}\nB=c\n", "x".repeat(2000));
        assert_eq!(has_install_options(&short), Ok(false));
    }
}
