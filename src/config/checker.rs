//! What the rules of the language report to: every type of object has [`Rules`], and all of them share one [`Checker`].

use std::borrow::Cow;

use super::report::{Finding, Message, Report, Severity, Step, last_key};

/// The rules of one type of object.
pub(super) trait Rules {
    /// Reports what is wrong with the object. Types without rules of their own report nothing.
    fn check(&self, _: &mut Checker<'_>) {}
}

/// The report while the rules add to it, and the place that they have come to.
pub(super) struct Checker<'r> {
    /// The minor version of the spec whose rules hold.
    pub minor: u8,
    /// The path of the object that is being checked.
    path: Vec<Step>,
    report: &'r mut Report,
}

impl<'r> Checker<'r> {
    /// Returns a checker by the rules of 3.`minor` that stands at the top of the config.
    pub fn new(minor: u8, report: &'r mut Report) -> Self {
        Self { minor, path: Vec::new(), report }
    }

    /// Goes one step down. Every call needs a [`Checker::leave`].
    pub fn enter(&mut self, step: Step) {
        self.path.push(step);
    }

    /// Goes one step up.
    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// Adds an error at the place that `steps` lead to from the object that is being checked.
    pub fn error(&mut self, steps: &[Step], message: impl Into<Message>) {
        self.add(Severity::Error, steps, message.into(), None);
    }

    /// As [`Checker::error`], for something that the config may contain nevertheless.
    pub fn warning(&mut self, steps: &[Step], message: impl Into<Message>) {
        self.add(Severity::Warning, steps, message.into(), None);
    }

    /// Adds a finding with a hint that depends on the value, not only on the message.
    pub fn with_hint(
        &mut self,
        severity: Severity,
        steps: &[Step],
        message: &'static str,
        hint: Option<String>,
    ) {
        self.add(severity, steps, Cow::Borrowed(message), hint);
    }

    /// Adds a hint about something that the reference does not mention.
    pub fn hint(&mut self, steps: &[Step], message: impl AsRef<str>) {
        let path = self.path.iter().chain(steps).cloned().collect();
        self.report.add_hint(path, message.as_ref());
    }

    /// Adds the error `fault`, if there is one, at the field `key` of the object that is being checked.
    pub fn fault(&mut self, key: &'static str, fault: Option<impl Into<Message>>) {
        if let Some(fault) = fault {
            self.error(&[Step::Key(key)], fault);
        }
    }

    /// Returns the key of the object that is being checked, or of the list that the object stands in.
    pub fn last_key(&self) -> &'static str {
        last_key(&self.path)
    }

    fn add(&mut self, severity: Severity, steps: &[Step], message: Message, hint: Option<String>) {
        let path = self.path.iter().chain(steps).cloned().collect();
        self.report.push(Finding { severity, message, path, hint, ..Finding::default() });
    }
}

/// Returns whether `text` is there and not empty.
pub(super) fn is_set(text: Option<&str>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}
