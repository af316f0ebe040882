//! Walks over directory trees: which mount a path is on, and the removal of what stands there.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Statx, StatxAttributes, StatxFlags, openat, statx};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::calls::{self, DIRECTORY};
use super::{Root, c_name};
use crate::error::{Error, Reason, Result};
use crate::fd::names;

/// Directory trees deeper than this are not removed: `PATH_MAX` allows no more by name, and the kernel no more
/// than 4,096 descriptors by default.
const MAX_DEPTH: usize = 2048;

/// A mount: its file system's device number and its own number. rename(2) and link(2) do not leave a mount,
/// not even for another one of the same file system.
pub(super) type Mount = (u32, u32, u64);

pub(super) fn mount_of_fd(fd: BorrowedFd<'_>) -> std::result::Result<Mount, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|stat| mount_in(&stat))
}

/// The mount that `stat` tells, which was asked for it.
pub(super) fn mount_in(stat: &Statx) -> Mount {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_mnt_id)
}

/// The mount of the nearest ancestor of `path` that exists.
pub(super) fn mount_of(root: &Root, path: &Path) -> Result<Mount> {
    for ancestor in path.ancestors() {
        match root.open_at(ancestor, OFlags::PATH, Mode::empty()) {
            Ok(fd) => {
                return mount_of_fd(fd.as_fd()).map_err(|errno| Error::root("look up", ancestor, errno));
            }
            // Not there yet, or a link that the plan replaces by a directory: its parent tells.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(Error::root("look up", ancestor, errno)),
        }
    }
    Err(Error::root("look up", path, Errno::NOENT))
}

/// Refuses to take away what could not be taken away whole: another file system mounted at or below `path`, whose
/// files are not this root's to remove, and what is immutable.
pub(super) fn check_removal(root: &Root, path: &Path) -> Result<()> {
    let failed = |errno| Error::root("look up", path, errno);
    let (parent, name) = match root.open_parent(path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    let mount = mount_of_fd(parent.as_fd()).map_err(failed)?;
    let what = match walk(parent.as_fd(), &name, mount, 0, false) {
        Err(Errno::XDEV) => (Reason::Conflict, "a file system is mounted there"),
        Err(Errno::PERM) => (Reason::ReadOnly, "it is or holds something immutable (see chattr(1))"),
        walked => return walked.map_err(failed),
    };
    Err(Error::new(what.0, format!("remove {} in the root: {}", path.display(), what.1)))
}

/// Removes what stands at `path`, never following a link or entering another mount.
pub(super) fn remove_tree(root: &Root, path: &Path) -> std::result::Result<(), Errno> {
    let (parent, name) = match root.open_parent(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        found => found?,
    };
    remove_in(parent.as_fd(), &name, mount_of_fd(parent.as_fd())?)
}

/// Removes what stands at `name` in `parent`, which is on `mount`.
pub(super) fn remove_in(parent: BorrowedFd<'_>, name: &CStr, mount: Mount) -> std::result::Result<(), Errno> {
    walk(parent, name, mount, 0, true)
}

/// Walks over what stands at `name` in `parent`, and removes it from the leaves up if asked to.
///
/// # Errors
/// `EXDEV` where another mount begins; if nothing is to be removed yet, `EPERM` where something immutable stands.
fn walk(
    parent: BorrowedFd<'_>,
    name: &CStr,
    mount: Mount,
    depth: usize,
    remove: bool,
) -> std::result::Result<(), Errno> {
    if !remove {
        let fixed = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
        match statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
            Ok(stat) if stat.stx_attributes.intersects(fixed) => return Err(Errno::PERM),
            // Whatever it is, a file system on top of it is in the way.
            Ok(stat) if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) => {
                return Err(Errno::XDEV);
            }
            Ok(_) => {}
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
    let fd = match openat(parent, name, DIRECTORY, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOTDIR | Errno::LOOP) if remove => return calls::unlink(parent, name, AtFlags::empty()),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    if mount_of_fd(fd.as_fd())? != mount {
        return Err(Errno::XDEV);
    }
    if depth >= MAX_DEPTH {
        return Err(Errno::LOOP);
    }
    for name in names(Dir::read_from(&fd)?)? {
        walk(fd.as_fd(), &c_name(&name)?, mount, depth.saturating_add(1), remove)?;
    }
    if remove { calls::unlink(parent, name, AtFlags::REMOVEDIR) } else { Ok(()) }
}

/// A walk holds one descriptor for each level: as many as the system allows are asked for.
pub(super) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the lower limit the walk ends with an error of its own.
    let _ = setrlimit(Resource::Nofile, limit);
}
