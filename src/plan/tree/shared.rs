//! Files with several names of which some only get a new owner or mode.
//!
//! All names share one inode, and names outside of the plan may even lie outside of the root, as in trees that `cp
//! -al` made. If a file has a name outside of the plan, the planned names therefore get a new inode, as `append` and
//! account files always do. The planned names remain names of one file.

use std::path::{Path, PathBuf};

use super::Tree;
use crate::change::{Attributes, FileKind, Op, Piece, Stat};
use crate::error::{Error, Reason, Result};
use crate::sort::sort;

/// A planned name of a file that has several names.
#[derive(Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SharedName {
    identity: (u64, u64),
    path: PathBuf,
    /// The number of the operation that sets owner and mode; `None` for a hard link.
    op: Option<usize>,
    /// Where the view has the file.
    at: PathBuf,
    links: u64,
    is_file: bool,
    is_link: bool,
}

impl Tree<'_, '_> {
    /// Notes that `path` gets a new owner or mode from the operation `op`, or becomes a hard link, if its file has
    /// several names. The view has the file at `at`.
    pub(super) fn note_name(&mut self, path: &Path, at: &Path, op: Option<usize>) -> Result<()> {
        let Some(Stat { kind, identity, links, .. }) = self.view.stat(at)? else { return Ok(()) };
        if kind != FileKind::Directory && links > 1 {
            self.names.push(SharedName {
                identity,
                path: path.to_owned(),
                op,
                at: at.to_owned(),
                links,
                is_file: kind == FileKind::File,
                is_link: kind == FileKind::Symlink,
            });
        }
        Ok(())
    }

    /// Plans a new inode for each file that has a planned name and a name outside of the plan.
    ///
    /// # Errors
    /// [`Reason::Conflict`] for a device, FIFO or socket, because it cannot be copied.
    pub fn separate_shared(&mut self) -> Result<()> {
        let mut names = std::mem::take(&mut self.names);
        sort(&mut names, &SharedName::cmp);
        for group in names.chunk_by(|one, other| one.identity == other.identity) {
            let paths = group.chunk_by(|one, other| one.path == other.path).count();
            let is_whole = group.first().is_none_or(|first| paths as u64 >= first.links);
            if !is_whole {
                self.separate(group)?;
            }
        }
        Ok(())
    }

    /// Makes the first operation of `group` put a copy of the file, and the others names of the copy.
    fn separate(&mut self, group: &[SharedName]) -> Result<()> {
        let ops = || group.iter().filter_map(|name| Some((name.op?, name)));
        let (Some((first, leader)), Some((last, _))) = (ops().min(), ops().max()) else { return Ok(()) };
        let Some(Op::Attributes { attributes, .. }) = self.ops.get(last) else { return Ok(()) };
        let attributes = *attributes;
        if !leader.is_file && !leader.is_link {
            let what = "it has other names, whose owner and mode would change too, and it cannot be copied";
            return Err(Error::new(Reason::Conflict, format!("{}: {what}", leader.path.display())));
        }
        for same_path in group.chunk_by(|one, other| one.path == other.path) {
            let Some((op, name)) = same_path.iter().filter_map(|name| Some((name.op?, name))).min() else {
                continue;
            };
            let new = if leader.is_link {
                self.new_link(name, op)?
            } else if op == first {
                let contents = vec![Piece::Existing(name.at.clone())];
                Op::File { path: name.path.clone(), contents, attributes }
            } else {
                Op::HardLink { path: name.path.clone(), target: leader.path.clone() }
            };
            if let Some(op) = self.ops.get_mut(op) {
                *op = new;
            }
        }
        Ok(())
    }

    fn new_link<'a>(&self, name: &SharedName, op: usize) -> Result<Op<'a>> {
        let Attributes { uid, gid, .. } = match self.ops.get(op) {
            Some(Op::Attributes { attributes, .. }) => *attributes,
            _ => Attributes::default(),
        };
        let target = self.view.read_link(&name.at)?;
        Ok(Op::Symlink { path: name.path.clone(), target, uid, gid })
    }
}
