//! The private directories that everything unfinished lies in, one at the top of each mount that is written to.

use std::ffi::{CStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, Mode, OFlags, StatxAttributes, StatxFlags, fstat, openat, readlinkat, statat, statx,
};
use rustix::io::Errno;

use super::calls::{self, DIRECTORY};
use super::check::immutable;
use super::walk::{Mount, mount_of, mount_of_fd, remove_in};
use super::{Root, c_name};
use crate::change::AREA;
use crate::error::{Error, Reason, Result};
use crate::fd::names;
use crate::stamp::FileIdentity;

/// A link by which the directory is known to be this program's: what only has its name is somebody else's.
const OWNER: &CStr = c"owner";
/// What that link points at.
const OWNER_TARGET: &CStr = c"glowplug";
/// The fetched config, until the root is whole.
pub(super) const CONFIG: &CStr = c"config";
/// The operations that are being carried out.
pub(super) const JOURNAL: &CStr = c"journal";
/// The stamp, until it is put into its place.
pub(super) const STAGED_STAMP: &CStr = c"stamp";

/// A private directory of this program's own.
pub(super) struct Area {
    fd: OwnedFd,
    /// The top of its mount.
    pub(super) top: PathBuf,
    /// That of its owner link: in a copy of the root it is another one.
    pub(super) identity: FileIdentity,
}

/// What stands where an area would.
pub(super) enum Found {
    Nothing,
    /// An empty directory: its making or its removal was interrupted.
    Empty,
    /// Something that is not this program's.
    Foreign,
    Ours(Area),
}

impl Area {
    /// Looks for the area at `top` without changing anything.
    pub(super) fn find(root: &Root, top: &Path) -> Result<Found> {
        let path = top.join(AREA);
        let look = || {
            let fd = match root.open_at(&path, DIRECTORY, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return Ok(Found::Nothing),
                Err(Errno::NOTDIR | Errno::LOOP) => return Ok(Found::Foreign),
                Err(errno) => return Err(errno),
            };
            // Where others may write, its contents prove nothing.
            let is_private = is_private(fd.as_fd())?;
            match readlinkat(&fd, OWNER, Vec::new()) {
                Ok(target) if is_private && target.as_c_str() == OWNER_TARGET => {
                    let identity = FileIdentity::of_name(fd.as_fd(), OWNER)?;
                    Ok(Found::Ours(Self { fd, top: top.to_owned(), identity }))
                }
                Err(Errno::NOENT) if is_private && names(Dir::read_from(&fd)?)?.is_empty() => {
                    Ok(Found::Empty)
                }
                Ok(_) | Err(Errno::NOENT | Errno::INVAL) => Ok(Found::Foreign),
                Err(errno) => Err(errno),
            }
        };
        look().map_err(|errno| Error::root("look up", &path, errno))
    }

    /// Makes the area of the mount that holds `inside`. Of one that an interrupted run left, nothing but a saved
    /// config stays.
    pub(super) fn make(root: &Root, inside: &Path, mount: Mount) -> Result<Self> {
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
            Found::Foreign => return Err(foreign(&path)),
            Found::Ours(area) if area.has(JOURNAL)? => return Err(area.unfinished()),
            Found::Ours(area) => {
                area.clear_staged()?;
                return Ok(area);
            }
            Found::Nothing | Found::Empty => {}
        }
        let (parent, name) = root.open_parent(&path).map_err(failed)?;
        refuse_immutable(parent.as_fd(), &path, &top)?;
        let make = || {
            match calls::make_directory(parent.as_fd(), &name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            }
            let fd = openat(&parent, &name, DIRECTORY, Mode::empty())?;
            // In a directory that everybody may write to, somebody else could have made it since the look.
            if !is_private(fd.as_fd())? {
                return Err(Errno::EXIST);
            }
            calls::make_link(OWNER_TARGET, fd.as_fd(), OWNER)?;
            let identity = FileIdentity::of_name(fd.as_fd(), OWNER)?;
            Ok(Self { fd, top, identity })
        };
        make().map_err(|errno| {
            // Empty, it would still be there for everyone to wonder about.
            let _ = calls::unlink(parent.as_fd(), &name, AtFlags::REMOVEDIR);
            failed(errno)
        })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(super) fn path(&self) -> PathBuf {
        self.top.join(AREA)
    }

