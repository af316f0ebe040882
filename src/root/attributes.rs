//! Owner and mode of what is open. Nothing here goes by a name, which somebody could give to another file meanwhile.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, fstat, openat};
use rustix::io::Errno;

use super::calls;
use super::view::kind;
use crate::change::{Attributes, Kind};

/// Sets owner and mode of an open file or directory where they differ: the two calls cost more than the look. A
/// symbolic link has no mode. `fd` may be opened with `O_PATH`.
pub(super) fn set_attributes_of(fd: impl AsFd, attributes: Attributes) -> Result<(), Errno> {
    let fd = fd.as_fd();
    let stat = fstat(fd)?;
    let Attributes { uid, gid, mode } = attributes;
    let is_owned = (stat.st_uid, stat.st_gid) == (uid, gid);
    if !is_owned {
        calls::set_owner(fd, uid, gid)?;
    }
    // chown(2) clears setuid and setgid of files, so that the mode comes second.
    if kind(stat.st_mode) != Kind::Symlink && (!is_owned || stat.st_mode & 0o7777 != mode) {
        calls::set_mode(fd, mode)?;
    }
    Ok(())
}

/// The same of `name` in `parent`, a symbolic link itself. It is not opened to be read: that would do something to a
/// device or FIFO.
pub(super) fn set_attributes_at(
    parent: BorrowedFd<'_>,
    name: &CStr,
    attributes: Attributes,
) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    set_attributes_of(openat(parent, name, flags, Mode::empty())?, attributes)
}
