//! The stamp: the file that says that this root has been provisioned.

use std::ffi::{CStr, OsStr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fsync, openat, renameat, statat, statx, unlinkat};
use rustix::io::Errno;

use super::Root;
use super::stage::STAGE;
use super::walk::remove_tree;
use crate::error::{Error, Result};
use crate::fd::write_all;
use crate::plan::View as _;

/// Where the stamp stands: the file that Fedora `CoreOS` tools read.
pub const STAMP: &str = "/etc/.ignition-result.json";
/// Its name until it is whole.
const UNFINISHED: &CStr = c".ignition-result.json.glowplug";

/// The file that holds the stamp, told by what a copy to another root does not have in common with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// Inode number.
    pub inode: u64,
    /// Birth time: seconds since the epoch and nanoseconds; zeroes where the file system has none.
    pub born: (i64, u32),
}

impl FileIdentity {
    /// The identity of an open file.
    pub fn of(fd: &OwnedFd) -> std::result::Result<Self, Errno> {
        let wanted = StatxFlags::INO | StatxFlags::BTIME;
        let stat = statx(fd, c"", AtFlags::EMPTY_PATH, wanted)?;
        let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = if has_birth { (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec) } else { (0, 0) };
        Ok(Self { inode: stat.stx_ino, born })
    }
}

impl Root {
    /// Whether the stamp stands. Whoever calls this on every boot gets away with two system calls.
    pub fn has_stamp(&self) -> Result<bool> {
        let path = Path::new(STAMP);
        let looked_up = self
            .open_parent(path)
            .and_then(|(parent, name)| statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW));
        match looked_up {
            Ok(_) => Ok(true),
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

    /// Writes the stamp, mode 0600: `text` makes its contents from the identity of its own file. It stands whole
    /// and durable, or not at all. [`Root::apply`] has brought everything else to the disk before.
    pub fn write_stamp(&self, text: impl FnOnce(FileIdentity) -> String) -> Result<()> {
        let path = Path::new(STAMP);
        let failed = |errno| Error::root("write the stamp", path, errno);
        let (parent, name) = self.open_parent(path).map_err(failed)?;
        remove(&parent, UNFINISHED).map_err(failed)?;
        let mut left = UNFINISHED;
        put(&parent, &name, text, &mut left).map_err(|errno| {
            if let Err(second) = remove(&parent, left) {
                log::warn!("{}", Error::root("take the unfinished stamp back", path, second));
            }
            failed(errno)
        })
    }
}

impl Root {
    /// Takes away the stamp, what an interrupted run left of it, and the staging directory of the root's own file
    /// system. Returns what was there.
    pub fn clean(&self) -> Result<Vec<PathBuf>> {
        let stamp = Path::new(STAMP);
        let mut removed = Vec::new();
        for path in [stamp.to_owned(), stamp.with_file_name(OsStr::from_bytes(UNFINISHED.to_bytes()))] {
            let result = self.open_parent(&path).and_then(|(parent, name)| {
                unlinkat(&parent, &name, AtFlags::empty())?;
                fsync(openat(
                    &parent,
                    c".",
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
                    Mode::empty(),
                )?)
            });
            match result {
                Ok(()) => removed.push(path),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(Error::root("remove", &path, errno)),
            }
        }
        let stage = Path::new("/").join(STAGE);
        if self.stat(&stage)?.is_some() {
            remove_tree(self, &stage)?;
            removed.push(stage);
        }
        Ok(removed)
    }
}

/// `left` is the name under which the file stands if this fails: an older stamp stays until it is replaced.
fn put<'n>(
    parent: &OwnedFd,
    name: &'n CStr,
    text: impl FnOnce(FileIdentity) -> String,
    left: &mut &'n CStr,
) -> std::result::Result<(), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat(parent, UNFINISHED, flags, Mode::RUSR | Mode::WUSR)?;
    let identity = FileIdentity::of(&fd)?;
    write_all(fd.as_fd(), text(identity).as_bytes())?;
    fsync(&fd)?;
    renameat(parent, UNFINISHED, parent, name)?;
    *left = name;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fsync(openat(parent, c".", flags, Mode::empty())?)
}

fn remove(parent: &OwnedFd, name: &CStr) -> std::result::Result<(), Errno> {
    match unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        removed => removed,
    }
}
