//! Commit: carrying out the staged operations in order, each with a few system calls.
//!
//! An operation is done once the file that it staged is gone. A replay therefore knows which operations an interrupted
//! run has done. It repeats the one that the interruption stopped, so any call of an operation may come a second time.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::area::{Area, is_gone};
use super::attributes::{set_attributes_at, set_attributes_of};
use super::calls::{self, DIRECTORY, OsResult};
use super::in_place;
use super::recent::Recent;
use super::staged::{Staged, staged_name};
use super::walk::remove_tree;
use super::{Root, c_name};
use crate::change::{Attributes, Op};
use crate::error::{Error, Result};
use crate::fd::names;

/// Carries out `ops`, which are staged in `staged`, in their order. A `replay` skips those that are done already.
///
/// # Errors
/// Those of the root, with the path of the operation that failed. The operations after it are not begun.
pub(super) fn commit(root: &Root, ops: &[Op<'_>], staged: &Staged, replay: bool) -> Result<()> {
    let mut parents = Parents { root, open: Recent::default() };
    for (number, (op, area)) in staged.entries(ops).enumerate() {
        let mut act = || {
            let area = staged.areas.get(area).ok_or(Errno::NOENT)?;
            let name = staged_name(number)?;
            if replay && is_gone(area, &name)? {
                return Ok(());
            }
            OpCommit { root, area, name, number }.carry_out(op, &mut parents)
        };
        act().map_err(|errno| Error::root(op.words().act, op.path(), errno))?;
    }
    Ok(())
}

/// Where one operation is carried out.
struct OpCommit<'s> {
    root: &'s Root,
    /// The area of the mount that the operation changes.
    area: &'s Area,
    /// The name in the area of what the operation has staged.
    name: CString,
    /// The number of what the operation has staged.
    number: usize,
}

impl OpCommit<'_> {
    fn carry_out(&self, op: &Op<'_>, parents: &mut Parents<'_>) -> OsResult<()> {
        match op {
            Op::File { path, .. } => {
                match self.put(&self.name, parents.of(path)?, path, RenameFlags::empty()) {
                    // The file is on another file system than its area: see `in_place`.
                    Err(Errno::XDEV) => in_place::rewrite(self.root, path, &self.area.open(&self.name)?)?,
                    put => return put,
                }
            }
            Op::Symlink { path, .. } => {
                return self.put(&self.name, parents.of(path)?, path, RenameFlags::empty());
            }
            Op::Directory { path, attributes } if path.file_name().is_some() => {
                return self.put_directory(parents.of(path)?, path, *attributes);
            }
            Op::Directory { path, attributes } | Op::Attributes { path, attributes } => {
                set_attributes(self.root, path, *attributes)?;
            }
            Op::Remove { path } => {
                self.remove(path, parents)?;
                parents.forget();
            }
            Op::HardLink { path, target } => self.put_hard_link(path, target, parents)?,
            Op::Rename { from, to } => {
                parents.forget();
                self.rename(from, to)?;
            }
        }
        calls::unlink(self.area.fd(), &self.name, AtFlags::empty())
    }

    /// Renames `name` of the area to `path`, whose parent directory is `parent`.
    fn put(&self, name: &CStr, parent: BorrowedFd<'_>, path: &Path, flags: RenameFlags) -> OsResult<()> {
        let to = c_name(path.file_name().ok_or(Errno::ISDIR)?)?;
        calls::rename(self.area.fd(), name, parent, &to, flags)
    }

    /// Puts the staged directory into its place. A directory that exists already gets the owner and mode instead, and what is
    /// in the staged one.
    fn put_directory(&self, parent: BorrowedFd<'_>, path: &Path, attributes: Attributes) -> OsResult<()> {
        match self.put(&self.name, parent, path, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => {}
            put => return put,
        }
        let existing = c_name(path.file_name().ok_or(Errno::INVAL)?)?;
        let existing = openat(parent, &existing, DIRECTORY, Mode::empty())?;
        set_attributes_of(&existing, attributes)?;
        match calls::unlink(self.area.fd(), &self.name, AtFlags::REMOVEDIR) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            removed => return removed,
        }
        let staged = openat(self.area.fd(), &self.name, DIRECTORY, Mode::empty())?;
        move_all(staged.as_fd(), existing.as_fd())?;
        calls::unlink(self.area.fd(), &self.name, AtFlags::REMOVEDIR)
    }

    /// Links `target` into the area, then renames that link to `path`, because link(2) cannot replace what stands there.
    fn put_hard_link(&self, path: &Path, target: &Path, parents: &mut Parents<'_>) -> OsResult<()> {
        let second = c_name(format!("{}.link", self.number).as_ref())?;
        let (target_parent, target_name) = self.root.open_parent(target)?;
        self.area.discard(&second)?;
        calls::make_hard_link(target_parent.as_fd(), &target_name, self.area.fd(), &second)?;
        self.put(&second, parents.of(path)?, path, RenameFlags::empty())?;
        // rename(2) does nothing if both names already belong to the same file. The link then stays in the area.
        self.area.discard(&second)
    }

    fn rename(&self, from: &Path, to: &Path) -> OsResult<()> {
        let (from_parent, from_name) = self.root.open_parent(from)?;
        let (to_parent, to_name) = self.root.open_parent(to)?;
        let flags = RenameFlags::empty();
        match calls::rename(from_parent.as_fd(), &from_name, to_parent.as_fd(), &to_name, flags) {
            // An interrupted run has renamed it already.
            Err(Errno::NOENT) if statat(&to_parent, &to_name, AtFlags::SYMLINK_NOFOLLOW).is_ok() => Ok(()),
            renamed => renamed,
        }
    }

    /// Moves what stands at `path` into the area, so that a whole tree disappears in one step.
    fn remove(&self, path: &Path, parents: &mut Parents<'_>) -> OsResult<()> {
        let old = c_name(format!("{}.old", self.number).as_ref())?;
        let name = c_name(path.file_name().ok_or(Errno::BUSY)?)?;
        let parent = match parents.of(path) {
            // The parent directory is missing, so nothing stands at the path.
            Err(Errno::NOENT) => return Ok(()),
            parent => parent?,
        };
        match calls::rename(parent, &name, self.area.fd(), &old, RenameFlags::NOREPLACE) {
            Err(Errno::NOENT) => Ok(()),
            // An overlay refuses to rename a directory of its lower layers.
            Err(Errno::XDEV) => remove_tree(self.root, path),
            moved => moved,
        }
    }
}

