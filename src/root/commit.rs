//! Commit: the ordered operations, each a few system calls. An operation is done once what it has staged is gone, so
//! that those that an interrupted run did are known, and each can be begun again where it was not.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, openat, statat};
use rustix::io::Errno;

use super::area::{Area, is_gone};
use super::attributes::{set_attributes_at, set_attributes_of};
use super::calls::{self, DIRECTORY};
use super::recent::Recent;
use super::stage::{Staged, staged_name};
use super::walk::remove_tree;
use super::{Root, c_name};
use crate::change::{Attributes, Op};
use crate::error::{Error, Result};

type OsResult<T> = std::result::Result<T, Errno>;

/// Carries out `ops` in their order. On a `replay` those that are done already are passed over.
pub(super) fn commit(root: &Root, ops: &[Op<'_>], staged: &Staged, replay: bool) -> Result<()> {
    let mut parents = Parents { root, open: Recent::default() };
    for (index, op) in ops.iter().enumerate() {
        let mut act = || {
            let (area, name) = (staged.area(index)?, staged_name(index)?);
            if replay && is_gone(area, &name)? {
                return Ok(());
            }
            carry_out(root, op, area, &name, index, &mut parents)
        };
        act().map_err(|errno| Error::root(words(op), op.path(), errno))?;
    }
    Ok(())
}

/// What an operation does, for its error.
fn words(op: &Op<'_>) -> &'static str {
    match op {
        Op::Remove { .. } => "remove",
        Op::Directory { .. } => "make directory",
        Op::File { .. } => "put the file",
        Op::Symlink { .. } => "put the link",
        Op::HardLink { .. } => "make the hard link",
        Op::Attributes { .. } => "set owner and mode of",
        Op::Rename { .. } => "rename something to",
    }
}

/// Does `op`, which has staged `name` in `area`. Whatever of it has been done before may be done again.
fn carry_out(
    root: &Root,
    op: &Op<'_>,
    area: &Area,
    name: &CStr,
    index: usize,
    parents: &mut Parents<'_>,
) -> OsResult<()> {
    match op {
        Op::File { path, .. } | Op::Symlink { path, .. } => {
            return put(area, name, parents.of(path)?, path, RenameFlags::empty());
        }
        Op::Directory { path, attributes } if path.file_name().is_some() => {
            return put_directory(area, name, parents.of(path)?, path, *attributes);
        }
        Op::Directory { path, attributes } | Op::Attributes { path, attributes } => {
            set_attributes(root, path, *attributes)?;
        }
        Op::Remove { path } => {
            remove(root, path, area, index, parents)?;
            parents.forget();
        }
        Op::HardLink { path, target } => {
            let second = c_name(format!("{index}.link").as_ref())?;
            let (parent, target_name) = root.open_parent(target)?;
            area.discard(&second)?;
            calls::make_hard_link(parent.as_fd(), &target_name, area.fd(), &second)?;
            put(area, &second, parents.of(path)?, path, RenameFlags::empty())?;
            // A rename onto another name of the same file does nothing (rename(2)).
            area.discard(&second)?;
        }
        Op::Rename { from, to } => {
            parents.forget();
            let (from_parent, from_name) = root.open_parent(from)?;
            let (to_parent, to_name) = root.open_parent(to)?;
            let flags = RenameFlags::empty();
            match calls::rename(from_parent.as_fd(), &from_name, to_parent.as_fd(), &to_name, flags) {
                Err(Errno::NOENT) if statat(&to_parent, &to_name, AtFlags::SYMLINK_NOFOLLOW).is_ok() => {}
                renamed => renamed?,
            }
        }
    }
    calls::unlink(area.fd(), name, AtFlags::empty())
}

/// Gives `name` of `area` its place in the tree.
fn put(area: &Area, name: &CStr, parent: BorrowedFd<'_>, path: &Path, flags: RenameFlags) -> OsResult<()> {
    let to = c_name(path.file_name().ok_or(Errno::ISDIR)?)?;
    calls::rename(area.fd(), name, parent, &to, flags)
}

/// Puts the staged directory into its place, or gives the one that stands there its owner and mode.
fn put_directory(
    area: &Area,
    name: &CStr,
    parent: BorrowedFd<'_>,
    path: &Path,
    attributes: Attributes,
) -> OsResult<()> {
    match put(area, name, parent, path, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => {}
        put => return put,
    }
    let there = c_name(path.file_name().ok_or(Errno::INVAL)?)?;
    set_attributes_of(&openat(parent, &there, DIRECTORY, Mode::empty())?, attributes)?;
    calls::unlink(area.fd(), name, AtFlags::REMOVEDIR)
}

/// Moves what stands at `path` into the area: a tree goes in one step.
fn remove(root: &Root, path: &Path, area: &Area, index: usize, parents: &mut Parents<'_>) -> OsResult<()> {
    let old = c_name(format!("{index}.old").as_ref())?;
    let name = c_name(path.file_name().ok_or(Errno::BUSY)?)?;
    let parent = match parents.of(path) {
        // Nothing above it, nothing there.
        Err(Errno::NOENT) => return Ok(()),
        parent => parent?,
    };
    match calls::rename(parent, &name, area.fd(), &old, RenameFlags::NOREPLACE) {
        Err(Errno::NOENT) => Ok(()),
        // An overlay does not move what its lower layers have.
        Err(Errno::XDEV) => remove_tree(root, path),
        moved => moved,
    }
}

fn set_attributes(root: &Root, path: &Path, attributes: Attributes) -> OsResult<()> {
    let (parent, name) = match root.open_parent(path) {
        // The root itself has no parent.
        Err(Errno::INVAL) => {
            return set_attributes_of(&root.open_at(path, OFlags::RDONLY, Mode::empty())?, attributes);
        }
        found => found?,
    };
    set_attributes_at(parent.as_fd(), &name, attributes)
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
