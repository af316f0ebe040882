//! Configs that the running system carries, in three directories, the highest first.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::Platform;
use crate::error::{Error, Reason, Result, io_words};
use crate::fd::list;
use crate::file::read;
use crate::memory;

/// What can be done about a failure.
const ADVICE: &str = "Correct or remove what is named: it is a config that the initramfs itself brings.";
/// The variables that name the directories, and where those are otherwise.
const DIRECTORIES: [(&str, &str); 3] = [
    ("IGNITION_SYSTEM_RUNTIME_CONFIG_DIR", "/run/ignition"),
    ("IGNITION_SYSTEM_LOCAL_CONFIG_DIR", "/etc/ignition"),
    ("IGNITION_SYSTEM_CONFIG_DIR", "/usr/lib/ignition"),
];
/// Far more than anybody lays there.
const MOST_CONFIGS: usize = 1024;

/// A config and where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its file.
    pub path: PathBuf,
    /// Its text, which may be empty.
    pub text: Vec<u8>,
}

/// The configs that the user's is merged over, each list in the order of merging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseConfigs {
    /// Those of `base.d`.
    pub common: Vec<Found>,
    /// Those of `base.platform.d`, after all of `base.d`. For the reference what is wrong with one of them makes all
    /// of them void, and nothing else.
    pub platform: Vec<Found>,
}

impl BaseConfigs {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.common.is_empty() && self.platform.is_empty()
    }
}

/// The highest directory's `user.ign`.
///
/// # Errors
/// [`Reason::System`] for one that cannot be read, [`Reason::BadAnswer`] for one that is too large.
pub fn user_config() -> Result<Option<Found>> {
    user_config_in(&directories())
}

/// The configs of `base.d`, and of `base.platform.d` for `platform`.
///
/// # Errors
/// As for [`user_config`], but for `base.platform.d`, where they are only logged.
pub fn base_configs(platform: Option<Platform>) -> Result<BaseConfigs> {
    base_configs_in(&directories(), platform)
}

/// As [`base_configs`], for a platform by its name: also one that no config is fetched from here.
///
/// # Errors
/// As there.
pub fn base_configs_of(platform: &str) -> Result<BaseConfigs> {
    base_configs_named(&directories(), Some(platform))
}

pub(super) fn directories() -> [PathBuf; 3] {
    DIRECTORIES.map(|(variable, usual)| {
        let named = std::env::var_os(variable).filter(|path| !path.is_empty());
        named.unwrap_or_else(|| usual.into()).into()
    })
}

pub(super) fn user_config_in(directories: &[PathBuf]) -> Result<Option<Found>> {
    first_user_config(directories).map_err(|error| error.advise_otherwise(ADVICE))
}

fn first_user_config(directories: &[PathBuf]) -> Result<Option<Found>> {
    for directory in directories {
        let path = directory.join("user.ign");
        match path.metadata() {
            Ok(_) => return Ok(Some(Found { text: read(&path, memory::limit())?, path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("look up", &path, &error)),
        }
    }
    Ok(None)
}

fn base_configs_in(directories: &[PathBuf], platform: Option<Platform>) -> Result<BaseConfigs> {
    base_configs_named(directories, platform.map(Platform::name))
}

fn base_configs_named(directories: &[PathBuf], platform: Option<&str>) -> Result<BaseConfigs> {
    let common =
        fragments(directories, Path::new("base.d")).map_err(|error| error.advise_otherwise(ADVICE))?;
    let platform = match platform {
        Some(platform) => {
            let name = Path::new("base.platform.d").join(platform);
            fragments(directories, &name).unwrap_or_else(|error| {
                log::warn!("no base config of the platform is used: {error}");
                Vec::new()
            })
        }
        None => Vec::new(),
    };
    Ok(BaseConfigs { common, platform })
}

/// The files of the directory `name` in all of `directories`, in the order of their names; of the same name only the
/// highest directory's. Whatever lies there counts as a config, as in the reference.
fn fragments(directories: &[PathBuf], name: &Path) -> Result<Vec<Found>> {
    // In the order of the names.
    let mut files: Vec<(OsString, PathBuf)> = Vec::new();
    for directory in directories {
        let path = directory.join(name);
        let names = match list(&path) {
            Ok(names) => names,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(failed("list", &path, &errno.into())),
        };
        for name in names {
            let Err(at) = files.binary_search_by(|(other, _)| other.cmp(&name)) else {
                continue;
            };
            if files.len() == MOST_CONFIGS {
                let what = format!("{}: there are more than {MOST_CONFIGS} configs", path.display());
                return Err(Error::new(Reason::BadAnswer, what));
            }
            let file = path.join(&name);
            files.insert(at, (name, file));
        }
    }
    let mut left = memory::limit();
    let mut found = Vec::with_capacity(files.len());
    for (_, path) in files {
        let text = read(&path, left)?;
        left = left.saturating_sub(text.len() as u64);
        found.push(Found { path, text });
    }
    Ok(found)
}

fn failed(act: &str, path: &Path, error: &io::Error) -> Error {
    Error::new(Reason::System, format!("{act} {}: {}", path.display(), io_words(error)))
}

#[cfg(test)]
mod tests;
