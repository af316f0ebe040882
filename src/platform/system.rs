//! Configs in three directories of the running system. A file in an earlier directory hides one of the same name in
//! later ones.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::Platform;
use crate::error::{Error, Reason, Result};
use crate::fd::list;
use crate::file::read;
use crate::memory;

/// The advice for every failure here.
const ADVICE: &str =
    "Correct or remove the named file or directory: it holds configs that are part of the initramfs.";
/// The environment variables that name the directories, and the default of each. The first one has the highest
/// priority.
const DIRECTORIES: [(&str, &str); 3] = [
    ("IGNITION_SYSTEM_RUNTIME_CONFIG_DIR", "/run/ignition"),
    ("IGNITION_SYSTEM_LOCAL_CONFIG_DIR", "/etc/ignition"),
    ("IGNITION_SYSTEM_CONFIG_DIR", "/usr/lib/ignition"),
];
/// The most configs in the fragment directories of one name. Real systems have far fewer.
const MOST_CONFIGS: usize = 1024;

/// A config and its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SystemConfig {
    /// The path of the file.
    pub path: PathBuf,
    /// The text, which may be empty.
    pub text: Vec<u8>,
}

/// The configs over which the user's config is merged, each list in the order of merging.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseConfigs {
    /// The configs of `base.d`.
    pub common: Vec<SystemConfig>,
    /// The configs of `base.platform.d`, which are merged after `base.d`. If one of them is wrong, none of them is
    /// used, and the run goes on. The reference does the same.
    pub platform: Vec<SystemConfig>,
}

impl BaseConfigs {
    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.common.is_empty() && self.platform.is_empty()
    }
}

/// Returns `user.ign` of the first directory that has one.
///
/// # Errors
/// [`Reason::System`] for a file that cannot be read, [`Reason::BadAnswer`] for one that is too large.
pub fn user_config() -> Result<Option<SystemConfig>> {
    user_config_in(&directories())
}

/// Returns the configs of `base.d`, and those of `base.platform.d` for `platform`.
///
/// # Errors
/// As for [`user_config`]. A failure in `base.platform.d` is only logged.
pub fn base_configs(platform: Option<Platform>) -> Result<BaseConfigs> {
    base_configs_in(&directories(), platform)
}

/// Returns what [`base_configs`] returns, for a platform by its name. The platform need not be one on which this
/// program can fetch.
///
/// # Errors
/// As for [`base_configs`].
pub fn base_configs_of(platform: &str) -> Result<BaseConfigs> {
    base_configs_named(&directories(), Some(platform))
}

pub(super) fn directories() -> [PathBuf; 3] {
    DIRECTORIES.map(|(variable, usual)| {
        let named = std::env::var_os(variable).filter(|path| !path.is_empty());
        named.unwrap_or_else(|| usual.into()).into()
    })
}

pub(super) fn user_config_in(directories: &[PathBuf]) -> Result<Option<SystemConfig>> {
    first_user_config(directories).map_err(|error| error.advise_otherwise(ADVICE))
}

fn first_user_config(directories: &[PathBuf]) -> Result<Option<SystemConfig>> {
    for directory in directories {
        let path = directory.join("user.ign");
        match path.metadata() {
            Ok(_) => return Ok(Some(SystemConfig { text: read(&path, memory::limit())?, path })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::system_at("look up", &path, error)),
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

/// Returns the files of the directory `name` in all of `directories`, sorted by name. Of files with the same name,
/// the first directory's is taken. Every file counts as a config, whatever its name, as in the reference.
fn fragments(directories: &[PathBuf], name: &Path) -> Result<Vec<SystemConfig>> {
    // Sorted by name.
    let mut files: Vec<(OsString, PathBuf)> = Vec::new();
    for directory in directories {
        let path = directory.join(name);
        let names = match list(&path) {
            Ok(names) => names,
            Err(Errno::NOENT) => continue,
            Err(errno) => return Err(Error::system_at("list", &path, errno)),
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
        found.push(SystemConfig { path, text });
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
