//! `glowplug validate`: what is wrong with a config, without a root.

use super::policy::Policy;
use crate::config::{self, Report};
use crate::error::Error;

/// The report on the config in `text`, with hints and what the machine's policy says of it, and the error if it is
/// refused.
pub fn validate(text: &[u8], policy: Option<&Policy<'_>>) -> (String, Option<Error>) {
    let mut report = Report::default();
    match config::parse(text, &mut report) {
        Ok(parsed) => {
            let warnings = policy.map(|policy| policy.warnings(&parsed.config)).unwrap_or_default();
            let mut said = report.with_hints();
            said.push_str(&warnings);
            (said, None)
        }
        Err(error) => (report.with_hints(), Some(error)),
    }
}
