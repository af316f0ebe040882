//! Setting owner and mode. All calls work on open files, because somebody could put another file at a name meanwhile.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::calls;
use super::view::kind;
use crate::change::{Attributes, FileKind};

/// Returns whether an open file or directory has this owner and this mode.
pub(super) fn has_attributes(fd: impl AsFd, attributes: Attributes) -> Result<bool, Errno> {
    let stat = fstat(fd)?;
    let mode = stat.st_mode & 0o7777;
    Ok(attributes == Attributes { uid: stat.st_uid, gid: stat.st_gid, mode })
}

/// Sets owner and mode of an open file or directory where they differ. Reading both first is cheaper than two calls that
/// change nothing. The mode of a symbolic link is not set. `fd` may be opened with `O_PATH`.
pub(super) fn set_attributes_of(fd: impl AsFd, attributes: Attributes) -> Result<(), Errno> {
    let fd = fd.as_fd();
    let stat = fstat(fd)?;
    let Attributes { uid, gid, mode } = attributes;
    let is_owned = (stat.st_uid, stat.st_gid) == (uid, gid);
    if !is_owned {
        calls::set_owner(fd, uid, gid)?;
    }
    // The mode comes second, because chown(2) clears setuid and setgid of files.
    if kind(stat.st_mode) != FileKind::Symlink && (!is_owned || stat.st_mode & 0o7777 != mode) {
        calls::set_mode(fd, mode)?;
    }
    Ok(())
}

/// Sets owner and mode of `name` in `parent`; of a symbolic link itself, not of its target. The file is opened with `O_PATH`,
/// because opening a device or a FIFO for reading has effects of its own.
pub(super) fn set_attributes_at(
    parent: BorrowedFd<'_>,
    name: &CStr,
    attributes: Attributes,
) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    set_attributes_of(openat(parent, name, flags, Mode::empty())?, attributes)
}
