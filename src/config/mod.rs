//! The language of Ignition configs: types, decoding, rules, hints and merging. Nothing in this module does I/O.

mod checker;
mod clevis;
pub mod data_url;
mod decode;
pub(crate) mod encode;
mod hints;
mod keys;
mod locate;
mod merge;
mod network;
mod path;
mod report;
mod schema;
mod scheme;
mod types;
mod unsupported;
mod validate;
mod version;

use std::borrow::Cow;

pub(crate) use decode::Room;
pub use encode::quote;
pub use path::{clean, path_fault};
pub use report::{Finding, Position, Report, Severity};
pub use scheme::{Scheme, origin};
pub use types::*;
pub use unsupported::{
    Unsupported, disk_changes, locate_unsupported, refuse_unsupported, unsupported, unsupported_changes,
};
pub use version::Version;

use crate::error::{Error, Reason, Result};
use crate::json;
use decode::{DecodeError, Decoded};

/// A valid config.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The contents, translated to the newest version.
    pub config: Config<'a>,
    /// The spec version that the config names in `ignition.version`.
    pub version: Version,
}

/// Parses a config of any supported version and validates it. Findings and hints are added to `report`, also if the
/// config is accepted.
///
/// Strings are borrowed from `text`, except those with escapes or invalid UTF-8. These take up to three times the size
/// of the text in memory.
///
/// # Errors
/// - [`Reason::ConfigSyntax`] if the text is empty, is not JSON, or has a value of the wrong type
/// - [`Reason::ConfigVersion`] if the version is missing or not supported
/// - [`Reason::ConfigInvalid`] if the config breaks a rule of its version
pub fn parse<'a>(text: &'a [u8], report: &mut Report) -> Result<Parsed<'a>> {
    parse_within(text, report, &mut Room::new(u64::MAX))
}

/// As [`parse`], but takes no more than `room`, which several configs can share.
pub(crate) fn parse_within<'a>(text: &'a [u8], report: &mut Report, room: &mut Room) -> Result<Parsed<'a>> {
    if text.is_empty() {
        return Err(Error::new(Reason::ConfigSyntax, "not a config (empty)"));
    }
    let (mut config, version) = match read(text, report, room) {
        Ok(read) => read,
        Err(refused) => return Err(refused.explain(text, report)),
    };
    validate::validate(&config, version, report);
    locate::locate(text, &mut report.findings);
    locate::locate(text, &mut report.hints);
    refuse_if_fatal(report, "config is not valid")?;
    mask_special_bits(&mut config, version);
    Ok(Parsed { config, version })
}

/// Adds hints about what depends on the root, such as its groups. They help a caller that has no root at hand. A caller
/// that makes a plan does not need them, because the plan looks into the root.
pub(crate) fn guess(text: &[u8], parsed: &Parsed<'_>, report: &mut Report) {
    validate::guess(&parsed.config, parsed.version, report);
    locate::locate(text, &mut report.hints);
}

/// Parses a config that a fetch stage left in its cache. The stage may have been the reference's. It has validated the
/// config and translated it to the newest version, so that neither is done again. Decoded strings take at most `bytes`
/// of memory.
///
/// # Errors
/// [`Reason::ConfigSyntax`] if the text is not JSON, has a value of the wrong type, or is too large.
pub fn from_cache(text: &[u8], bytes: u64) -> Result<Config<'_>> {
    let mut config = Config::default();
    match decode::decode(text, Version::NEWEST.minor(), false, Room::new(bytes), &mut config) {
        Ok(_) => Ok(config),
        Err(error) => Err(Refused::Text(error).explain(text, &mut Report::default())),
    }
}

/// Validates a config that was made by merging, because two valid configs can merge into an invalid one.
///
/// # Errors
/// [`Reason::ConfigInvalid`] with the first error.
pub fn validate_merged(config: &Config<'_>) -> Result<()> {
    let mut report = Report::default();
    validate::validate(config, Version::NEWEST, &mut report);
    refuse_if_fatal(&report, "merging configs resulted in an invalid config")
}

