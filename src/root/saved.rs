//! The saved config. It is kept in the root's own area until the root is provisioned, because the host may serve the
//! config only once.
//!
//! The file begins with fields that each end with a NUL byte: the head, the identity of the area's owner link in three
//! fields, the platform's name, and the SHA-512 of the text in hexadecimal. The rest of the file is the text.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::Root;
use super::area::{Area, AreaPath, CONFIG};
use super::calls;
use super::journal::{Fields, put_identity};
use super::walk::mount_of;
use crate::error::{Error, Reason, Result};
use crate::fd::read_all;
use crate::source::sha512_hex;

/// The first field: what the file is, and the version of its format.
const HEAD: &str = "glowplug config 1";

/// A config that is saved before anything else is written.
#[derive(Debug, Clone, Copy)]
pub struct ConfigToSave<'t> {
    /// The name of the platform that the config came from.
    pub platform: &'t str,
    /// The SHA-512 of the text, in hexadecimal.
    pub sha512: &'t str,
    /// The text of the config.
    pub text: &'t [u8],
}

/// A config that an interrupted run has saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedConfig {
    /// The name of the platform that the config came from.
    pub platform: String,
    /// The text of the config.
    pub text: Vec<u8>,
}

/// Writes `config` as [`write()`] does, and makes it durable.
///
/// # Errors
/// Those of the root.
pub(super) fn save(root: &Root, config: &ConfigToSave<'_>) -> Result<()> {
    let area = write(root, config)?;
    calls::sync_file_system(area.fd()).map_err(|errno| failed(&area, errno))
}

/// Writes `config` to a file that only its owner may read. The next sync of the root makes it durable.
///
/// # Errors
/// Those of the root.
pub(super) fn write(root: &Root, config: &ConfigToSave<'_>) -> Result<Area> {
    let ConfigToSave { platform, sha512, text } = *config;
    let top = Path::new("/");
    let area = Area::make(root, top, mount_of(root, top)?)?;
    let mut head = format!("{HEAD}\0").into_bytes();
    put_identity(&mut head, area.identity);
    head.extend_from_slice(format!("{platform}\0{sha512}\0").as_bytes());
    calls::create(area.fd(), CONFIG, Mode::RUSR | Mode::WUSR)
        .and_then(|fd| {
            calls::write_all(fd.as_fd(), &head)?;
            calls::write_all(fd.as_fd(), text)
        })
        .map_err(|errno| failed(&area, errno))?;
    Ok(area)
}

fn failed(area: &Area, errno: Errno) -> Error {
    Error::root("save the config in", &area.path(), errno)
}

impl Root {
    /// Saves `config` durably, before anything else is changed.
    ///
    /// # Errors
    /// Those of the root. Nothing stays saved then.
    pub fn save(&self, config: &ConfigToSave<'_>) -> Result<()> {
        save(self, config).map_err(|error| self.undo(error))
    }

    /// Returns the config that an interrupted run saved. Returns `None` if there is none, if it is damaged, or if it belongs
    /// to another root.
    ///
    /// # Errors
    /// [`Reason::RootIo`] if it cannot be read, or is larger than `limit` bytes.
    pub fn saved_config(&self, limit: u64) -> Result<Option<SavedConfig>> {
        let AreaPath::Ours(area) = Area::find(self, Path::new("/"))? else { return Ok(None) };
        let bytes = area
            .open(CONFIG)
            .and_then(|fd| read_all(fd.as_fd(), limit))
            .map_err(|errno| Error::root("read the config in", &area.path(), errno))?;
        if bytes.len() as u64 > limit {
            // The config is kept, because a machine with more memory can use it.
            let what =
                format!("the config in {} in the root is larger than {limit} bytes", area.path().display());
            return Err(Error::new(Reason::RootIo, what));
        }
        Ok(decode(bytes, &area))
    }
}

fn decode(mut bytes: Vec<u8>, area: &Area) -> Option<SavedConfig> {
    let mut fields = Fields(&bytes);
    if fields.next()? != HEAD.as_bytes() || fields.identity()? != area.identity {
        return None;
    }
    let (platform, sha512) = (fields.text()?.to_owned(), fields.text()?.to_owned());
    let start = bytes.len().checked_sub(fields.0.len())?;
    bytes.drain(..start);
    (sha512_hex(&bytes) == sha512).then_some(SavedConfig { platform, text: bytes })
}
