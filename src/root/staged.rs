//! What staging has made, until the commit has put all of it into place.

use std::ffi::{CStr, CString};
use std::os::fd::AsFd as _;

use rustix::fs::Mode;
use rustix::io::Errno;

use super::area::Area;
use super::calls::{self, DIRECTORY};
use super::{Root, c_name};
use crate::change::Op;
use crate::error::{Error, Result};

/// How many operations share a subdirectory of an area. In a directory with thousands of names, each name takes longer to
/// make, to find and to remove. A directory with this many names still fits one block on most file systems.
pub(super) const SHARD: usize = 64;
/// A file that occupies blocks until the commit needs them, when its directories grow.
pub(super) const ROOM: &CStr = c"room";

/// Returns the name of an entry in its area: `7/63`. Entries are numbered in the order of their operations. Once nothing has
/// this name, the operation is done.
pub(super) fn staged_name(index: usize) -> std::result::Result<CString, Errno> {
    c_name(format!("{}/{}", index / SHARD, index % SHARD).as_ref())
}

/// The areas of a run, and which operation is staged in which of them.
pub(super) struct Staged {
    /// One area for each mount that is changed. The first is the root's own, which also holds the stamp and the journal.
    pub(super) areas: Vec<Area>,
    /// For each operation, the index of its area in `areas`. `None` if what it puts is in a staged directory, and comes into
    /// its place with that directory.
    pub(super) numbers: Vec<Option<usize>>,
}

impl Staged {
    /// Removes everything but a saved config. Returns `error`, which is the failure that made this necessary; a failure to
    /// remove something is only logged.
    pub(super) fn abandon(self, root: &Root, error: Error) -> Error {
        if let Err(second) = self.clear_but(root, &mut |area| area.remove_or_keep_config(root)) {
            log::warn!("{second}");
        }
        error
    }

    /// Returns those of `ops` that have an entry of their own, each with the index of its area. The entries are numbered in this
    /// order.
    pub(super) fn entries<'o, 'a>(&self, ops: &'o [Op<'a>]) -> impl Iterator<Item = (&'o Op<'a>, usize)> {
        ops.iter().zip(&self.numbers).filter_map(|(op, area)| Some((op, (*area)?)))
    }

    /// Makes the file systems of all areas durable with syncfs(2).
    pub(super) fn sync(&self) -> Result<()> {
        for area in &self.areas {
            calls::sync_file_system(area.fd())
                .map_err(|errno| Error::root("sync the file system of", &area.top, errno))?;
        }
        Ok(())
    }

    /// Frees the blocks that were kept for the commit, just before it begins.
    pub(super) fn release_room(&self) -> Result<()> {
        for area in &self.areas {
            area.discard(ROOM)
                .map_err(|errno| Error::root("remove the reserved blocks in", &area.path(), errno))?;
        }
        Ok(())
    }

    /// Removes the areas with everything that is still in them.
    pub(super) fn clear(self, root: &Root) -> Result<()> {
        self.clear_after(root, &mut || Ok(()))
    }

    /// As [`Staged::clear`]. Before the root's own area is removed, `act` is called. If it fails, that area stays, so that the next
    /// start does it again.
    pub(super) fn clear_after(self, root: &Root, act: &mut dyn FnMut() -> Result<()>) -> Result<()> {
        self.clear_but(root, &mut |area| act().and_then(|()| area.remove(root)))
    }

    /// Removes the areas of other mounts, then calls `last` for the root's own. The root's own comes last because its
    /// journal names the others.
    fn clear_but(mut self, root: &Root, last: &mut dyn FnMut(Area) -> Result<()>) -> Result<()> {
        let others = self.areas.split_off(self.areas.len().min(1));
        if let Some(own) = self.areas.first() {
            own.void_journal(!others.is_empty())?;
        }
        let mut tops = Vec::with_capacity(others.len());
        for area in others {
            tops.push(area.top.clone());
            area.remove(root)?;
        }
        for top in tops {
            root.open_at(&top, DIRECTORY, Mode::empty())
                .and_then(|fd| calls::sync_file_system(fd.as_fd()))
                .map_err(|errno| Error::root("sync the file system of", &top, errno))?;
        }
        self.areas.pop().map_or(Ok(()), last)
    }
}