/// Returns the first error in `report`; `what` begins its message.
fn refuse_if_fatal(report: &Report, what: &str) -> Result<()> {
    match report.first_error() {
        None => Ok(()),
        Some(finding) => {
            Err(Error::new(Reason::ConfigInvalid, format!("{what}: {}", finding.for_log_with_hint())))
        }
    }
}

/// Why a text was refused before its rules were checked.
enum Refused {
    /// The text could not be decoded.
    Text(DecodeError),
    /// The value of `ignition.version`, which is empty or not supported.
    Version(String),
}

/// Decodes the text by the version that it names.
///
/// One pass is enough for most texts: it decodes by the newest version. More passes follow if the text has an error, or
/// if its own version gives another result.
fn read<'a>(
    text: &'a [u8],
    report: &mut Report,
    room: &mut Room,
) -> std::result::Result<(Config<'a>, Version), Refused> {
    if let Some((config, version, read)) = read_as_newest(text, *room) {
        *room = read.room;
        read.report(report);
        return Ok((config, version));
    }
    // As in the reference, an error of syntax comes first, then one of the version, then a value of the wrong type.
    json::check(text).map_err(|error| Refused::Text(DecodeError::Syntax(error)))?;
    let version = version_of(text, *room)?;
    let mut config = Config::default();
    let read = decode::decode(text, version.minor(), false, *room, &mut config).map_err(Refused::Text)?;
    *room = read.room;
    read.report(report);
    Ok((config, version))
}

/// Decodes the text by the newest version. Returns `None` if that fails, or if the text's own version gives another
/// result.
fn read_as_newest(text: &[u8], room: Room) -> Option<(Config<'_>, Version, Decoded)> {
    let mut config = Config::default();
    let read = decode::decode(text, Version::NEWEST.minor(), false, room, &mut config).ok()?;
    let version = Version::named(&config.ignition.version)?;
    (read.newest <= version.minor()).then_some((config, version, read))
}

/// Returns the version that the text names. The text must be JSON.
fn version_of(text: &[u8], room: Room) -> std::result::Result<Version, Refused> {
    let mut probe = Config::default();
    let newest = Version::NEWEST.minor();
    decode::decode(text, newest, true, room, &mut probe).map_err(Refused::Text)?;
    let found = &probe.ignition.version;
    Version::named(found).ok_or_else(|| Refused::Version(found.to_string()))
}

impl Refused {
    /// Returns the error, and adds its finding to the report.
    fn explain(self, text: &[u8], report: &mut Report) -> Error {
        let (offset, message, hint) = match self {
            Self::Version(found) => return version::refusal(&found, text),
            Self::Text(DecodeError::TooMany(what)) => {
                return Error::new(Reason::ConfigSyntax, format!("the config is too large: {what}"));
            }
            // The reference shows the byte after the one that does not fit.
            Self::Text(DecodeError::Syntax(error)) => {
                (error.offset.saturating_add(1), error.to_string(), hints::for_syntax(text, &error))
            }
            Self::Text(DecodeError::Type(error)) => (error.offset, error.message, Some(error.hint)),
        };
        let mut findings = vec![Finding {
            severity: Severity::Error,
            message: Cow::Owned(message),
            position: None,
            path: Vec::new(),
            offset: Some(offset),
            hint,
        }];
        locate::locate(text, &mut findings);
        let mut words = "config is not valid".to_owned();
        for finding in findings {
            words = format!("{words}: {}", finding.for_log_with_hint());
            report.push(finding);
        }
        Error::new(Reason::ConfigSyntax, words)
    }
}

/// Removes the setuid, setgid and sticky bits from the modes of a config before 3.6.0, as the reference does when it
/// translates 3.5 to 3.6.
fn mask_special_bits(config: &mut Config<'_>, version: Version) {
    if version.minor() >= 6 {
        return;
    }
    let files = config.storage.files.iter_mut().map(|file| &mut file.mode);
    let directories = config.storage.directories.iter_mut().map(|directory| &mut directory.mode);
    for mode in files.chain(directories).flatten() {
        *mode &= !0o7000;
    }
}

#[cfg(test)]
mod tests;
