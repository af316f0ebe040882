//! Areas: the private directories `.glowplug` that hold everything unfinished.
//!
//! rename(2) does not leave a mount, so each mount that is written to has an area, at its top. The area at the top of the
//! root itself is the root's own. Only that one also holds the saved config, the journal and the staged stamp. All areas
//! hold the staged files, and a link `owner`, by which this program recognises an area as its own.

use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, StatxAttributes, StatxFlags, fstat, openat, readlinkat, statat, statx,
};
use rustix::io::Errno;

use super::calls::{self, DIRECTORY};
use super::check::immutable;
use super::in_place;
use super::walk::{MountId, mount_of, mount_of_fd, remove_in};
use super::{Root, c_name};
use crate::change::AREA;
use crate::error::{Error, Reason, Result};
use crate::fd::names;
use crate::stamp::FileIdentity;

/// The owner link. A directory without it is not this program's, even if it has the name of an area.
const OWNER: &CStr = c"owner";
/// The target of the owner link.
const OWNER_TARGET: &CStr = c"glowplug";
/// The saved config. It stays until the root is provisioned.
pub(super) const CONFIG: &CStr = c"config";
/// The record of work on disks. It stays until the root is provisioned.
pub(super) const DISKS: &CStr = c"disks";
/// The journal: the operations of a commit that has begun.
pub(super) const JOURNAL: &CStr = c"journal";
/// The stamp, until the end of the commit renames it into its place.
pub(super) const STAGED_STAMP: &CStr = c"stamp";

/// A private directory of this program.
pub(super) struct Area {
    fd: OwnedFd,
    /// The top of its mount, as a path of the root.
    pub(super) top: PathBuf,
    /// The identity of its owner link. In a copy of the root the link has another one.
    pub(super) identity: FileIdentity,
}

/// What stands at the path of an area.
pub(super) enum AreaPath {
    /// Nothing.
    Missing,
    /// An empty private directory: a run was interrupted while it made or removed the area.
    Empty,
    /// Something that does not belong to this program.
    Foreign,
    /// An area of this program.
    Ours(Area),
}

impl Area {
    /// Looks for the area of the mount at `top`. Nothing is changed.
    pub(super) fn find(root: &Root, top: &Path) -> Result<AreaPath> {
        let path = top.join(AREA);
        let look = || {
            let fd = match root.open_at(&path, DIRECTORY, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return Ok(AreaPath::Missing),
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(AreaPath::Foreign),
                Err(errno) => return Err(errno),
            };
            // If others may write to the directory, they could have made the owner link.
            let is_private = is_private(fd.as_fd())?;
            match readlinkat(&fd, OWNER, Vec::new()) {
                Ok(target) if is_private && target.as_c_str() == OWNER_TARGET => {
                    let identity = FileIdentity::of_name(fd.as_fd(), OWNER)?;
                    Ok(AreaPath::Ours(Self { fd, top: top.to_owned(), identity }))
                }
                Err(Errno::NOENT) if is_private && names(Dir::read_from(&fd)?)?.is_empty() => {
                    Ok(AreaPath::Empty)
                }
                Ok(_) | Err(Errno::NOENT | Errno::INVAL) => Ok(AreaPath::Foreign),
                Err(errno) => Err(errno),
            }
        };
        look().map_err(|errno| Error::root("look up", &path, errno))
    }

