//! The user's config: the kernel command line comes before the system's, and that before the platform's.

use std::path::{Path, PathBuf};

use super::{CommandLine, Platform, device, memory, system};
use crate::error::{Error, Reason, Result};
use crate::source;

/// Where a config was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// What the kernel command line holds or names.
    CommandLine,
    /// `user.ign` of the running system.
    SystemFile(PathBuf),
    /// The platform.
    Platform(Platform),
}

impl Origin {
    /// The reference's word for it in its log and state.
    pub fn source(&self) -> &'static str {
        match self {
            Self::CommandLine => "cmdline",
            Self::SystemFile(_) => "system",
            Self::Platform(platform) => platform.name(),
        }
    }
}

/// The user's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserConfig {
    /// Its text. An empty one is no config, and stands all the same: what comes after its origin is not asked.
    pub text: Vec<u8>,
    /// Where it was found.
    pub from: Origin,
}

/// What came of looking for the user's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fetched {
    /// It was found.
    Config(UserConfig),
    /// It is behind the network, which was not to be used.
    NeedsNetwork,
    /// Nothing names one, and there is no platform to ask.
    Nothing,
}

/// Fetches the user's config from the first origin that has one. With `offline` nothing that needs the network is
/// tried.
///
/// # Errors
/// Those of the origin; the ones after it are not asked then.
pub fn user_config(platform: Option<Platform>, line: &CommandLine, offline: bool) -> Result<Fetched> {
    user_config_from(&system::directories(), Path::new(device::BY_LABEL), platform, line, offline)
}

fn user_config_from(
    directories: &[PathBuf],
    labels: &Path,
    platform: Option<Platform>,
    line: &CommandLine,
    offline: bool,
) -> Result<Fetched> {
    let config = |text, from| Fetched::Config(UserConfig { text, from });
    if let Some(url) = &line.config_url {
        if line.config_device.is_some() || line.config_path.is_some() {
            log::warn!("ignition.config.url comes before ignition.config.device and ignition.config.path");
        }
        return Ok(match from_url(url, offline)? {
            Some(text) => config(text, Origin::CommandLine),
            None => Fetched::NeedsNetwork,
        });
    }
    match (&line.config_device, &line.config_path) {
        (Some(label), Some(path)) => {
            let text = device::fetch(labels, label, path, line.timeout)?;
            return Ok(config(text, Origin::CommandLine));
        }
        (None, None) => {}
        _ => {
            let what =
                "of ignition.config.device and ignition.config.path only one is on the kernel command line";
            return Err(Error::new(Reason::Usage, what));
        }
    }
    if let Some(found) = system::user_config_in(directories)? {
        return Ok(config(found.text, Origin::SystemFile(found.path)));
    }
    match platform {
        Some(platform) => Ok(config(platform.fetch(line.timeout)?, Origin::Platform(platform))),
        None => Ok(Fetched::Nothing),
    }
}

/// The bytes behind `url`; `None` where they cannot be had offline.
fn from_url(url: &str, offline: bool) -> Result<Option<Vec<u8>>> {
    const ARGUMENT: &str = "the kernel argument ignition.config.url";
    match url.split_once(':') {
        Some(("data", _)) => {
            source::data_url_bytes(url, memory::limit()).map(Some).map_err(|error| error.at(&ARGUMENT))
        }
        Some((scheme, _)) if is_scheme(scheme) => {
            if offline {
                return Ok(None);
            }
            // The scheme only: the rest of a URL can carry tokens.
            Err(Error::new(
                Reason::Unsupported,
                format!("{ARGUMENT}: fetching a {scheme} URL is not supported"),
            ))
        }
        _ => Err(Error::new(Reason::Usage, format!("{ARGUMENT} is not a URL"))),
    }
}

/// RFC 3986, section 3.1.
fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

#[cfg(test)]
mod tests;
