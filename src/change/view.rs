//! What planning may know of the root: a read-only view of it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::error::Result;

/// The kind of what stands at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A device node, FIFO or socket.
    Special,
}

impl FileKind {
    /// Returns the kind for a message, with its article: "a file".
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
    /// The numeric user.
    pub uid: u32,
    /// The numeric group.
    pub gid: u32,
    /// The lower twelve bits of `st_mode`: permissions, setuid, setgid and the sticky bit.
    pub mode: u32,
}

impl Attributes {
    /// Returns the owner root:root with the permission bits `mode`.
    pub fn root(mode: u32) -> Self {
        Self { uid: 0, gid: 0, mode }
    }
}

/// What lstat(2) says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// The kind of what stands there.
    pub kind: FileKind,
    /// Owner and mode.
    pub attributes: Attributes,
    /// The size in bytes.
    pub size: u64,
    /// The numbers of device and inode. They are equal for two names of one file.
    pub identity: (u64, u64),
    /// The number of names that a file has. For a directory each file system counts something else.
    pub links: u64,
}

/// A read-only view of the root, as it is before anything was written.
///
/// All paths are absolute, as a process inside the root would name them. The caller has resolved the symbolic links in
/// all components but the last, and the methods never follow a link in the last component.
pub trait View {
    /// Returns what stands at `path`, or `None` if nothing stands there.
    fn stat(&self, path: &Path) -> Result<Option<Stat>>;

    /// Returns the text of the symbolic link at `path`, without resolving it.
    fn read_link(&self, path: &Path) -> Result<PathBuf>;

    /// Reads the regular file at `path`. A file of more than `limit` bytes is an error.
    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>>;

    /// Returns what is in the directory at `path`, sorted by name, without `.` and `..`.
    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>>;

    /// Returns whether the file system at `path` can give a directory another name. An overlay cannot if the directory comes from
    /// a lower layer.
    fn renames_directories(&self, _path: &Path) -> Result<bool> {
        Ok(true)
    }
}

/// One name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name.
    pub name: OsString,
    /// The kind of what it names, if the directory tells.
    pub kind: Option<FileKind>,
}