    /// Makes the area of `mount`, which holds the path `inside`. From an area that an interrupted run left, everything but a
    /// saved config is removed.
    ///
    /// # Errors
    /// [`Reason::Conflict`] for a foreign `.glowplug`, [`Reason::Journal`] if a commit has to be finished first, and those
    /// of the root.
    pub(super) fn make(root: &Root, inside: &Path, mount: MountId) -> Result<Self> {
        let mut top = PathBuf::from("/");
        for ancestor in inside.ancestors() {
            if mount_of(root, ancestor)? != mount {
                break;
            }
            ancestor.clone_into(&mut top);
        }
        let path = top.join(AREA);
        let failed = |errno| Error::root("make the directory", &path, errno);
        match Self::find(root, &top)? {
            AreaPath::Foreign => return Err(foreign(&path)),
            AreaPath::Ours(area) if area.has(JOURNAL)? => return Err(area.unfinished()),
            AreaPath::Ours(area) => {
                area.clear_staged()?;
                return Ok(area);
            }
            AreaPath::Missing | AreaPath::Empty => {}
        }
        let (parent, name) = root.open_parent(&path).map_err(failed)?;
        if in_place::is_needed(&parent).map_err(failed)? {
            return Err(in_place::refused(inside));
        }
        refuse_immutable(parent.as_fd(), &path, &top)?;
        let make = || {
            match calls::make_directory(parent.as_fd(), &name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            let fd = openat(&parent, &name, DIRECTORY, Mode::empty())?;
            // If everybody may write to the parent directory, somebody else could have made this directory meanwhile.
            if !is_private(fd.as_fd())? {
                return Err(Errno::EXIST);
            }
            calls::make_link(OWNER_TARGET, fd.as_fd(), OWNER)?;
            let identity = FileIdentity::of_name(fd.as_fd(), OWNER)?;
            Ok(Self { fd, top, identity })
        };
        make().map_err(|errno| {
            // Otherwise an empty directory would stay behind. If something is in the directory, this call fails, as it should.
            let _ = calls::unlink(parent.as_fd(), &name, AtFlags::REMOVEDIR);
            failed(errno)
        })
    }

    /// Returns the open directory.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns the area's path in the root, for messages.
    pub(super) fn path(&self) -> PathBuf {
        self.top.join(AREA)
    }

    /// Returns whether something has the name `name` in the area.
    pub(super) fn has(&self, name: &CStr) -> Result<bool> {
        is_gone(self, name).map(|gone| !gone).map_err(|errno| Error::root("look into", &self.path(), errno))
    }

    /// Opens a file of the area for reading.
    pub(super) fn open(&self, name: &CStr) -> std::result::Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.fd, name, flags, Mode::empty())
    }

    /// Removes a file or link from the area. A name that is missing is no error.
    pub(super) fn discard(&self, name: &CStr) -> std::result::Result<(), Errno> {
        match calls::unlink(self.fd(), name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            unlinked => unlinked,
        }
    }

    /// Removes the journal of a commit that has not been finished, because it must not be replayed once staged files or
    /// other areas are gone. With `others`, the journal names areas on other mounts. Their file systems reach the disk in any
    /// order, so the removal is made durable first.
    pub(super) fn void_journal(&self, others: bool) -> Result<()> {
        let forget = || {
            if is_gone(self, STAGED_STAMP)? || is_gone(self, JOURNAL)? {
                return Ok(());
            }
            calls::unlink(self.fd(), JOURNAL, AtFlags::empty())?;
            if others { calls::sync(self.fd()) } else { Ok(()) }
        };
        forget().map_err(|errno| Error::root("remove the journal in", &self.path(), errno))
    }

    /// Removes the area: first the staged files, then the journal of a finished commit, and the owner link last. So the next
    /// start recognises whatever an interruption leaves.
    pub(super) fn remove(self, root: &Root) -> Result<()> {
        let path = self.path();
        let remove = || {
            self.clear(&[OWNER, JOURNAL])?;
            self.discard(JOURNAL)?;
            let (parent, name) = root.open_parent(&path)?;
            calls::unlink(self.fd(), OWNER, AtFlags::empty())?;
            calls::unlink(parent.as_fd(), &name, AtFlags::REMOVEDIR)
        };
        remove().map_err(|errno| Error::root("remove", &path, errno))
    }

    /// Removes the area. If it holds a saved config, only what is staged is removed.
    pub(super) fn remove_or_keep_config(self, root: &Root) -> Result<()> {
        if self.has(CONFIG)? { self.clear_staged() } else { self.remove(root) }
    }

    /// Removes everything in the area but the owner link and the record of work on disks.
    pub(super) fn keep_disk_record(&self) -> Result<()> {
        self.clear(&[OWNER, DISKS]).map_err(|errno| Error::root("clear", &self.path(), errno))
    }

    /// Removes everything in the area but the owner link, a saved config and the record of work on disks.
    fn clear_staged(&self) -> Result<()> {
        self.clear(&[OWNER, CONFIG, DISKS]).map_err(|errno| Error::root("clear", &self.path(), errno))
    }

    /// Removes everything in the area but the names in `keep`.
    fn clear(&self, keep: &[&CStr]) -> std::result::Result<(), Errno> {
        let mount = mount_of_fd(self.fd())?;
        let all: Vec<OsString> = names(Dir::read_from(&self.fd)?)?;
        for name in all {
            let name = c_name(&name)?;
            if !keep.contains(&name.as_c_str()) {
                remove_in(self.fd(), &name, mount)?;
            }
        }
        Ok(())
    }

    /// Returns the error for an area of a run that has to be finished first.
    pub(super) fn unfinished(&self) -> Error {
        let what = "an interrupted run must first be completed by \"glowplug run\"";
        Error::new(Reason::Journal, format!("{} in the root: {what}", self.path().display()))
    }
}

/// Removes the empty directory at the path of the area of `top`: see [`AreaPath::Empty`].
pub(super) fn remove_empty(root: &Root, top: &Path) -> Result<()> {
    let path = top.join(AREA);
    let remove = || {
        let (parent, name) = root.open_parent(&path)?;
        calls::unlink(parent.as_fd(), &name, AtFlags::REMOVEDIR)
    };
    remove().map_err(|errno| Error::root("remove", &path, errno))
}

/// Returns whether only this process's user may enter the open directory: the user owns it, and its mode is 0700.
fn is_private(directory: BorrowedFd<'_>) -> std::result::Result<bool, Errno> {
    let stat = fstat(directory)?;
    Ok(stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o777 == 0o700)
}

/// Returns the error for something at `path` that has the name of an area but is not one.
pub(super) fn foreign(path: &Path) -> Error {
    let what = "it has the name of glowplug's private directory, but glowplug did not make it";
    Error::new(Reason::Conflict, format!("{} in the root: {what}", path.display()))
}

/// Refuses to change `path` if the directory `holder` that holds it, open as `parent`, is immutable. A later call would fail
/// with `EPERM`, which does not tell an immutable directory from a lack of permission.
fn refuse_immutable(parent: BorrowedFd<'_>, path: &Path, holder: &Path) -> Result<()> {
    let stat = statx(parent, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())
        .map_err(|errno| Error::root("look up", holder, errno))?;
    if stat.stx_attributes.contains(StatxAttributes::IMMUTABLE) {
        return Err(immutable(path, holder, "immutable"));
    }
    Ok(())
}

/// Returns whether nothing has the name `name` in the area.
pub(super) fn is_gone(area: &Area, name: &CStr) -> std::result::Result<bool, Errno> {
    match statat(area.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(false),
        Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(errno),
    }
}
