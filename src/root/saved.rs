//! The fetched config, saved in the root until the root is whole: the host may serve it only once.
//!
//! Its form: the head, the identity of the area's owner link in three fields, the platform, the SHA-512 of the text,
//! each ended by a NUL byte; then the text.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::Mode;

use super::Root;
use super::area::{Area, CONFIG, Found};
use super::calls;
use super::journal::{Fields, put_identity};
use super::walk::mount_of;
use crate::error::{Error, Result};
use crate::fd::read_all;
use crate::resource::sha512_hex;

const HEAD: &str = "glowplug config 1";

/// A config that an interrupted run had fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedConfig {
    /// The name of the platform that it came from.
    pub platform: String,
    /// Its text.
    pub text: Vec<u8>,
}

impl Root {
    /// Saves the config in `text`, which has the hash `sha512`, durably, readable by nobody else.
    ///
    /// # Errors
    /// Those of the root, which is then as it was.
    pub fn save_config(&self, platform: &str, sha512: &str, text: &[u8]) -> Result<()> {
        let top = Path::new("/");
        let area = Area::make(self, top, mount_of(self, top)?)?;
        let mut head = format!("{HEAD}\0").into_bytes();
        put_identity(&mut head, area.identity);
        head.extend_from_slice(format!("{platform}\0{sha512}\0").as_bytes());
        let save = || {
            let fd = calls::create(area.fd(), CONFIG, Mode::RUSR | Mode::WUSR)?;
            calls::write_all(fd.as_fd(), &head)?;
            calls::write_all(fd.as_fd(), text)?;
            calls::sync_file_system(area.fd())
        };
        let saved = save();
        saved.map_err(|errno| {
            let error = Error::root("save the config in", &area.path(), errno);
            if let Err(second) = area.remove(self) {
                log::warn!("{second}");
            }
            error
        })
    }

    /// The config that an interrupted run saved; none if it is not whole, or of another root. At most `limit` bytes.
    ///
    /// # Errors
    /// Those of reading it.
    pub fn saved_config(&self, limit: u64) -> Result<Option<SavedConfig>> {
        let Found::Ours(area) = Area::find(self, Path::new("/"))? else { return Ok(None) };
        let bytes = area
            .open(CONFIG)
            .and_then(|fd| read_all(fd.as_fd(), limit))
            .map_err(|errno| Error::root("read the config in", &area.path(), errno))?;
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
