//! Unit files as the reference reads them: with go-systemd's deserializer, whose errors are part of the report.
//!
//! It looks at a line's length only by way of its buffer of 4,096 bytes, so that this reader has such a buffer.

use std::borrow::Cow;

use super::super::report::Message;
use crate::go::Quoted;

/// The size of Go's `bufio.Reader`.
const BUFFER: usize = 4096;
/// The longest line of systemd by go-systemd's reckoning.
const LINE_MAX: usize = 2048;

/// Whether the unit file has an option in a section `[Install]`.
///
/// # Errors
/// What makes go-systemd refuse the file.
pub(super) fn has_install_options(text: &str) -> Result<bool, Message> {
    let mut lexer = Lexer { text: text.as_bytes(), at: 0, filled: 0, at_end: false };
    let mut section: &[u8] = b"";
    let mut found = false;
    let mut step = Step::BeforeSection;
    loop {
        lexer.check_line()?;
        step = match step {
            Step::BeforeSection | Step::InSection => match (lexer.character(), &step) {
                (None, _) => return Ok(found),
                (Some('['), _) => Step::SectionName,
                (Some('#' | ';'), Step::InSection) => Step::Comment(true),
                (Some('#' | ';'), _) => Step::Comment(false),
                (Some(_), Step::BeforeSection) => step,
                (Some(c), _) if is_space(c) => step,
                (Some(c), _) => {
                    lexer.at = lexer.at.saturating_sub(c.len_utf8());
                    Step::OptionName
                }
            },
            Step::SectionName => {
                section = lexer.until(b']').ok_or("unable to find end of section")?;
                Step::SectionEnd
            }
            Step::SectionEnd => {
                let garbage = trim(lexer.line().0);
                if !garbage.is_empty() {
                    let garbage = Quoted(garbage);
                    return Err(Cow::Owned(format!("found garbage after section name : {garbage}")));
                }
                Step::InSection
            }
            Step::Comment(in_section) => {
                while let (line, false) = lexer.line() {
                    let line = line.strip_suffix(b" ").unwrap_or(line);
                    if !line.ends_with(b"\\") {
                        break;
                    }
                }
                if in_section { Step::InSection } else { Step::BeforeSection }
            }
            Step::OptionName => {
                lexer.option_name()?;
                Step::OptionValue
            }
            Step::OptionValue => {
                let (line, _) = lexer.line();
                if !trim(line).is_empty() && line.ends_with(b"\\") {
                    Step::OptionValue
                } else {
                    found |= section == b"Install";
                    Step::InSection
                }
            }
        };
    }
}

/// What comes next.
enum Step {
    BeforeSection,
    InSection,
    SectionName,
    SectionEnd,
    /// Whether a section has begun.
    Comment(bool),
    OptionName,
    OptionValue,
}

struct Lexer<'t> {
    text: &'t [u8],
    /// How far it has been read, and how far into the buffer.
    at: usize,
    filled: usize,
    at_end: bool,
}

impl<'t> Lexer<'t> {
    /// The bytes in the buffer.
    fn buffered(&self) -> &'t [u8] {
        self.text.get(self.at..self.filled).unwrap_or_default()
    }

    fn fill(&mut self) {
        let filled = self.at.saturating_add(BUFFER).min(self.text.len());
        self.at_end = filled == self.filled;
        self.filled = filled;
    }

    /// Refuses a line that is longer than the buffer shows now.
    fn check_line(&self) -> Result<(), Message> {
        match self.buffered().get(..LINE_MAX) {
            Some(line) if !line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) => {
                Err(Cow::Borrowed("line too long (max 2048 bytes)"))
            }
            _ => Ok(()),
        }
    }

    fn character(&mut self) -> Option<char> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        // The text is UTF-8: a character is whole as soon as all of its bytes are there.
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

    /// What stands before the next `end`, which is passed over; `None` if there is none.
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

    /// The rest of the line without its end, and whether that is the end of the text.
    fn line(&mut self) -> (&'t [u8], bool) {
        let start = self.at;
        let (line, at_end) = match self.until(b'\n') {
            Some(line) => (line, false),
            None => (self.text.get(start..).unwrap_or_default(), true),
        };
        // Of a line that ends in "\r\n" the "\r" stays: it is looked for before the "\n".
        (line.strip_suffix(b"\r").filter(|_| at_end).unwrap_or(line), at_end)
    }

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

/// White space by Go's `unicode.IsSpace`, which is that of Unicode.
fn is_space(c: char) -> bool {
    c.is_whitespace()
}

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
