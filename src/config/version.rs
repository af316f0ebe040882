//! The spec versions that are understood.

use crate::error::{Error, Reason, Result};

/// A supported version of the Ignition spec, by its minor number: 3.0.0 to 3.6.0 and 3.7.0-experimental.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u8);

/// Indexed by the minor number.
const KNOWN: [&str; 8] =
    ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0", "3.6.0", "3.7.0-experimental"];

impl Version {
    /// The newest version.
    pub const NEWEST: Self = Self(7);

    /// The minor number: 2 for 3.2.0.
    pub fn minor(self) -> u8 {
        self.0
    }

    /// The version as `ignition.version` names it.
    pub fn text(self) -> &'static str {
        KNOWN.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// The version that `ignition.version` names.
    ///
    /// # Errors
    /// [`Reason::ConfigVersion`] for one that is not known, or no version at all.
    pub(super) fn named(text: &str) -> Result<Self> {
        let refused = |what: &str| Error::new(Reason::ConfigVersion, what);
        let Some(version) = semantic(text) else {
            return Err(refused(
                "invalid config version (couldn't parse): ignition.version is missing or not of the form 3.2.0",
            ));
        };
        let known = (0..).zip(KNOWN).find(|(_, known)| semantic(known) == Some(version));
        match known {
            Some((minor, _)) => Ok(Self(minor)),
            None => Err(refused(
                "unsupported config version: ignition.version is none of 3.0.0 to 3.6.0 and 3.7.0-experimental",
            )),
        }
    }
}

/// The numbers, the pre-release and the build metadata of `1.2.3-pre+build` (semver.org), with the reference's
/// leniency: zeroes or a sign in front of a number, and nothing behind the hyphen or plus.
fn semantic(text: &str) -> Option<([i64; 3], &str, &str)> {
    let (rest, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (core, label) = rest.split_once('-').unwrap_or((rest, ""));
    let mut numbers = core.split('.').map(str::parse);
    let parsed = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
    let is_version = numbers.next().is_none() && are_identifiers(label) && are_identifiers(metadata);
    is_version.then_some((parsed, label, metadata))
}

fn are_identifiers(text: &str) -> bool {
    let is_identifier = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.is_empty() || text.split('.').all(is_identifier)
}
