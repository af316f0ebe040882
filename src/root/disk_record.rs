//! The record of work on disks, in the root's own area. Such work cannot be staged and renamed, so a run after a power cut
//! reads here what the run before it has done. The record is removed with the saved config.
//!
//! The file begins with a head and the identity of the area's owner link, as the saved config does. Then come fields, each
//! ended by a NUL byte, whose meaning `disks` knows.

use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::fs::Mode;

use super::Root;
use super::area::{Area, AreaPath, DISKS};
use super::calls;
use super::journal::{Fields, put_identity};
use super::walk::mount_of;
use crate::error::{Error, Result};
use crate::fd::read_all;

/// The first field: what the file is, and the version of its format.
const HEAD: &str = "glowplug disks 1";
/// The most bytes of a record. A config has at most 100,000 items in its lists, and few of them are disks.
const MOST_BYTES: u64 = 64 << 20;

impl Root {
    /// Returns the fields of the record; nothing if there is none, or if it belongs to another root.
    ///
    /// # Errors
    /// [`Reason::RootIo`](crate::error::Reason::RootIo) if it cannot be read.
    pub fn disk_record(&self) -> Result<Vec<u8>> {
        let AreaPath::Ours(area) = Area::find(self, Path::new("/"))? else { return Ok(Vec::new()) };
        if !area.has(DISKS)? {
            return Ok(Vec::new());
        }
        let mut bytes = area
            .open(DISKS)
            .and_then(|fd| read_all(fd.as_fd(), MOST_BYTES))
            .map_err(|errno| Error::root("read the record of disks in", &area.path(), errno))?;
        let mut fields = Fields(&bytes);
        if fields.next() != Some(HEAD.as_bytes()) || fields.identity() != Some(area.identity) {
            return Ok(Vec::new());
        }
        let start = bytes.len().saturating_sub(fields.0.len());
        bytes.drain(..start);
        Ok(bytes)
    }

    /// Cuts `count` bytes off the end of the record, durably.
    ///
    /// # Errors
    /// Those of the root.
    pub fn shorten_disk_record(&self, count: usize) -> Result<()> {
        let AreaPath::Ours(area) = Area::find(self, Path::new("/"))? else { return Ok(()) };
        calls::append(area.fd(), DISKS, Mode::RUSR | Mode::WUSR)
            .and_then(|fd| {
                calls::shorten(fd.as_fd(), count as u64)?;
                calls::sync(fd.as_fd())
            })
            .map_err(|errno| Error::root("write the record of disks in", &area.path(), errno))
    }

    /// Removes the record.
    ///
    /// # Errors
    /// Those of the root.
    pub fn forget_disk_record(&self) -> Result<()> {
        let AreaPath::Ours(area) = Area::find(self, Path::new("/"))? else { return Ok(()) };
        area.discard(DISKS).map_err(|errno| Error::root("remove the record of disks in", &area.path(), errno))
    }

    /// Appends `fields` to the record, durably. Each field ends with a NUL byte.
    ///
    /// # Errors
    /// Those of the root.
    pub fn append_disk_record(&self, fields: &[u8]) -> Result<()> {
        let top = Path::new("/");
        let area = match Area::find(self, top)? {
            AreaPath::Ours(area) => area,
            _ => Area::make(self, top, mount_of(self, top)?)?,
        };
        let is_new = !area.has(DISKS)?;
        let mut bytes = Vec::new();
        if is_new {
            bytes.extend_from_slice(HEAD.as_bytes());
            bytes.push(0);
            put_identity(&mut bytes, area.identity);
        }
        bytes.extend_from_slice(fields);
        calls::append(area.fd(), DISKS, Mode::RUSR | Mode::WUSR)
            .and_then(|fd| {
                calls::write_all(fd.as_fd(), &bytes)?;
                calls::sync(fd.as_fd())?;
                if is_new { calls::sync(area.fd()) } else { Ok(()) }
            })
            .map_err(|errno| Error::root("write the record of disks in", &area.path(), errno))
    }
}
