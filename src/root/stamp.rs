//! The stamp in the root: judging it, its place, and taking it away.

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, openat, statat};
use rustix::io::Errno;

use super::Root;
use super::calls::{self, DIRECTORY};
use super::view::kind;
use crate::change::{Attributes, Kind, Op, View as _};
use crate::error::{Error, Reason, Result};
use crate::stamp::{self, Fault, LIMIT, STAMP, Stamp, Verdict};

impl Root {
    /// Judges the stamp as [`stamp::judge`] does. The verdict borrows from `buffer`.
    ///
    /// # Errors
    /// The fault of a stamp that says nothing about this root. The advice names the path that this root was opened at.
    pub fn judge_stamp<'b>(&self, buffer: &'b mut [u8; LIMIT]) -> Result<Verdict<'b>> {
        stamp::judge(&self.fd, buffer).map_err(|fault| self.stamp_error(fault))
    }

    /// Reads the stamp whatever root it was written for, as [`stamp::read`] does.
    ///
    /// # Errors
    /// Those of [`stamp::read`].
    pub fn read_stamp<'b>(
        &self,
        buffer: &'b mut [u8; LIMIT],
    ) -> std::result::Result<Option<Stamp<'b>>, Fault> {
        stamp::read(&self.fd, buffer)
    }

    /// Returns `fault` as an error with the advice for this root.
    pub fn stamp_error(&self, fault: Fault) -> Error {
        let error = Error::new(fault.reason(), fault.to_string());
        if matches!(fault, Fault::Unreadable(..)) {
            return error;
        }
        let root = self.path.display();
        error.advise(format!(
            "If the host is to provision this root, run \"glowplug clean --root {root}\". If this root is provisioned \
             already, as one restored from a backup is, run \"glowplug adopt --root {root}\". Then start again."
        ))
    }

    /// Whether there is nothing to do: the stamp was written for this root, and no interrupted run has left anything.
    /// On all boots but the first this is the whole program. An error here is met again by who provisions the root.
    pub fn is_whole(&self) -> bool {
        let mut buffer = [0; LIMIT];
        matches!(self.judge_stamp(&mut buffer), Ok(Verdict::Ours(_))) && !self.may_have_left()
    }

    /// Makes sure that the stamp can be put into its place, before anything else is done.
    ///
    /// # Errors
    /// [`Reason::Conflict`] where something else than a file stands there.
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

    /// As [`Root::check_stamp_place`]; where the root has no `/etc` and `ops` make none, one is added to them: 0755 and
    /// root's.
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

    /// Takes away the stamp, durably, and what an interrupted run left. Returns what was there.
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
