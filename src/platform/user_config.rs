//! Finds the user's config. The kernel command line is asked first, then the system's directories, then the platform.

use std::path::{Path, PathBuf};

use super::{CommandLine, Platform, device, system};
use crate::error::{Error, Reason, Result};
use crate::memory;
use crate::source::{Source, Transport};

const PLATFORM_ADVICE: &str = "Correct ignition.platform.id on the kernel command line, or leave it out: the platform is \
    then detected. glowplug --help lists the platforms.";
const URL_ADVICE: &str = "Correct ignition.config.url on the kernel command line, then start again.";

/// Where a config was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigOrigin {
    /// The kernel command line holds or names it.
    CommandLine,
    /// The file `user.ign` of the running system.
    SystemFile(PathBuf),
    /// The platform gave it.
    Platform(Platform),
}

impl ConfigOrigin {
    /// Returns the reference's word for the origin, for its log and state file.
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
    /// Its text. An empty text means "no config", and later origins are still not asked.
    pub text: Vec<u8>,
    /// Where it was found.
    pub from: ConfigOrigin,
}

/// The platform to ask, and how it was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlatformChoice {
    /// Somebody named the platform, so it must have a config.
    Named(Platform),
    /// The machine was detected to be of this platform.
    Detected(Platform),
    /// There is no platform to ask.
    Nothing,
}

impl PlatformChoice {
    /// Chooses `named`, otherwise the platform that the kernel command line names, otherwise the detected one.
    ///
    /// # Errors
    /// Those of [`Platform::named`] for the name on the kernel command line.
    pub fn new(named: Option<Platform>, line: &CommandLine) -> Result<Self> {
        if let Some(platform) = named {
            return Ok(Self::Named(platform));
        }
        if let Some(name) = &line.platform {
            return Platform::named(name).map(Self::Named).map_err(|error| {
                error.at(&"the kernel argument ignition.platform.id").advise(PLATFORM_ADVICE)
            });
        }
        Ok(Platform::detect().map_or(Self::Nothing, Self::Detected))
    }

    /// Returns the platform, if there is one.
    pub fn platform(self) -> Option<Platform> {
        match self {
            Self::Named(platform) | Self::Detected(platform) => Some(platform),
            Self::Nothing => None,
        }
    }
}

/// The result of looking for the user's config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// A config was found.
    Config(UserConfig),
    /// The config needs the network, which must not be used now.
    NeedsNetwork,
    /// No origin has a config.
    Nothing,
}

/// Fetches the user's config from the first origin that has one. With `offline`, nothing that needs the network is
/// tried.
///
/// # Errors
/// Those of the origin that failed. Later origins are not asked.
pub fn user_config(
    choice: PlatformChoice,
    line: &CommandLine,
    offline: bool,
    transport: &dyn Transport,
) -> Result<Answer> {
    if let Some(fetched) = from_command_line(Path::new(device::BY_LABEL), line, offline, transport)? {
        return Ok(fetched);
    }
    from_system_or_platform(&system::directories(), choice, line)
}

/// Returns the config that the kernel command line holds or names; `None` if it names none. File systems are looked
/// up in the directory `labels`.
fn from_command_line(
    labels: &Path,
    line: &CommandLine,
    offline: bool,
    transport: &dyn Transport,
) -> Result<Option<Answer>> {
    let config = |text| Some(Answer::Config(UserConfig { text, from: ConfigOrigin::CommandLine }));
    if let Some(url) = &line.config_url {
        if line.config_device.is_some() || line.config_path.is_some() {
            log::warn!(
                "ignition.config.url is used; ignition.config.device and ignition.config.path are ignored"
            );
        }
        let text = from_url(url, offline, transport).map_err(|error| error.advise_otherwise(URL_ADVICE))?;
        return Ok(text.map_or(Some(Answer::NeedsNetwork), config));
    }
    match (&line.config_device, &line.config_path) {
        (Some(label), Some(path)) => {
            let text = device::fetch(labels, label, path, line.timeout)
                .map_err(|error| error.advise_otherwise(device::ADVICE))?;
            Ok(config(text))
        }
        (None, None) => Ok(None),
        _ => {
            let what =
                "the kernel command line has only one of ignition.config.device and ignition.config.path";
            Err(Error::new(Reason::Usage, what)
                .advise("Name both on the kernel command line, the label and the path, or neither."))
        }
    }
}

/// Returns `user.ign` from one of `directories`, otherwise the platform's config.
fn from_system_or_platform(
    directories: &[PathBuf],
    choice: PlatformChoice,
    line: &CommandLine,
) -> Result<Answer> {
    let config = |text, from| Answer::Config(UserConfig { text, from });
    if let Some(found) = system::user_config_in(directories)? {
        return Ok(config(found.text, ConfigOrigin::SystemFile(found.path)));
    }
    let (platform, text) = match choice {
        PlatformChoice::Named(platform) => (platform, Some(platform.fetch(line.timeout)?)),
        PlatformChoice::Detected(platform) => (platform, platform.fetch_if_any(line.timeout)?),
        PlatformChoice::Nothing => return Ok(Answer::Nothing),
    };
    Ok(text.map_or(Answer::Nothing, |text| config(text, ConfigOrigin::Platform(platform))))
}

/// Returns the bytes behind `url`; `None` if they need the network and `offline` is set.
fn from_url(url: &str, offline: bool, transport: &dyn Transport) -> Result<Option<Vec<u8>>> {
    const ARGUMENT: &str = "the kernel argument ignition.config.url";
    let source = Source::at_url(url, ARGUMENT, transport)
        .ok_or_else(|| Error::new(Reason::Usage, format!("{ARGUMENT} is not a URL")))?;
    if offline && source.is_remote() {
        return Ok(None);
    }
    let limit = memory::limit();
    let text = source.open()?.read_all(limit)?;
    if text.len() as u64 > limit {
        return Err(memory::too_large(limit));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests;
