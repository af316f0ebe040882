//! Walks over directory trees: which mount a path is on, and the removal of what stands there.

use std::ffi::CStr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, StatxFlags, fstat, openat, statx, unlinkat};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Root, c_name};
use crate::error::{Error, Reason, Result};
use crate::fd::names;

/// Directory trees deeper than this are not removed: `PATH_MAX` allows no more by name, and the kernel no more
/// than 4,096 descriptors by default.
const MAX_DEPTH: usize = 2048;

/// A mount: its file system's device number and its own number. rename(2) and link(2) do not leave a mount,
/// not even for another one of the same file system.
pub(super) type Mount = (u64, u64);

fn mount_of_fd(fd: BorrowedFd<'_>) -> std::result::Result<Mount, Errno> {
    let stat = statx(fd, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID)?;
    Ok((fstat(fd)?.st_dev, stat.stx_mnt_id))
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

/// Refuses to take away what another file system is mounted at or below: its files are not this root's to remove.
pub(super) fn refuse_mounts(root: &Root, path: &Path) -> Result<()> {
    let failed = |errno| Error::root("look up", path, errno);
    let (parent, name) = match root.open_parent(path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    let mount = mount_of_fd(parent.as_fd()).map_err(failed)?;
    match walk(parent.as_fd(), &name, mount, 0, false) {
        Err(Errno::XDEV) => Err(Error::new(
            Reason::Conflict,
            format!("remove {} in the root: a file system is mounted there", path.display()),
        )),
        walked => walked.map_err(failed),
    }
}

/// Removes what stands at `path`, never following a link or entering another mount.
pub(super) fn remove_tree(root: &Root, path: &Path) -> Result<()> {
    let failed = |errno| Error::root("remove", path, errno);
    let (parent, name) = match root.open_parent(path) {
        Ok(found) => found,
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        Err(errno) => return Err(failed(errno)),
    };
    let mount = mount_of_fd(parent.as_fd()).map_err(failed)?;
    walk(parent.as_fd(), &name, mount, 0, true).map_err(failed)
}

/// Walks over what stands at `name` in `parent`, and removes it from the leaves up if asked to.
///
/// # Errors
/// `EXDEV` where another mount begins.
fn walk(
    parent: BorrowedFd<'_>,
    name: &CStr,
    mount: Mount,
    depth: usize,
    remove: bool,
) -> std::result::Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = match openat(parent, name, flags, Mode::empty()) {
        Ok(fd) => fd,
        Err(Errno::NOTDIR | Errno::LOOP) if remove => return unlinkat(parent, name, AtFlags::empty()),
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
    if remove { unlinkat(parent, name, AtFlags::REMOVEDIR) } else { Ok(()) }
}

/// A walk holds one descriptor for each level: as many as the system allows are asked for.
pub(super) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With the lower limit the walk ends with an error of its own.
    let _ = setrlimit(Resource::Nofile, limit);
}
