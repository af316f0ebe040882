//! Commit: the ordered operations, each a few system calls.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Uid, chmodat, chownat, linkat, mkdirat, openat, renameat, statat, syncfs,
    unlinkat,
};
use rustix::io::Errno;

use super::recent::Recent;
use super::stage::{STAGE, Stage, put_away, set_attributes_of, staged_name, trash_name};
use super::view::kind;
use super::{Root, c_name};
use crate::error::{Error, Reason, Result};
use crate::plan::{Attributes, Kind, Op};

type OsResult<T> = std::result::Result<T, Errno>;

impl Root {
    /// Stages all contents, then carries out the operations in order and takes the staging directories away.
    ///
    /// # Errors
    /// Before the first visible change: those of the sources, and a full or read-only file system; the root is
    /// then as it was. Later ones name the operation that failed; what it had not come to stays in the staging
    /// directories until the next run.
    pub fn apply(&self, ops: &[Op<'_>]) -> Result<()> {
        check_paths(ops)?;
        let mut stage = Stage::fill(self, ops)?;
        // What is renamed into place must be on the disk before its new name is.
        if let Err(error) = sync(&stage) {
            return Err(stage.abandon(self, error));
        }
        let mut parents = Parents { root: self, open: Recent::default() };
        for (index, op) in ops.iter().enumerate() {
            self.commit(op, index, &mut stage, &mut parents)?;
        }
        drop(parents);
        let synced = sync(&stage);
        let cleared = stage.clear(self);
        synced.and(cleared)
    }

    fn commit(&self, op: &Op<'_>, index: usize, stage: &mut Stage, parents: &mut Parents<'_>) -> Result<()> {
        match op {
            Op::Remove { path } => {
                let area = stage.area(self, path)?;
                let removed = parents.of(path).and_then(|parent| match path.file_name() {
                    Some(name) => put_away(parent, &c_name(name)?, area.fd(), &trash_name(index)?),
                    None => Err(Errno::BUSY),
                });
                // Nothing above it, nothing there.
                let removed = if removed == Err(Errno::NOENT) { Ok(()) } else { removed };
                parents.forget();
                removed.map_err(|errno| Error::root("remove", path, errno))
            }
            Op::Directory { path, attributes } => self
                .make_directory(path, *attributes, parents)
                .map_err(|errno| Error::root("make directory", path, errno)),
            Op::File { path, .. } => {
                let area = stage.area(self, path)?;
                put_staged(area.fd(), index, path, parents)
                    .map_err(|errno| Error::root("put the file", path, errno))
            }
            Op::Symlink { path, .. } => {
                let area = stage.area(self, path)?;
                put_staged(area.fd(), index, path, parents)
                    .map_err(|errno| Error::root("put the link", path, errno))
            }
            Op::HardLink { path, target } => {
                let area = stage.area(self, path)?;
                self.stage_hard_link(area.fd(), index, target)
                    .and_then(|()| put_staged(area.fd(), index, path, parents))
                    // A rename onto another name of the same file does nothing (rename(2)).
                    .and_then(|()| remove_staged(area.fd(), index))
                    .map_err(|errno| Error::root("make the hard link", path, errno))
            }
            Op::Attributes { path, attributes } => self
                .set_attributes(path, *attributes)
                .map_err(|errno| Error::root("set owner and mode of", path, errno)),
            Op::Rename { from, to } => {
                parents.forget();
                self.rename(from, to).map_err(|errno| Error::root("rename", from, errno))
            }
        }
    }

    fn make_directory(&self, path: &Path, attributes: Attributes, parents: &mut Parents<'_>) -> OsResult<()> {
        let Some(name) = path.file_name() else {
            return set_attributes_of(&self.open_at(path, OFlags::RDONLY, Mode::empty())?, attributes);
        };
        let (name, parent) = (c_name(name)?, parents.of(path)?);
        // Private until it has its owner and mode.
        match mkdirat(parent, &name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        set_attributes_of(&openat(parent, &name, flags, Mode::empty())?, attributes)
    }

    fn stage_hard_link(&self, area: BorrowedFd<'_>, index: usize, target: &Path) -> OsResult<()> {
        let (parent, name) = self.open_parent(target)?;
        match linkat(&parent, &name, area, &staged_name(index)?, AtFlags::empty()) {
            Err(Errno::EXIST) => Ok(()),
            linked => linked,
        }
    }

    fn set_attributes(&self, path: &Path, attributes: Attributes) -> OsResult<()> {
        let (parent, name) = match self.open_parent(path) {
            // The root itself has no parent.
            Err(Errno::INVAL) => {
                return set_attributes_of(&self.open_at(path, OFlags::RDONLY, Mode::empty())?, attributes);
            }
            found => found?,
        };
        let stat = statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW)?;
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match kind(stat.st_mode) {
            Kind::File | Kind::Directory => {
                set_attributes_of(&openat(&parent, &name, flags, Mode::empty())?, attributes)
            }
            // Opening a device, FIFO or socket does something or fails.
            other => {
                let (uid, gid) = (Some(Uid::from_raw(attributes.uid)), Some(Gid::from_raw(attributes.gid)));
                chownat(&parent, &name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
                if other == Kind::Special && stat.st_mode & 0o7777 != attributes.mode {
                    chmodat(&parent, &name, Mode::from_raw_mode(attributes.mode), AtFlags::empty())?;
                }
                Ok(())
            }
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> OsResult<()> {
        let (from_parent, from_name) = self.open_parent(from)?;
        let (to_parent, to_name) = self.open_parent(to)?;
        match renameat(&from_parent, &from_name, &to_parent, &to_name) {
            Err(Errno::NOENT) if statat(&to_parent, &to_name, AtFlags::SYMLINK_NOFOLLOW).is_ok() => Ok(()),
            renamed => renamed,
        }
    }
}

/// Gives what operation number `index` staged its place in the tree.
fn put_staged(area: BorrowedFd<'_>, index: usize, path: &Path, parents: &mut Parents<'_>) -> OsResult<()> {
    let name = c_name(path.file_name().ok_or(Errno::ISDIR)?)?;
    renameat(area, &staged_name(index)?, parents.of(path)?, &name)
}

fn remove_staged(area: BorrowedFd<'_>, index: usize) -> OsResult<()> {
    match unlinkat(area, &staged_name(index)?, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// Refuses paths that no file system takes, and those of the staging directories, before anything is written.
fn check_paths(ops: &[Op<'_>]) -> Result<()> {
    const NAME_MAX: usize = 255;
    const PATH_MAX: usize = 4096;
    for op in ops {
        let path = op.path();
        let what = if path.as_os_str().len() >= PATH_MAX {
            "the path is longer than 4,095 bytes"
        } else if path.iter().any(|name| name.len() > NAME_MAX) {
            "a name in the path is longer than 255 bytes"
        } else if path.iter().any(|name| name == STAGE) {
            "the path is below glowplug's own directory"
        } else {
            continue;
        };
        return Err(Error::new(Reason::ConfigInvalid, format!("{}: {what}", path.display())));
    }
    Ok(())
}

fn sync(stage: &Stage) -> Result<()> {
    for (fd, top) in stage.file_systems() {
        syncfs(fd).map_err(|errno| Error::root("sync the file system of", top, errno))?;
    }
    Ok(())
}

/// The parent directories that were used of late.
struct Parents<'r> {
    root: &'r Root,
    open: Recent<OwnedFd>,
}

impl Parents<'_> {
    fn of(&mut self, path: &Path) -> OsResult<BorrowedFd<'_>> {
        let parent = path.parent().ok_or(Errno::INVAL)?;
        if self.open.get(parent).is_none() {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let fd = self.root.open_at(parent, flags, Mode::empty())?;
            self.open.put(parent, fd);
        }
        self.open.get(parent).map(AsFd::as_fd).ok_or(Errno::NOENT)
    }

    /// Directories may have moved or gone.
    fn forget(&mut self) {
        self.open.clear();
    }
}
