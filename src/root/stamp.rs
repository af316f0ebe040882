//! The stamp of the root: judging it, checking its place, and removing it.

use std::ffi::CString;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, openat, openat2, statat};
use rustix::io::Errno;

use super::calls::{self, DIRECTORY};
use super::view::kind;
use super::{Root, c_name, relative};
use crate::change::{Attributes, FileKind, Op, StampPlace, View as _};
use crate::error::{Error, Reason, Result};
use crate::stamp::{self, LIMIT, STAMP, Stamp, StampFault, StampVerdict};

impl Root {
    /// Judges the stamp as [`stamp::judge`] does. The verdict borrows from `buffer`.
    ///
    /// # Errors
    /// Those of a stamp that says nothing about this root. The advice names the path that this root was opened at.
    pub fn judge_stamp<'b>(&self, buffer: &'b mut [u8; LIMIT]) -> Result<StampVerdict<'b>> {
        stamp::judge(&self.fd, buffer).map_err(|fault| self.stamp_error(fault))
    }

    /// Reads the stamp as [`stamp::read`] does, even if it was written for another root.
    ///
    /// # Errors
    /// Those of [`stamp::read`].
    pub fn read_stamp<'b>(
        &self,
        buffer: &'b mut [u8; LIMIT],
    ) -> std::result::Result<Option<Stamp<'b>>, StampFault> {
        stamp::read(&self.fd, buffer)
    }

    /// Returns `fault` as an error with the advice for this root.
    pub fn stamp_error(&self, fault: StampFault) -> Error {
        let error = Error::new(fault.reason(), fault.to_string());
        if matches!(fault, StampFault::Unreadable(..)) {
            return error;
        }
        let root = self.path.display();
        error.advise(format!(
            "If this root is to be provisioned anew, run \"glowplug clean --root {root}\". If this root is provisioned \
             already, as one restored from a backup is, run \"glowplug adopt --root {root}\". Then start again."
        ))
    }

    /// Returns whether there is nothing to do: the stamp was written for this root, and no interrupted run has left anything.
    /// On all boots but the first this is all that the program does. An error counts as "no", since provisioning meets and
    /// reports it.
    pub fn is_provisioned(&self) -> bool {
        let mut buffer = [0; LIMIT];
        matches!(self.judge_stamp(&mut buffer), Ok(StampVerdict::Ours(_))) && !self.may_have_leftovers()
    }

    /// Checks that the stamp can be put into its place. Call this before anything else is changed.
    ///
    /// # Errors
    /// [`Reason::Conflict`] if something other than a file stands there, and those of the root.
    pub fn check_stamp_place(&self) -> Result<()> {
        let path = Path::new(STAMP);
        let (parent, name) = self
            .open_stamp_parent()
            .map_err(|errno| Error::root("find the place of the stamp", path, errno))?;
        match statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| kind(stat.st_mode)) {
            Ok(FileKind::File) | Err(Errno::NOENT) => Ok(()),
            Ok(kind) => {
                let what = kind.word();
                Err(Error::new(
                    Reason::Conflict,
                    format!("{STAMP} in the root: {what} stands in the place of the stamp"),
                ))
            }
            Err(errno) => Err(Error::root("look up the stamp", path, errno)),
        }
    }

    /// Checks the place of the stamp as [`Root::check_stamp_place`] does. If the root has no `/etc`, or `/etc` is a link to
    /// nothing, the directory must be made. Adds the operations for that to `ops` unless `ops` have them already. The
    /// directory belongs to root and has the mode 0755.
    ///
    /// # Errors
    /// Those of [`Root::check_stamp_place`]; [`Reason::Conflict`] if `ops` put something other than a directory there.
    pub fn make_stamp_place(&self, ops: &mut Vec<Op<'_>>) -> Result<()> {
        let place = StampPlace::find(self)?;
        let directory = place.path.parent().unwrap_or(Path::new("/"));
        if self.stat(directory)?.is_some() {
            return self.check_stamp_place();
        }
        let mut missing = Vec::new();
        for path in directory.ancestors() {
            if self.stat(path)?.is_some() {
                break;
            }
            missing.push(path);
        }
        for path in missing.into_iter().rev() {
            match ops.iter().find(|op| op.path() == path) {
                Some(Op::Directory { .. }) => {}
                Some(_) => {
                    let what = format!(
                        "{} in the root must be a directory, because {STAMP} is in it",
                        path.display()
                    );
                    return Err(Error::new(Reason::Conflict, what));
                }
                None => {
                    ops.push(Op::Directory { path: path.to_owned(), attributes: Attributes::root(0o755) });
                }
            }
        }
        Ok(())
    }

    /// Opens the directory of the stamp with `O_PATH`, and returns it with the stamp's name. The kernel follows links inside
    /// the root, as it does in [`stamp::judge`], and no operation of a plan changes one of them. So the directory is always
    /// the one where the stamp will be looked for.
    ///
    /// # Errors
    /// errno of openat2(2).
    pub(super) fn open_stamp_parent(&self) -> std::result::Result<(OwnedFd, CString), Errno> {
        let path = Path::new(STAMP);
        let name = c_name(path.file_name().ok_or(Errno::INVAL)?)?;
        let parent = relative(path.parent().unwrap_or(Path::new("/")))?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let confined = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        Ok((openat2(&self.fd, parent, flags, Mode::empty(), confined)?, name))
    }

    /// Removes the stamp, durably, and what an interrupted run left. Returns the paths that were removed.
    ///
    /// # Errors
    /// Those of the root.
    pub fn clean(&self) -> Result<Vec<PathBuf>> {
        let path = Path::new(STAMP);
        let remove = || {
            let (parent, name) = self.open_stamp_parent()?;
            calls::unlink(parent.as_fd(), &name, AtFlags::empty())?;
            calls::sync(openat(&parent, c".", DIRECTORY, Mode::empty())?.as_fd())
        };
        let mut removed = match remove() {
            Ok(()) => vec![path.to_owned()],
            Err(Errno::NOENT) => Vec::new(),
            Err(errno) => return Err(Error::root("remove", path, errno)),
        };
        removed.append(&mut self.discard()?);
        Ok(removed)
    }
}
