//! The stamp of the root: judging it, checking its place, and removing it.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, openat, statat};
use rustix::io::Errno;

use super::Root;
use super::calls::{self, DIRECTORY};
use super::view::kind;
use crate::change::{Attributes, Kind, Op, View as _};
use crate::error::{Error, Reason, Result};
use crate::stamp::{self, LIMIT, STAMP, Stamp, StampFault, Verdict};

impl Root {
    /// Judges the stamp as [`stamp::judge`] does. The verdict borrows from `buffer`.
    ///
    /// # Errors
    /// A stamp that says nothing about this root. The advice names the path that this root was opened at.
    pub fn judge_stamp<'b>(&self, buffer: &'b mut [u8; LIMIT]) -> Result<Verdict<'b>> {
        stamp::judge(&self.fd, buffer).map_err(|fault| self.stamp_error(fault))
    }

    /// Reads the stamp as [`stamp::read`] does, also one that was written for another root.
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
            "If the host is to provision this root, run \"glowplug clean --root {root}\". If this root is provisioned \
             already, as one restored from a backup is, run \"glowplug adopt --root {root}\". Then start again."
        ))
    }

    /// Returns whether there is nothing to do: the stamp was written for this root, and no interrupted run has left anything.
    /// On all boots but the first this is all that the program does. An error counts as "no", since provisioning meets and
    /// reports it.
    pub fn is_provisioned(&self) -> bool {
        let mut buffer = [0; LIMIT];
        matches!(self.judge_stamp(&mut buffer), Ok(Verdict::Ours(_))) && !self.may_have_leftovers()
    }

    /// Checks that the stamp can be put into its place. To be called before anything else is changed.
    ///
    /// # Errors
    /// [`Reason::Conflict`] if something other than a file stands there, and those of the root.
    pub fn check_stamp_place(&self) -> Result<()> {
        let path = Path::new(STAMP);
        let (parent, name) = self
            .open_parent(path)
            .map_err(|errno| Error::root("find the place of the stamp", path, errno))?;
        match statat(&parent, &name, AtFlags::SYMLINK_NOFOLLOW).map(|stat| kind(stat.st_mode)) {
            Ok(Kind::File) | Err(Errno::NOENT) => Ok(()),
            Ok(kind) => {
                let what = kind.word();
                Err(Error::new(Reason::Conflict, format!("{STAMP} in the root: {what} is no stamp")))
            }
            Err(errno) => Err(Error::root("look up the stamp", path, errno)),
        }
    }

    /// Checks the place of the stamp as [`Root::check_stamp_place`] does. If the root has no `/etc`, and `ops` do not make it,
    /// an operation is added to them that does: root's, with the mode 0755.
    ///
    /// # Errors
    /// Those of [`Root::check_stamp_place`]; [`Reason::Conflict`] if `ops` put something other than a directory there.
    pub fn make_stamp_place(&self, ops: &mut Vec<Op<'_>>) -> Result<()> {
        let directory = Path::new(STAMP).parent().unwrap_or(Path::new("/"));
        if self.stat(directory)?.is_some() {
            return self.check_stamp_place();
        }
        match ops.iter().find(|op| op.path() == directory) {
            Some(Op::Directory { .. }) => {}
            Some(_) => {
                let what = format!("{} in the root has to be a directory, for {STAMP}", directory.display());
                return Err(Error::new(Reason::Conflict, what));
            }
            None => {
                ops.push(Op::Directory { path: directory.to_owned(), attributes: Attributes::root(0o755) });
            }
        }
        Ok(())
    }

    /// Removes the stamp, durably, and what an interrupted run left. Returns the paths that were removed.
    ///
    /// # Errors
    /// Those of the root.
    pub fn clean(&self) -> Result<Vec<PathBuf>> {
        let path = Path::new(STAMP);
        let remove = || {
            let (parent, name) = self.open_parent(path)?;
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
