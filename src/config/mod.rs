//! The language: what an Ignition config says, as types. No I/O happens here.

mod checker;
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
pub use path::path_fault;
pub use report::{Finding, Position, Report, Severity};
pub use scheme::Scheme;
pub use types::*;
pub(crate) use unsupported::scheme_error;
pub use unsupported::{
    Unsupported, locate_unsupported, refuse_unsupported, unsupported, unsupported_changes,
};
pub use version::Version;

use crate::error::{Error, Reason, Result};
use crate::json;
use decode::{DecodeError, Decoded};

/// A config as it was parsed and found valid.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The contents, in the newest form.
    pub config: Config<'a>,
    /// The spec version that the config names.
    pub version: Version,
}

/// Parses a config of any supported version and validates it. Whatever is to be said about it goes into `report`,
/// also where it is accepted.
///
/// # Errors
/// [`Reason::ConfigSyntax`] for what is not JSON or of the wrong type; [`Reason::ConfigVersion`] for a version that
/// is missing or not supported; [`Reason::ConfigInvalid`] for what breaks the rules of its version.
///
/// Beside the text, strings with escapes or invalid UTF-8 take up to three times its size in memory.
pub fn parse<'a>(text: &'a [u8], report: &mut Report) -> Result<Parsed<'a>> {
    parse_within(text, report, &mut Room::new(u64::MAX))
}

/// As [`parse`], within `room`, which several configs can share.
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

/// Adds hints about what only the root decides, such as its groups, for those who have no root at hand. A plan, which
/// has one, tells what is missing there itself.
pub(crate) fn guess(text: &[u8], parsed: &Parsed<'_>, report: &mut Report) {
    validate::guess(&parsed.config, parsed.version, report);
    locate::locate(text, &mut report.hints);
}

/// Reads a config that a fetch stage left in its cache, perhaps another program's: it was validated there, and its
/// version counts for nothing. Beside the text, its strings take at most `bytes` of memory.
///
/// # Errors
/// [`Reason::ConfigSyntax`] for what is not JSON or of the wrong type, or too large.
pub fn from_cache(text: &[u8], bytes: u64) -> Result<Config<'_>> {
    let mut config = Config::default();
    match decode::decode(text, Version::NEWEST.minor(), false, Room::new(bytes), &mut config) {
        Ok(_) => Ok(config),
        Err(error) => Err(Refused::Text(error).explain(text, &mut Report::default())),
    }
}

/// Validates a config that was made by merging: two valid ones can give one that is not.
///
/// # Errors
/// [`Reason::ConfigInvalid`], with the first fault.
pub fn validate_merged(config: &Config<'_>) -> Result<()> {
    let mut report = Report::default();
    validate::validate(config, Version::NEWEST, &mut report);
    refuse_if_fatal(&report, "merging configs resulted in an invalid config")
}

fn refuse_if_fatal(report: &Report, what: &str) -> Result<()> {
    match report.first_error() {
        None => Ok(()),
        Some(finding) => {
            Err(Error::new(Reason::ConfigInvalid, format!("{what}: {}", finding.for_log_with_hint())))
        }
    }
}

/// Why a text was not read.
enum Refused {
    Text(DecodeError),
    /// `ignition.version`, which is not known or empty.
    Version(String),
}

/// Reads the text in one pass; in more where its version makes a difference to what was read, or something is wrong.
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
    // What is not JSON at all counts first, then the version, then values of the wrong type.
    json::check(text).map_err(|error| Refused::Text(DecodeError::Syntax(error)))?;
    let version = version_of(text, *room)?;
    let mut config = Config::default();
    let read = decode::decode(text, version.minor(), false, *room, &mut config).map_err(Refused::Text)?;
    *room = read.room;
    read.report(report);
    Ok((config, version))
}

/// The config as the newest version reads it; `None` where its own version reads it otherwise, or not at all.
fn read_as_newest(text: &[u8], room: Room) -> Option<(Config<'_>, Version, Decoded)> {
    let mut config = Config::default();
    let read = decode::decode(text, Version::NEWEST.minor(), false, room, &mut config).ok()?;
    let version = Version::named(&config.ignition.version)?;
    (read.newest <= version.minor()).then_some((config, version, read))
}

/// The version that the text names, which is JSON.
fn version_of(text: &[u8], room: Room) -> std::result::Result<Version, Refused> {
    let mut probe = Config::default();
    let newest = Version::NEWEST.minor();
    decode::decode(text, newest, true, room, &mut probe).map_err(Refused::Text)?;
    let found = &probe.ignition.version;
    Version::named(found).ok_or_else(|| Refused::Version(found.to_string()))
}

impl Refused {
    /// The error, after what it is about went into the report.
    fn explain(self, text: &[u8], report: &mut Report) -> Error {
        let (offset, message, hint) = match self {
            Self::Version(found) => return version::refusal(&found, text),
            Self::Text(DecodeError::TooMany(what)) => {
                return Error::new(Reason::ConfigSyntax, format!("the config is too large: {what}"));
            }
            // The reference shows the byte after the offending one.
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

/// Setuid, setgid and sticky have an effect from 3.6.0 only (reference: translation 3.5 to 3.6).
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
