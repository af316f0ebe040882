//! What planning may ask of the root: reading, nothing else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// What stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device node, FIFO or socket.
    Special,
}

impl Kind {
    /// The kind's name for messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Directory => "a directory",
            Self::Symlink => "a symbolic link",
            Self::Special => "a device, FIFO or socket",
        }
    }
}

/// Owner and permission bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// Numeric user.
    pub uid: u32,
    /// Numeric group.
    pub gid: u32,
    /// The lower twelve bits of `st_mode`.
    pub mode: u32,
}

impl Attributes {
    /// root:root with the given permission bits.
    pub fn root(mode: u32) -> Self {
        Self { uid: 0, gid: 0, mode }
    }
}

/// What `lstat` tells of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// What stands there.
    pub kind: Kind,
    /// Owner and mode.
    pub attributes: Attributes,
    /// Size in bytes.
    pub size: u64,
    /// Device and inode, equal for two names of one file.
    pub identity: (u64, u64),
    /// How many names the file has; what that is for a directory is the file system's own affair.
    pub links: u64,
}

/// The root as it is before anything was written.
///
/// Paths are absolute as a process inside the root would name them, and already free of symbolic links in all
/// components but the last, which is never followed.
pub trait View {
    /// What stands at `path`; `None` where nothing does.
    fn stat(&self, path: &Path) -> Result<Option<Stat>>;

    /// The target of the symbolic link at `path`, as it is written there.
    fn read_link(&self, path: &Path) -> Result<PathBuf>;

    /// The contents of the regular file at `path`, at most `limit` bytes: a larger file is an error.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>>;

    /// The names in the directory at `path`, sorted, without `.` and `..`.
    fn list(&self, path: &Path) -> Result<Vec<OsString>>;
}
