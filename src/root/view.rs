//! The root as a [`View`]: what planning reads of it.

use std::ffi::{CStr, OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, fstatfs, readlinkat, statat};
use rustix::io::Errno;

use super::{Root, c_name};
use crate::change::{Attributes, DirectoryEntry, FileKind, Stat, View};
use crate::error::{Error, Reason, Result, errno_words};
use crate::fd::{each_entry, read_all};
use crate::sort::sort;

/// The most directories that planning keeps open. It goes to and fro between two: units and the links to them, or
/// `/etc/skel` and a home.
const MOST_OPEN: usize = 4;

impl Root {
    /// Calls `look` with the directory that holds `path` and with the last component of `path`. The directory stays open,
    /// so that the next name in it takes only one system call. A change of the root or a mount could make an open directory
    /// stale, so both close all.
    fn in_parent<T>(
        &self,
        path: &Path,
        look: &mut dyn FnMut(BorrowedFd<'_>, &CStr) -> std::result::Result<T, Errno>,
    ) -> std::result::Result<T, Errno> {
        let Some(parent) = path.parent() else { return look(self.fd.as_fd(), c".") };
        let name = c_name(path.file_name().ok_or(Errno::INVAL)?)?;
        let mut open = self.looked_into.borrow_mut();
        if let Some((_, fd)) = open.iter().find(|(known, _)| known.as_os_str() == parent.as_os_str()) {
            return look(fd.as_fd(), &name);
        }
        let fd = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        let found = look(fd.as_fd(), &name);
        if open.len() >= MOST_OPEN {
            open.remove(0);
        }
        open.push((parent.to_owned(), fd));
        found
    }

    /// Closes the directories that planning has looked into.
    pub(crate) fn forget_looked_into(&self) {
        self.looked_into.borrow_mut().clear();
    }
}

impl View for Root {
    fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match self.in_parent(path, &mut |parent, name| statat(parent, name, flags)) {
            Ok(stat) => Ok(Some(Stat {
                kind: kind(stat.st_mode),
                attributes: Attributes { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 },
                size: u64::try_from(stat.st_size).unwrap_or(0),
                identity: (stat.st_dev, stat.st_ino),
                links: links(stat.st_nlink),
            })),
            // No file can have a name that is too long, so nothing stands there. Making such a file is refused elsewhere.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => Ok(None),
            Err(errno) => Err(Error::root("look up", path, errno)),
        }
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf> {
        let target = self.in_parent(path, &mut |parent, name| readlinkat(parent, name, Vec::new()));
        let target = target.map_err(|errno| Error::root("read the link", path, errno))?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>> {
        // Without NONBLOCK, opening a FIFO would wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        let fd =
            self.open_at(path, flags, Mode::empty()).map_err(|errno| Error::root("open", path, errno))?;
        let bytes = read_all(fd.as_fd(), limit).map_err(|errno| {
            Error::new(Reason::RootIo, format!("read {} in the root: {}", path.display(), errno_words(errno)))
        })?;
        if bytes.len() as u64 > limit {
            let what = format!("read {} in the root: it is larger than {limit} bytes", path.display());
            return Err(Error::new(Reason::RootIo, what));
        }
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>> {
        let failed = |errno| Error::root("list", path, errno);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = self.open_at(path, flags, Mode::empty()).map_err(failed)?;
        let mut entries = Vec::new();
        let mut add = |name: &[u8], kind| {
            entries.push(DirectoryEntry { name: OsStr::from_bytes(name).to_owned(), kind: kind_of(kind) });
        };
        Dir::new(fd).and_then(|directory| each_entry(directory, &mut add)).map_err(failed)?;
        sort(&mut entries, &|one: &DirectoryEntry, other: &DirectoryEntry| one.name.cmp(&other.name));
        Ok(entries)
    }

    fn renames_directories(&self, path: &Path) -> Result<bool> {
        /// `OVERLAYFS_SUPER_MAGIC`.
        const OVERLAY: u32 = 0x794c_7630;
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let found = self.open_at(path, flags, Mode::empty()).and_then(fstatfs);
        let found = found.map_err(|errno| Error::root("look up the file system of", path, errno))?;
        Ok(u32::try_from(found.f_type) != Ok(OVERLAY))
    }
}

/// Returns `st_nlink` with 64 bits. On arm64 it has 32.
fn links(count: impl Into<u64>) -> u64 {
    count.into()
}

/// Returns the kind of file that `st_mode` says.
pub(super) fn kind(mode: RawMode) -> FileKind {
    kind_of(FileType::from_raw_mode(mode)).unwrap_or(FileKind::Special)
}

/// Returns the kind of file of which a directory says `kind`; `None` if it does not tell.
fn kind_of(kind: FileType) -> Option<FileKind> {
    match kind {
        FileType::RegularFile => Some(FileKind::File),
        FileType::Directory => Some(FileKind::Directory),
        FileType::Symlink => Some(FileKind::Symlink),
        FileType::Unknown => None,
        _ => Some(FileKind::Special),
    }
}
