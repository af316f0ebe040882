//! The operations of a plan with what is known of each before it is carried out.

use std::path::Path;

use crate::change::{Attributes, Kind, Op, Piece, Stat, View};
use crate::error::{Problems, Result};
use crate::plan::Planned;
use crate::sort::order;

/// The largest file in bytes that is compared with what it replaces.
pub(super) const MOST_COMPARED: u64 = 256 << 10;

/// One operation with what is known of it before it is carried out.
pub(super) struct Line<'p> {
    pub(super) op: &'p Op<'p>,
    /// What stands at its path now.
    pub(super) present: Option<Stat>,
    /// Whether what stands there now is what the operation wants, as far as that is cheap to know.
    pub(super) is_same: bool,
    /// Whether the image brings what stands there only as a default, for which the config sets no `overwrite`.
    pub(super) is_default: bool,
    /// Bytes of the file that it puts.
    pub(super) size: Option<u64>,
}

/// Returns a line for each operation. The contents of all files are read to the end, and everything that is wrong with
/// them is told.
pub(super) fn lines<'p>(planned: &'p Planned<'_>, view: &dyn View) -> Result<Vec<Line<'p>>> {
    let mut problems = Problems::default();
    let mut lines = Vec::with_capacity(planned.ops.len());
    // The defaults are in the order of the operations that replace them.
    let mut defaults = planned.replaced_defaults.iter();
    let mut default = defaults.next();
    for op in &planned.ops {
        let is_default = !matches!(op, Op::Remove { .. }) && default.is_some_and(|path| path == op.path());
        if is_default {
            default = defaults.next();
        }
        let Some(size) = problems.take(size(op, view)) else { continue };
        let mut line = Line { op, present: view.stat(op.path())?, is_same: false, is_default, size };
        let is_removed = |before: &Line<'_>| matches!(before.op, Op::Remove { path } if path == op.path());
        line.is_same = !lines.last().is_some_and(is_removed) && line.is_same(view)?;
        lines.push(line);
    }
    problems.finish().map(|()| lines)
}

/// Returns the size of the file that an operation puts.
fn size(op: &Op<'_>, view: &dyn View) -> Result<Option<u64>> {
    let Op::File { contents, .. } = op else { return Ok(None) };
    let mut size: u64 = 0;
    for piece in contents {
        let bytes = match piece {
            Piece::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Piece::Existing(path) => view.stat(path)?.map_or(0, |stat| stat.size),
            Piece::Source(source) => source.size()?,
        };
        size = size.saturating_add(bytes);
    }
    Ok(Some(size))
}

impl Line<'_> {
    /// The operation's word, the same in both forms.
    pub(super) fn word(&self) -> &'static str {
        match self.op {
            Op::Remove { .. } => "remove",
            Op::Directory { .. } => "directory",
            Op::File { .. } => "file",
            Op::Symlink { .. } => "link",
            Op::HardLink { .. } => "hardlink",
            Op::Attributes { .. } => "attributes",
            Op::Rename { .. } => "rename",
        }
    }

    /// Owner and mode that the operation gives.
    pub(super) fn attributes(&self) -> Option<Attributes> {
        match self.op {
            Op::Directory { attributes, .. }
            | Op::File { attributes, .. }
            | Op::Attributes { attributes, .. } => Some(*attributes),
            Op::Symlink { uid, gid, .. } => Some(Attributes { uid: *uid, gid: *gid, mode: 0o777 }),
            _ => None,
        }
    }

    /// What a link points at, or where a renamed file comes from.
    pub(super) fn other(&self) -> Option<(&'static str, &Path)> {
        match self.op {
            Op::Symlink { target, .. } | Op::HardLink { target, .. } => Some(("target", target)),
            Op::Rename { from, .. } => Some(("from", from)),
            _ => None,
        }
    }

    fn is_same(&self, view: &dyn View) -> Result<bool> {
        let Some(stat) = self.present else { return Ok(false) };
        let has_attributes = self.attributes() == Some(stat.attributes);
        Ok(match self.op {
            Op::Directory { .. } => has_attributes && stat.kind == Kind::Directory,
            Op::Attributes { .. } => has_attributes,
            Op::Symlink { path, target, .. } => {
                has_attributes && stat.kind == Kind::Symlink && view.read_link(path)? == *target
            }
            Op::File { .. } => {
                has_attributes
                    && stat.kind == Kind::File
                    && self.size == Some(stat.size)
                    && self.contents(view)?.is_some_and(|(old, new)| old == new)
            }
            _ => false,
        })
    }

    /// What the file at the path of an [`Op::File`] holds now and what it will hold; nothing where one of the two is
    /// larger than 256 KiB. What is no file now holds nothing.
    pub(super) fn contents(&self, view: &dyn View) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Op::File { path, contents, .. } = self.op else { return Ok(None) };
        let file = self.present.filter(|stat| stat.kind == Kind::File);
        if self.size.is_none_or(|size| size > MOST_COMPARED)
            || file.is_some_and(|stat| stat.size > MOST_COMPARED)
        {
            return Ok(None);
        }
        let old = if file.is_some() { view.read(path, MOST_COMPARED)? } else { Vec::new() };
        let mut new = Vec::new();
        for piece in contents {
            match piece {
                Piece::Bytes(bytes) => new.extend_from_slice(bytes),
                Piece::Existing(path) => new.append(&mut view.read(path, MOST_COMPARED)?),
                Piece::Source(source) => new.append(&mut source.read(MOST_COMPARED)?),
            }
        }
        Ok(Some((old, new)))
    }
}

/// How many paths a plan touches, and how.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) new: usize,
    pub(super) changed: usize,
    pub(super) removed: usize,
    pub(super) unchanged: usize,
}

/// Counts paths, not operations: a path may be removed and then made anew. What lies below a removed directory is not
/// counted.
pub(super) fn count(lines: &[Line<'_>]) -> Counts {
    let path = |index: usize| lines.get(index).map(|line| line.op.path());
    let sorted = order(lines.len(), &|one, other| path(one).cmp(&path(other)));
    let mut counts = Counts::default();
    for group in sorted.chunk_by(|one, other| path(*one) == path(*other)) {
        let mut lines = group.iter().filter_map(|index| lines.get(*index));
        let Some(last) = lines.clone().next_back() else { continue };
        let count = match (last.op, last.present) {
            (Op::Remove { .. }, Some(_)) => &mut counts.removed,
            (Op::Remove { .. }, None) => continue,
            (_, None) => &mut counts.new,
            _ if lines.all(|line| line.is_same) => &mut counts.unchanged,
            _ => &mut counts.changed,
        };
        *count = count.saturating_add(1);
    }
    counts
}
