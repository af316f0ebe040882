//! Keys that the version does not have, and objects that are `null`: the config stays valid, but the report names them.

use std::borrow::Cow;

use super::super::hints;
use super::super::report::{Finding, JsonPath, Report, Severity, Step};
use super::super::schema::Object;
use super::{DecodeError, Decoder, Result};
use crate::sort::sort;

/// The largest number of remarks that are kept while a text is decoded. Later ones are only counted.
const MAX_REMARKS: usize = 10_000;
/// The largest number of keys that may stand twice, because each of them takes a pass over all remarks.
const MAX_REPEATED: u32 = 1_000;

/// A remark about one place in the text.
#[derive(Default)]
struct Remark {
    path: Vec<Step>,
    /// The offset that the reference shows, in bytes.
    offset: usize,
    message: String,
    hint: Option<String>,
}

/// The remarks on one text.
#[derive(Default)]
pub(super) struct Remarks {
    kept: Vec<Remark>,
    /// The number of remarks that were not kept.
    left_off: usize,
    /// The number of keys that stood in their object before.
    repeated: u32,
}

impl Remarks {
    /// Moves the remarks into `report`, as warnings.
    pub fn report(mut self, report: &mut Report) {
        // If a key stands several times, the reference reports the last one.
        sort(&mut self.kept, &|one, other| one.path.cmp(&other.path).then(other.offset.cmp(&one.offset)));
        self.kept.dedup_by(|later, first| later.path == first.path);
        for Remark { path, offset, message, hint } in self.kept {
            report.push(Finding {
                severity: Severity::Warning,
                message: Cow::Owned(message),
                position: None,
                path,
                offset: Some(offset),
                hint,
            });
        }
        report.left_off = report.left_off.saturating_add(self.left_off);
    }

    fn leave_off(&mut self) {
        self.left_off = self.left_off.saturating_add(1);
    }
}

impl<'a> Decoder<'a> {
    /// Counts a key that stands in its object again; the decoder's path leads to it. If both keys are spelled `alike`,
    /// the reference reports only on the last value, so that the remarks on earlier ones are dropped.
    pub(super) fn note_repeated_key(&mut self, alike: bool) -> Result<()> {
        self.remarks.repeated = self.remarks.repeated.saturating_add(1);
        if self.remarks.repeated > MAX_REPEATED {
            return Err(DecodeError::TooMany("more than 1,000 keys stand twice"));
        }
        if alike {
            let path = &self.path;
            self.remarks.kept.retain(|remark| !remark.path.starts_with(path));
        }
        Ok(())
    }

    /// Adds a remark on an object that is `null`. The reference expects an object in the text for each object of a
    /// config, and reports that there is none. `offset` is where `null` begins.
    pub(super) fn note_null_object(&mut self, offset: usize) {
        let message = format!(
            "context tree does not match content tree at {}. Line and column reporting may be inconsistent. \
             Unused keys may not be reported",
            JsonPath(&self.path)
        );
        let hint = Some("remove the key: null does not stand for an object".to_owned());
        self.add_remark(Remark { path: self.path.clone(), offset, message, hint });
    }

    /// Adds a remark on `key`, at `offset` in the text, which `object` does not have or has with another spelling.
    pub(super) fn note_unused_key(&mut self, key: &str, offset: usize, object: &dyn Object<'a>) {
        // The key is copied into the path and into the message, and again into the lines that are made of the two.
        if !self.reader.take(key.len().saturating_mul(4)) {
            self.remarks.leave_off();
            return;
        }
        let mut path = self.path.clone();
        path.push(Step::Unused(key.into()));
        let hint = hints::for_unused_key(key, object, self.minor);
        self.add_remark(Remark { path, offset, message: format!("unused key {key}"), hint });
    }

    fn add_remark(&mut self, remark: Remark) {
        if self.inexact > 0 || self.only_version {
            return;
        }
        if self.remarks.kept.len() >= MAX_REMARKS {
            self.remarks.leave_off();
            return;
        }
        self.remarks.kept.push(remark);
    }
}
