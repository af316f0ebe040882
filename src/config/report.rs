//! The report on a config: one finding a line, in the reference's words.

mod hints;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// The largest number of findings that are kept. Later ones are only counted.
const MAX_FINDINGS: usize = 10_000;

/// The largest number of hints that are kept, beside those that belong to a finding. Later ones are dropped.
const MAX_HINTS: usize = 1_000;

/// A place in the text of a config. Line 0, column 0 is the end of the text, as in the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in bytes, counted from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} col {}", self.line, self.column)
    }
}

/// What a finding says, in the reference's words.
pub(super) type Message = Cow<'static, str>;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Severity {
    /// The config is refused.
    #[default]
    Error,
    /// The config is accepted, but part of it has no effect, or an effect that its author may not expect.
    Warning,
    /// The reference does not mention this part of the config, but its author may have meant something else.
    Hint,
    /// The part of the config is valid, but glowplug does not carry it out.
    Unsupported,
}

/// One step of a path such as `$.storage.files.0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// A key of the spec.
    Key(&'static str),
    /// The index of a list's item, counted from 0.
    Index(usize),
    /// A key that the version does not have.
    Unused(Box<str>),
}

/// Returns the last key of a path; empty if it has no key of the spec.
pub(super) fn last_key(path: &[Step]) -> &'static str {
    let keys = path.iter().rev().filter_map(|step| if let Step::Key(key) = step { Some(*key) } else { None });
    keys.into_iter().next().unwrap_or_default()
}

/// A statement about one place of a config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it says.
    pub message: Message,
    /// The place in the text; `None` until the place was sought.
    pub position: Option<Position>,
    /// The path of the value; empty for the config itself, and where the path is not known.
    pub(super) path: Vec<Step>,
    /// The offset of the place in the text, in bytes; `None` until the place was sought.
    pub(super) offset: Option<usize>,
    /// A hint that depends on the value. [`Finding::hint`] knows others.
    pub(super) hint: Option<String>,
}

impl Finding {
    /// Returns how to mend the config; `None` if the message makes that clear.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| hints::for_message(&self.message))
    }
}

/// The largest number of bytes of a finding that reach a log.
const LOG_LENGTH: usize = 600;

impl Finding {
    /// Returns the finding for a log. What its message quotes from the config is left out, because contents must not
    /// reach a log. A long finding is cut after 600 bytes.
    pub fn for_log(&self) -> String {
        let mut text = self.to_string();
        for quoting in ["found garbage after section name", "expected base64"] {
            if let Some(at) = find(&text, quoting) {
                text.truncate(at.saturating_add(quoting.len()));
            }
        }
        let number = "cannot unmarshal number";
        if let (Some(start), Some(end)) = (find(&text, number), find(&text, " into Go ")) {
            let start = start.saturating_add(number.len());
            if start < end {
                text.replace_range(start..end, "");
            }
        }
        if text.len() > LOG_LENGTH {
            let end = (0..=LOG_LENGTH).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            text.truncate(end);
            text.push_str("...");
        }
        text
    }
}

impl Finding {
    /// Returns [`Finding::for_log`], followed by the hint in parentheses.
    pub fn for_log_with_hint(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{} ({hint})", self.for_log()),
            None => self.for_log(),
        }
    }
}

/// Returns the offset of `words` in `text`, both short; `words` must not be empty. The standard library's search would
/// add 1 KB to the program.
pub(super) fn find(text: &str, words: &str) -> Option<usize> {
    text.as_bytes().windows(words.len()).position(|window| window == words.as_bytes())
}

/// Writes the finding as the reference does: `error at $.storage.files.0.path, line 1 col 61: path not absolute`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Hint => "hint",
            Severity::Unsupported => "unsupported",
        })?;
        let mut before = " at ";
        if !self.path.is_empty() {
            write!(f, "{before}{}", JsonPath(&self.path))?;
            before = ", ";
        }
        if let Some(position) = self.position {
            write!(f, "{before}{position}")?;
        }
        write!(f, ": {}", self.message)
    }
}

/// A path as reports show it: `$.storage.files.0`.
pub(super) struct JsonPath<'p>(pub &'p [Step]);

impl fmt::Display for JsonPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("$")?;
        for step in self.0 {
            match step {
                Step::Key(key) => write!(f, ".{key}")?,
                Step::Unused(key) => write!(f, ".{key}")?,
                Step::Index(index) => write!(f, ".{index}")?,
            }
        }
        Ok(())
    }
}

/// All findings and hints about a config.
#[derive(Debug, Default)]
pub struct Report {
    /// The findings, which are the reference's: the first 10,000 of them, and the first error.
    pub findings: Vec<Finding>,
    /// The number of findings that were not kept.
    pub left_off: usize,
    /// The first 1,000 hints that belong to no finding. They are not part of the reference's report.
    pub hints: Vec<Finding>,
    /// Whether there is an error.
    fatal: bool,
}

impl Report {
    /// Returns the findings, one a line, each with its hint on the next line; then the other hints, one a line. If
    /// several findings in a row have the same hint, it stands only below the last of them.
    pub fn with_hints(&self) -> String {
        let mut text = String::new();
        let mut findings = self.findings.iter().peekable();
        while let Some(finding) = findings.next() {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{finding}");
            let hint = finding.hint();
            if let Some(hint) = hint.filter(|_| findings.peek().and_then(|next| next.hint()) != hint) {
                let _ = writeln!(text, "  hint: {hint}");
            }
        }
        text.push_str(&self.left_off_line());
        for hint in &self.hints {
            let _ = writeln!(text, "{hint}");
        }
        text
    }

    /// Adds a hint that belongs to no finding.
    pub(super) fn add_hint(&mut self, path: Vec<Step>, message: &str) {
        if self.hints.len() < MAX_HINTS {
            // A hint can quote names from the config, and must stay one line.
            let message = message.replace(char::is_control, " ");
            self.hints.push(Finding {
                severity: Severity::Hint,
                message: message.into(),
                path,
                ..Finding::default()
            });
        }
    }

    /// Returns the last line of the report; empty if every finding was kept.
    fn left_off_line(&self) -> String {
        if self.left_off == 0 { String::new() } else { format!("and {} more\n", self.left_off) }
    }

    /// Returns whether there is an error, so that the config is refused.
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// Returns the number of errors among the findings that were kept.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// Returns the first error; `None` if the config is accepted.
    pub fn first_error(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.severity == Severity::Error)
    }

    /// Adds a finding, or counts it if there are too many.
    pub(super) fn push(&mut self, finding: Finding) {
        // The first error is kept even after 10,000 warnings, because it says why the config is refused.
        let first_error = finding.severity == Severity::Error && !self.fatal;
        self.fatal |= first_error;
        if self.findings.len() < MAX_FINDINGS || first_error {
            self.findings.push(finding);
        } else {
            self.left_off = self.left_off.saturating_add(1);
        }
    }
}

/// Writes the findings, one a line, without hints: the reference's report.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        f.write_str(&self.left_off_line())
    }
}
