//! Mounts and directory trees: which mount a path is on, and the removal of a whole tree.

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

/// The deepest directory tree that is removed, in levels. `PATH_MAX` allows no deeper path, and by default a process may
/// raise its limit to 4,096 descriptors.
const MAX_DEPTH: usize = 2048;

/// A mount: the device number of its file system (major and minor), and the mount's own id. rename(2) and link(2) do not
/// leave a mount, not even for another mount of the same file system.
pub(super) type MountId = (u32, u32, u64);

/// Returns the mount that an open file is on.
pub(super) fn mount_of_fd(fd: BorrowedFd<'_>) -> std::result::Result<MountId, Errno> {
    statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map(|stat| mount_in(&stat))
}

/// Returns the mount in `stat`, which was asked for with `STATX_MNT_ID`.
pub(super) fn mount_in(stat: &Statx) -> MountId {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_mnt_id)
}

/// Returns the mount of `path`, or of its nearest ancestor that exists.
pub(super) fn mount_of(root: &Root, path: &Path) -> Result<MountId> {
    for ancestor in path.ancestors() {
        match root.open_at(ancestor, OFlags::PATH, Mode::empty()) {
            Ok(fd) => {
                return mount_of_fd(fd.as_fd()).map_err(|errno| Error::root("look up", ancestor, errno));
            }
            // The plan will make a directory here, or replace a link by one. The directory will be on its parent's mount.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
            Err(errno) => return Err(Error::root("look up", ancestor, errno)),
        }
    }
    Err(Error::root("look up", path, Errno::NOENT))
}

/// Refuses a removal of `path` that would not be complete. Either another file system is mounted at or below `path`, whose
/// files do not belong to this root, or something there is immutable or append-only.
pub(super) fn check_removal(root: &Root, path: &Path) -> Result<()> {
    let failed = |errno| Error::root("look up", path, errno);
    let (parent, name) = match root.open_parent(path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    let mount = mount_of_fd(parent.as_fd()).map_err(failed)?;
    let (reason, what) = match walk(parent.as_fd(), &name, mount, 0, false) {
        Err(Errno::XDEV) => (Reason::Conflict, "a file system is mounted there"),
        Err(Errno::PERM) => (Reason::ReadOnly, "it is or holds something immutable (see chattr(1))"),
        walked => return walked.map_err(failed),
    };
    Err(Error::new(reason, format!("remove {} in the root: {what}", path.display())))
}

/// Removes what stands at `path`, without following a link or entering another mount. A missing path is no error.
pub(super) fn remove_tree(root: &Root, path: &Path) -> std::result::Result<(), Errno> {
    let (parent, name) = match root.open_parent(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        found => found?,
    };
    remove_in(parent.as_fd(), &name, mount_of_fd(parent.as_fd())?)
}

/// Removes what stands at `name` in `parent`, which is on `mount`, as [`remove_tree`] does.
pub(super) fn remove_in(
    parent: BorrowedFd<'_>,
    name: &CStr,
    mount: MountId,
) -> std::result::Result<(), Errno> {
    walk(parent, name, mount, 0, true)
}

/// Walks over the tree at `name` in `parent`. With `remove` everything is removed from the leaves up, otherwise the tree is
/// only checked.
///
/// # Errors
/// `EXDEV` where another mount begins, `ELOOP` below [`MAX_DEPTH`]. When only checking, `EPERM` for something immutable or
/// append-only.
fn walk(
    parent: BorrowedFd<'_>,
    name: &CStr,
    mount: MountId,
    depth: usize,
    remove: bool,
) -> std::result::Result<(), Errno> {
    if !remove {
        let fixed = StatxAttributes::IMMUTABLE | StatxAttributes::APPEND;
        match statx(parent, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty()) {
            Ok(stat) if stat.stx_attributes.intersects(fixed) => return Err(Errno::PERM),
            // A file can be a mount point as well, which the test for directories below does not see.
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

/// Raises this process's limit of descriptors to what the system allows, because a walk holds one descriptor a level.
pub(super) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // If this fails, a walk that is too deep for the old limit fails with EMFILE.
    let _ = setrlimit(Resource::Nofile, limit);
}
