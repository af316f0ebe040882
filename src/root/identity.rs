//! Which file it is: what a copy of a file in another root does not have in common with it.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::Errno;

/// A file, told by its inode. A copy of the whole disk is the same root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    /// Inode number.
    pub inode: u64,
    /// Birth time: seconds since the epoch and nanoseconds; zeroes where the file system has none.
    pub born: (i64, u32),
}

impl FileIdentity {
    /// The identity of an open file.
    pub fn of(fd: impl AsFd) -> Result<Self, Errno> {
        Self::look_up(fd.as_fd(), c"", AtFlags::EMPTY_PATH)
    }

    /// The identity of what `name` in `parent` is, a symbolic link itself.
    pub(super) fn of_name(parent: BorrowedFd<'_>, name: &CStr) -> Result<Self, Errno> {
        Self::look_up(parent, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    fn look_up(fd: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<Self, Errno> {
        let stat = statx(fd, name, flags, StatxFlags::INO | StatxFlags::BTIME)?;
        let has_birth = stat.stx_mask & StatxFlags::BTIME.bits() != 0;
        let born = if has_birth { (stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec) } else { (0, 0) };
        Ok(Self { inode: stat.stx_ino, born })
    }
}
