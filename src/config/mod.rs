//! The language: what an Ignition config says, as types. No I/O happens here.

pub mod data_url;
mod decode;
pub(crate) mod encode;
mod go;
mod hints;
pub(crate) mod json;
mod keys;
mod locate;
mod merge;
mod network;
mod path;
mod report;
mod schema;
mod types;
mod unsupported;
mod validate;
mod version;

use std::borrow::Cow;

pub(crate) use decode::MAX_ITEMS;
pub use encode::quote;
pub use path::path_fault;
pub use report::{Finding, Position, Report, Severity};
pub use types::*;
pub(crate) use unsupported::scheme_error;
pub use unsupported::{
    Unsupported, refuse_unsupported, unsupported, unsupported_changes, unsupported_scheme,
};
pub use version::Version;

use crate::error::{Error, Reason, Result};
use decode::Fault;

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
pub fn parse<'a>(text: &'a [u8], report: &mut Report) -> Result<Parsed<'a>> {
    let mut room = MAX_ITEMS;
    parse_within(text, report, &mut room)
}

/// As [`parse`], for one of several configs: their lists may have `room` items in all.
pub(crate) fn parse_within<'a>(text: &'a [u8], report: &mut Report, room: &mut u32) -> Result<Parsed<'a>> {
    if text.is_empty() {
        return Err(Error::new(Reason::ConfigSyntax, "not a config (empty)"));
    }
    let (mut config, version) = match read(text, report, room) {
        Ok(read) => read,
        Err(refused) => return Err(refused.explain(text, report)),
    };
    validate::validate(&config, version, report);
    locate::locate(text, &mut report.findings);
    refuse_if_fatal(report, "config is not valid")?;
    mask_special_bits(&mut config, version);
    Ok(Parsed { config, version })
}

/// Reads a config that a fetch stage left in its cache, perhaps another program's: it was validated there, and its
/// version counts for nothing.
///
/// # Errors
/// [`Reason::ConfigSyntax`] for what is not JSON or of the wrong type.
pub fn from_cache(text: &[u8]) -> Result<Config<'_>> {
    let mut config = Config::default();
    match decode::decode(text, Version::NEWEST.minor(), false, MAX_ITEMS, &mut config) {
        Ok(_) => Ok(config),
        Err(fault) => Err(Refused::Fault(fault).explain(text, &mut Report::default())),
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
        Some(finding) => Err(Error::new(Reason::ConfigInvalid, format!("{what}: {}", finding.for_log()))),
    }
}

/// Why a text was not read.
enum Refused {
    Fault(Fault),
    Version(Error),
}

/// Reads the text in one pass; in more where its version makes a difference to what was read, or something is wrong.
fn read<'a>(
    text: &'a [u8],
    report: &mut Report,
    room: &mut u32,
) -> std::result::Result<(Config<'a>, Version), Refused> {
    let mut config = Config::default();
    if let Ok(read) = decode::decode(text, Version::NEWEST.minor(), false, *room, &mut config) {
        match Version::named(&config.ignition.version) {
            Ok(version) if read.newest <= version.minor() => {
                *room = read.room;
                read.report(report);
                return Ok((config, version));
            }
            _ => {}
        }
    }
    // What is not JSON at all counts first, then the version, then values of the wrong type.
    decode::check(text).map_err(|error| Refused::Fault(Fault::Syntax(error)))?;
    let mut probe = Config::default();
    let newest = Version::NEWEST.minor();
    decode::decode(text, newest, true, *room, &mut probe).map_err(Refused::Fault)?;
    let version = Version::named(&probe.ignition.version).map_err(Refused::Version)?;
    let mut config = Config::default();
    let read = decode::decode(text, version.minor(), false, *room, &mut config).map_err(Refused::Fault)?;
    *room = read.room;
    read.report(report);
    Ok((config, version))
}

impl Refused {
    /// The error, after what it is about went into the report.
    fn explain(self, text: &[u8], report: &mut Report) -> Error {
        let (offset, message, hint) = match self {
            Self::Version(error) => return error,
            Self::Fault(Fault::TooMany(what)) => {
                return Error::new(Reason::ConfigSyntax, format!("the config is too large: {what}"));
            }
            // The reference shows the byte after the offending one.
            Self::Fault(Fault::Syntax(error)) => (error.offset.saturating_add(1), error.to_string(), None),
            Self::Fault(Fault::Type(fault)) => (fault.offset, fault.message, Some(fault.hint)),
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
            words = match &finding.hint {
                Some(hint) => format!("{words}: {} ({hint})", finding.for_log()),
                None => format!("{words}: {}", finding.for_log()),
            };
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