    /// Whether something has this name in the area.
    pub(super) fn has(&self, name: &CStr) -> Result<bool> {
        is_gone(self, name).map(|gone| !gone).map_err(|errno| Error::root("look into", &self.path(), errno))
    }

    /// Opens a file of the area to read it.
    pub(super) fn open(&self, name: &CStr) -> std::result::Result<OwnedFd, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        openat(&self.fd, name, flags, Mode::empty())
    }

    /// Takes a file or link out of the area if it is there.
    pub(super) fn discard(&self, name: &CStr) -> std::result::Result<(), Errno> {
        match calls::unlink(self.fd(), name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            unlinked => unlinked,
        }
    }

    /// Makes the journal of a commit that is not done void, and that durable if it tells of `others`: when they or
    /// what is staged go, it must not be replayed.
    pub(super) fn forget_journal(&self, others: bool) -> Result<()> {
        let forget = || {
            if is_gone(self, STAGED_STAMP)? || is_gone(self, JOURNAL)? {
                return Ok(());
            }
            calls::unlink(self.fd(), JOURNAL, AtFlags::empty())?;
            if others { calls::sync(self.fd()) } else { Ok(()) }
        };
        forget().map_err(|errno| Error::root("remove the journal in", &self.path(), errno))
    }

    /// Takes the area away. The journal of what is done goes late, the owner link last: what an interruption leaves is
    /// known for what it is.
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

    /// Takes the area away, or all that is staged in it if it keeps a saved config.
    pub(super) fn remove_or_keep_config(self, root: &Root) -> Result<()> {
        if self.has(CONFIG)? { self.clear_staged() } else { self.remove(root) }
    }

    /// Takes away all but a saved config and the area itself.
    fn clear_staged(&self) -> Result<()> {
        self.clear(&[OWNER, CONFIG]).map_err(|errno| Error::root("clear", &self.path(), errno))
    }

    /// Takes away what is in the area but for the names to `keep`.
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

    /// The area belongs to a run that has to be finished first.
    pub(super) fn unfinished(&self) -> Error {
        let what = "an interrupted run is to be finished by \"glowplug run\"";
        Error::new(Reason::Journal, format!("{} in the root: {what}", self.path().display()))
    }
}

/// Takes away the empty directory that stands where an area would.
pub(super) fn remove_empty(root: &Root, top: &Path) -> Result<()> {
    let path = top.join(AREA);
    let remove = || {
        let (parent, name) = root.open_parent(&path)?;
        calls::unlink(parent.as_fd(), &name, AtFlags::REMOVEDIR)
    };
    remove().map_err(|errno| Error::root("remove", &path, errno))
}

/// Whether nobody else may write to the open directory, now or before.
fn is_private(directory: BorrowedFd<'_>) -> std::result::Result<bool, Errno> {
    let stat = fstat(directory)?;
    Ok(stat.st_uid == rustix::process::geteuid().as_raw() && stat.st_mode & 0o777 == 0o700)
}

pub(super) fn foreign(path: &Path) -> Error {
    let what = "it has the name of glowplug's own directory, but something else is in it";
    Error::new(Reason::Conflict, format!("{} in the root: {what}", path.display()))
}

/// Refuses to change `path` if the directory that holds it, open as `parent`, is immutable: the errno of that would
/// be the same as for a user who may not.
fn refuse_immutable(parent: BorrowedFd<'_>, path: &Path, holder: &Path) -> Result<()> {
    let stat = statx(parent, c"", AtFlags::EMPTY_PATH, StatxFlags::empty())
        .map_err(|errno| Error::root("look up", holder, errno))?;
    if stat.stx_attributes.contains(StatxAttributes::IMMUTABLE) {
        return Err(immutable(path, holder, "immutable"));
    }
    Ok(())
}

/// Whether `name` is not in the area, or no longer.
pub(super) fn is_gone(area: &Area, name: &CStr) -> std::result::Result<bool, Errno> {
    match statat(area.fd(), name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Ok(false),
        Err(Errno::NOENT) => Ok(true),
        Err(errno) => Err(errno),
    }
}
