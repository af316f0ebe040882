//! Opening a file of the root for another part of the program, to be read.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

use super::Root;
use crate::error::{Error, Result};

impl Root {
    /// Opens the regular file at `path` for reading. The path must have no links.
    ///
    /// # Errors
    /// Those of the root.
    pub fn open_file(&self, path: &Path) -> Result<OwnedFd> {
        // Without NONBLOCK, to open a FIFO would wait for a writer.
        self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY, Mode::empty())
            .map_err(|errno| Error::root("open", path, errno))
    }
}