/// Moves everything in `from` into the directory `to`, where it replaces what is no directory. This happens only where two
/// operations make one directory, or somebody has made it meanwhile.
fn move_all(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> OsResult<()> {
    for name in names(Dir::read_from(from)?)? {
        let name = c_name(&name)?;
        match calls::rename(from, &name, to, &name, RenameFlags::empty()) {
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            moved => {
                moved?;
                continue;
            }
        }
        let inner = openat(from, &name, DIRECTORY, Mode::empty())?;
        let stat = fstat(&inner)?;
        let attributes = Attributes { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o7777 };
        let existing = openat(to, &name, DIRECTORY, Mode::empty())?;
        set_attributes_of(&existing, attributes)?;
        move_all(inner.as_fd(), existing.as_fd())?;
        calls::unlink(from, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

fn set_attributes(root: &Root, path: &Path, attributes: Attributes) -> OsResult<()> {
    let (parent, name) = match root.open_parent(path) {
        // `path` is the root itself, which has no parent.
        Err(Errno::INVAL) => {
            return set_attributes_of(&root.open_at(path, OFlags::RDONLY, Mode::empty())?, attributes);
        }
        parent => parent?,
    };
    set_attributes_at(parent.as_fd(), &name, attributes)
}

/// The parent directories of the latest operations. They stay open because the next operations are likely to need them.
struct Parents<'r> {
    root: &'r Root,
    open: Recent<OwnedFd>,
}

impl Parents<'_> {
    /// Returns the directory that holds `path`.
    fn of(&mut self, path: &Path) -> OsResult<BorrowedFd<'_>> {
        let parent = path.parent().ok_or(Errno::INVAL)?;
        if self.open.get(parent).is_none() {
            let flags = OFlags::PATH | OFlags::DIRECTORY;
            let fd = self.root.open_at(parent, flags, Mode::empty())?;
            self.open.put(parent, fd);
        }
        self.open.get(parent).map(AsFd::as_fd).ok_or(Errno::NOENT)
    }

    /// Closes all directories. Must be called where an operation can move or remove a directory.
    fn forget(&mut self) {
        self.open.clear();
    }
}
