//! The stamp: the file that says that this root has been provisioned.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, openat, statat};
use rustix::io::Errno;

use super::Root;
use super::calls::{self, DIRECTORY};
use super::view::kind;
use crate::change::Kind;
use crate::error::{Error, Reason, Result};

/// Where the stamp stands: the file that Fedora `CoreOS` tools read.
pub const STAMP: &str = "/etc/.ignition-result.json";

impl Root {
    /// Whether the stamp stands. Whoever calls this on every boot gets away with two system calls.
    ///
    /// # Errors
    /// [`Reason::Conflict`] where something else than a file stands there.
    pub fn has_stamp(&self) -> Result<bool> {
        let path = Path::new(STAMP);
        let looked_up = self
            .open_parent(path)
            .and_then(|(parent, name)| statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW));
        match looked_up {
            Ok(stat) if kind(stat.st_mode) == Kind::File => Ok(true),
            Ok(stat) => {
                let what = kind(stat.st_mode).word();
                Err(Error::new(Reason::Conflict, format!("{STAMP} in the root: {what} is no stamp")))
            }
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(Error::root("look up the stamp", path, errno)),
        }
    }

    /// Makes sure that there is a place for the stamp, before anything else is done.
    pub fn check_stamp_place(&self) -> Result<()> {
        let path = Path::new(STAMP);
        match self.open_parent(path) {
            Ok(_) => Ok(()),
            Err(errno) => Err(Error::root("find the place of the stamp", path, errno)),
        }
    }

    /// Takes away the stamp, durably, and what an interrupted run left. Returns what was there.
    ///
    /// # Errors
    /// Those of the root.
    pub fn clean(&self) -> Result<Vec<PathBuf>> {
        let path = Path::new(STAMP);
        let remove = || {
            let (parent, name) = self.open_parent(path)?;
            calls::unlink(parent.as_fd(), &name, AtFlags::empty())?;
            calls::sync(openat(&parent, c".", DIRECTORY, Mode::empty())?.as_fd())
        };
        let mut removed = match remove() {
            Ok(()) => vec![path.to_owned()],
            Err(Errno::NOENT) => Vec::new(),
            Err(errno) => return Err(Error::root("remove", path, errno)),
        };
        removed.append(&mut self.discard()?);
        Ok(removed)
    }
}
