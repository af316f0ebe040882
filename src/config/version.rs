//! The spec versions that are understood.

use std::borrow::Cow;

use super::decode::{self, Decoder, Object, Value};
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

    /// Reads `ignition.version` of a config, whatever else it holds.
    pub(super) fn of(text: &[u8]) -> Result<Self> {
        let mut probe = Probe::default();
        decode::decode(text, Self::NEWEST, &mut probe)?;
        let version = probe.ignition.version;
        let known = KNOWN.iter().zip(0..).find(|(known, _)| **known == version);
        match known {
            Some((_, minor)) => Ok(Self(minor)),
            None if is_semantic_version(&version) => Err(Error::new(
                Reason::ConfigVersion,
                "unsupported config version: ignition.version is none of 3.0.0 to 3.6.0 and 3.7.0-experimental",
            )),
            None => Err(Error::new(
                Reason::ConfigVersion,
                "invalid config version (couldn't parse): ignition.version is missing or not of the form 3.2.0",
            )),
        }
    }
}

/// `1.2.3`, with an optional `-pre` and `+build` (semver.org, section 2).
fn is_semantic_version(text: &str) -> bool {
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let numbers = core.split('.');
    numbers.clone().count() == 3
        && numbers.into_iter().all(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

#[derive(Default)]
struct Probe<'a> {
    ignition: ProbeIgnition<'a>,
}

#[derive(Default)]
struct ProbeIgnition<'a> {
    version: Cow<'a, str>,
}

impl<'a> Object<'a> for Probe<'a> {
    fn field(&mut self, key: &str) -> Option<(&'static str, u8, &mut dyn Value<'a>)> {
        key.eq_ignore_ascii_case("ignition").then_some(("ignition", 0, &mut self.ignition))
    }
}

impl<'a> Value<'a> for Probe<'a> {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()> {
        decoder.object(self)
    }
}

impl<'a> Object<'a> for ProbeIgnition<'a> {
    fn field(&mut self, key: &str) -> Option<(&'static str, u8, &mut dyn Value<'a>)> {
        key.eq_ignore_ascii_case("version").then_some(("version", 0, &mut self.version))
    }
}

impl<'a> Value<'a> for ProbeIgnition<'a> {
    fn decode(&mut self, decoder: &mut Decoder<'a>) -> Result<()> {
        decoder.object(self)
    }
}
