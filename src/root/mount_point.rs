//! The directories over which file systems are mounted.

use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::calls::{self, OsResult};
use super::{Root, c_name, relative};
use crate::error::{Error, Result};

impl Root {
    /// Returns the path in the running system of the directory `path`, over which a file system is to be mounted. Links in
    /// `path` are followed inside of the root. Missing directories are made, with the mode 0755.
    ///
    /// # Errors
    /// Those of the root.
    pub fn mount_point(&self, path: &Path) -> Result<PathBuf> {
        let find = || match self.open_following(path) {
            Err(Errno::NOENT) => path_of(&self.make_directories(path)?),
            found => path_of(&found?),
        };
        find().map_err(|errno| Error::root("find the mount point", path, errno))
    }

    /// Returns the directories that [`Root::mount_point`] would make, from the top of the tree down.
    ///
    /// # Errors
    /// Those of the root.
    pub fn missing_directories(&self, path: &Path) -> Result<Vec<PathBuf>> {
        let mut missing = Vec::new();
        for directory in path.ancestors() {
            match self.open_following(directory) {
                Err(Errno::NOENT) => missing.push(directory.to_owned()),
                Err(errno) => return Err(Error::root("find the mount point", path, errno)),
                Ok(_) => break,
            }
        }
        missing.reverse();
        Ok(missing)
    }

    /// Returns the path in the running system of the directory `path`, over which a file system is mounted. Links in `path`
    /// are followed inside of the root.
    ///
    /// # Errors
    /// Those of the root.
    pub fn mounted_at(&self, path: &Path) -> Result<PathBuf> {
        self.forget_looked_into();
        let found = self.open_following(path).and_then(|fd| path_of(&fd));
        found.map_err(|errno| Error::root("find the mount point", path, errno))
    }

    /// Opens a directory with `O_PATH`. Links are followed inside of the root.
    fn open_following(&self, path: &Path) -> OsResult<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.fd, relative(path)?, flags, Mode::empty(), confined)
    }

    /// Makes the directory `path` and those above it.
    fn make_directories(&self, path: &Path) -> OsResult<OwnedFd> {
        let mut above: Vec<&Path> = path.ancestors().collect();
        above.reverse();
        let mut parent = self.open_following(Path::new("/"))?;
        for directory in above.into_iter().skip(1) {
            let name = c_name(directory.file_name().ok_or(Errno::INVAL)?)?;
            parent = match self.open_following(directory) {
                Err(Errno::NOENT) => {
                    // A link to nothing is in the way, and stays.
                    calls::make_directory(parent.as_fd(), &name, Mode::from_raw_mode(0o755))?;
                    self.open_following(directory)?
                }
                found => found?,
            };
        }
        Ok(parent)
    }
}

/// Returns the path that the kernel knows for an open directory. It has no links in it.
fn path_of(fd: &OwnedFd) -> OsResult<PathBuf> {
    let name = format!("/proc/self/fd/{}", fd.as_raw_fd());
    rustix::fs::readlink(name, Vec::new()).map(|path| PathBuf::from(path.to_string_lossy().into_owned()))
}
