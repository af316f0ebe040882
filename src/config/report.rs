//! The report on a config: one finding a line, in the reference's words.

mod hints;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// As many findings are kept; the rest is counted.
const MOST_FINDINGS: usize = 10_000;

/// As many hints that belong to no finding are kept.
const MOST_HINTS: usize = 1_000;

/// A place in the text: line and column, both counted from 1, the column in bytes. Zeroes stand for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1.
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
    /// The config is accepted; part of it has no effect, or one that its author may not expect.
    Warning,
    /// The reference says nothing of it, but its author may have meant something else.
    Hint,
    /// The config is valid, but this program does not carry out this part of it.
    Unsupported,
}

/// One step of a path such as `$.storage.files.0`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Key(&'static str),
    Index(usize),
    /// A key that the spec does not have.
    Unused(Box<str>),
}

/// The last key of a path; empty where there is none.
pub(super) fn last_key(path: &[Step]) -> &'static str {
    let keys = path.iter().rev().filter_map(|step| if let Step::Key(key) = step { Some(*key) } else { None });
    keys.into_iter().next().unwrap_or_default()
}

/// One thing that is to be said about a config.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is.
    pub message: Message,
    /// Where in the text it is, where that is known.
    pub position: Option<Position>,
    pub(super) path: Vec<Step>,
    pub(super) offset: Option<usize>,
    pub(super) hint: Option<String>,
}

impl Finding {
    /// How to mend it, where the message leaves that open.
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref().or_else(|| hints::for_message(&self.message))
    }
}

/// As much of a finding reaches a log.
const LOG_LENGTH: usize = 600;

impl Finding {
    /// The finding for a log, which must hold nothing of the config's contents: what messages quote is left off.
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
    /// The finding as [`Finding::for_log`] shows it, with its hint in parentheses.
    pub fn for_log_with_hint(&self) -> String {
        match self.hint() {
            Some(hint) => format!("{} ({hint})", self.for_log()),
            None => self.for_log(),
        }
    }
}

/// Where `words` stand in `text`, both short: the standard library's search is 1 KB.
pub(super) fn find(text: &str, words: &str) -> Option<usize> {
    text.as_bytes().windows(words.len()).position(|window| window == words.as_bytes())
}

/// `error at $.storage.files.0.path, line 1 col 61: path not absolute`
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

/// A path as it is shown.
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

/// Everything that is to be said about a config.
#[derive(Debug, Default)]
pub struct Report {
    /// The reference's findings, the first 10,000 of them.
    pub findings: Vec<Finding>,
    /// How many more there are.
    pub left_off: usize,
    /// What this program adds, the first 1,000 of them: none of it is in the reference's report.
    pub hints: Vec<Finding>,
    fatal: bool,
}

impl Report {
    /// The findings, each with its hint on a line of its own below it, then the other hints, one a line. A hint that
    /// several findings in a row share stands below the last of them.
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

    /// Adds what the reference does not say.
    pub(super) fn add_hint(&mut self, path: Vec<Step>, message: &str) {
        if self.hints.len() < MOST_HINTS {
            // Names of the config can stand in a hint, which is one line.
            let message = message.replace(char::is_control, " ");
            self.hints.push(Finding {
                severity: Severity::Hint,
                message: message.into(),
                path,
                ..Finding::default()
            });
        }
    }

    fn left_off_line(&self) -> String {
        if self.left_off == 0 { String::new() } else { format!("and {} more\n", self.left_off) }
    }

    /// Whether the config is refused.
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }

    /// How many errors there are, without those that were left off.
    pub fn errors(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// The first error.
    pub fn first_error(&self) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.severity == Severity::Error)
    }

    pub(super) fn push(&mut self, finding: Finding) {
        // An error must not be crowded out by warnings.
        let first_error = finding.severity == Severity::Error && !self.fatal;
        self.fatal |= first_error;
        if self.findings.len() < MOST_FINDINGS || first_error {
            self.findings.push(finding);
        } else {
            self.left_off = self.left_off.saturating_add(1);
        }
    }
}

/// One finding a line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        f.write_str(&self.left_off_line())
    }
}
