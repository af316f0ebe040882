//! The operations of a plan, each with what is known about it before it is carried out.

use std::path::{Path, PathBuf};

use crate::change::{Attributes, FileKind, Op, Piece, Stat, View};
use crate::error::{Problems, Result};
use crate::plan::Planned;
use crate::sort::order;

/// The most bytes of a file that is compared with the file that it replaces.
pub(super) const MOST_COMPARED: u64 = 256 << 10;
/// The most bytes of all sources together that are kept for comparing. A small config can unpack to very many bytes.
const MOST_KEPT: u64 = 64 << 20;
/// The most origins of one file that are shown.
const MOST_ORIGINS: usize = 4;

/// An operation with what is known about it before it is carried out.
pub(super) struct PlannedOp<'p> {
    pub(super) op: &'p Op<'p>,
    /// What stands at its path now, if anything.
    pub(super) present: Option<Stat>,
    /// Whether the operation would change nothing. False if this is not known, as for large files.
    pub(super) is_same: bool,
    /// Whether the operation replaces a file that the image has named as a default, without `overwrite` in the config.
    pub(super) is_default: bool,
    /// The size in bytes of the file that the operation puts. `None` for other operations, and if the file is not fetched.
    pub(super) size: Option<u64>,
    /// Scheme and host of what is fetched into the file.
    pub(super) origins: &'p [String],
    /// Whether `op` still has the contents of the file.
    is_kept: bool,
}

/// What is known about the contents that an operation puts.
#[derive(Default)]
pub(super) struct ReadContents {
    /// The size in bytes; `None` for an operation that puts no file.
    size: Option<u64>,
    /// Scheme and host of each URL from which contents come.
    origins: Vec<String>,
    /// Whether the operation still has the contents.
    is_kept: bool,
}

/// Returns the numbers of the operations, sorted by the bytes of their paths. Operations on one path keep their order.
pub(super) fn by_path(ops: &[Op<'_>]) -> Vec<usize> {
    let path = |index: usize| ops.get(index).map(|op| op.path().as_os_str());
    order(ops.len(), &|one, other| path(one).cmp(&path(other)))
}

/// Returns what stands at the path of each operation now. `sorted` is what [`by_path`] returned. The view is not asked for
/// paths below a missing one.
fn present(ops: &[Op<'_>], sorted: &[usize], view: &dyn View) -> Result<Vec<Option<Stat>>> {
    let mut present = vec![None; ops.len()];
    let mut missing = Path::new("");
    let path = |index: usize| ops.get(index).map_or(Path::new("/"), Op::path);
    for same in sorted.chunk_by(|one, other| path(*one).as_os_str() == path(*other).as_os_str()) {
        let path = same.first().map_or(Path::new("/"), |first| path(*first));
        if !missing.as_os_str().is_empty() && path.starts_with(missing) {
            continue;
        }
        let stat = view.stat(path)?;
        if stat.is_none() {
            missing = path;
        }
        for index in same {
            if let Some(place) = present.get_mut(*index) {
                *place = stat;
            }
        }
    }
    Ok(present)
}

/// Reads the contents of all files to the end. Small contents stay in the operations as bytes, to be compared; large ones are
/// taken out of them. Contents that would have to be fetched are read only if `fetches`.
///
/// # Errors
/// Everything that is wrong with the sources, as one error.
pub(super) fn read_contents(ops: &mut [Op<'_>], view: &dyn View, fetches: bool) -> Result<Vec<ReadContents>> {
    let mut problems = Problems::default();
    let mut room = MOST_KEPT;
    let mut sizes = Sizes { view, recent: Vec::new() };
    let mut read = Vec::with_capacity(ops.len());
    for op in ops {
        read.push(problems.take(read_content(op, &mut sizes, &mut room, fetches)).unwrap_or_default());
    }
    problems.finish().map(|()| read)
}

/// The sizes of the files that were looked up last. Every new home has copies of the same few files.
struct Sizes<'v> {
    view: &'v dyn View,
    recent: Vec<(PathBuf, u64)>,
}

impl Sizes<'_> {
    fn get(&mut self, path: &Path) -> Result<u64> {
        if let Some((_, size)) = self.recent.iter().find(|(known, _)| known.as_os_str() == path.as_os_str()) {
            return Ok(*size);
        }
        let size = self.view.stat(path)?.map_or(0, |stat| stat.size);
        if self.recent.len() >= 16 {
            self.recent.clear();
        }
        self.recent.push((path.to_owned(), size));
        Ok(size)
    }
}

/// Reads the contents that `op` puts. Keeps them if they are at most `room` bytes, which are then used up.
fn read_content(
    op: &mut Op<'_>,
    sizes: &mut Sizes<'_>,
    room: &mut u64,
    fetches: bool,
) -> Result<ReadContents> {
    let Op::File { contents, .. } = op else { return Ok(ReadContents::default()) };
    let mut size: u64 = 0;
    let (mut is_kept, mut is_known) = (true, true);
    let mut origins: Vec<String> = Vec::new();
    let mut kept = Vec::with_capacity(contents.len());
    for piece in std::mem::take(contents) {
        let bytes = match &piece {
            Piece::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            Piece::Existing(path) => sizes.get(path)?,
            Piece::Source(_) => 0,
        };
        size = size.saturating_add(bytes);
        let Piece::Source(source) = piece else {
            kept.push(piece);
            continue;
        };
        if let Some(origin) = source.origin() {
            if origins.len() < MOST_ORIGINS && !origins.contains(&origin) {
                origins.push(origin);
            }
            if !fetches {
                (is_kept, is_known) = (false, false);
                continue;
            }
        }
        let (bytes, length) = source.open()?.read_and_count((*room).min(MOST_COMPARED))?;
        size = size.saturating_add(length);
        match bytes {
            Some(bytes) => {
                *room = room.saturating_sub(length);
                kept.push(Piece::Bytes(bytes.into()));
            }
            None => is_kept = false,
        }
    }
    *contents = kept;
    Ok(ReadContents { size: is_known.then_some(size), origins, is_kept })
}

/// Returns the operations of `planned` with what is known about each. `read` is what [`read_contents`] returned.
pub(super) fn lines<'p>(
    planned: &'p Planned<'_>,
    read: &'p [ReadContents],
    sorted: &[usize],
    view: &dyn View,
) -> Result<Vec<PlannedOp<'p>>> {
    let present = present(&planned.ops, sorted, view)?;
    let mut lines = Vec::with_capacity(planned.ops.len());
    // The defaults are in the order of the operations that replace them.
    let mut defaults = planned.replaced_defaults.iter();
    let mut default = defaults.next();
    for ((op, read), present) in planned.ops.iter().zip(read).zip(present) {
        let ReadContents { size, ref origins, is_kept } = *read;
        let is_default = !matches!(op, Op::Remove { .. }) && default.is_some_and(|path| path == op.path());
        if is_default {
            default = defaults.next();
        }
        let mut line = PlannedOp { op, present, is_same: false, is_default, size, origins, is_kept };
        let is_removed =
            |before: &PlannedOp<'_>| matches!(before.op, Op::Remove { path } if path == op.path());
        line.is_same = !lines.last().is_some_and(is_removed) && line.is_same(view)?;
        lines.push(line);
    }
    Ok(lines)
}

impl PlannedOp<'_> {
    /// Returns the owner and mode that the operation sets, if it sets any.
    pub(super) fn attributes(&self) -> Option<Attributes> {
        match self.op {
            Op::Directory { attributes, .. }
            | Op::File { attributes, .. }
            | Op::Attributes { attributes, .. } => Some(*attributes),
            Op::Symlink { uid, gid, .. } => Some(Attributes { uid: *uid, gid: *gid, mode: 0o777 }),
            _ => None,
        }
    }

    /// Returns the target of a link or the old path of a renamed file, with the word for it: `target` or `from`.
    pub(super) fn other(&self) -> Option<(&'static str, &Path)> {
        match self.op {
            Op::Symlink { target, .. } | Op::HardLink { target, .. } => Some(("target", target)),
            Op::Rename { from, .. } => Some(("from", from)),
            _ => None,
        }
    }

    /// Returns whether the operation would change nothing: see the field of this name.
    fn is_same(&self, view: &dyn View) -> Result<bool> {
        let Some(stat) = self.present else { return Ok(false) };
        let has_attributes = self.attributes() == Some(stat.attributes);
        Ok(match self.op {
            Op::Directory { .. } => has_attributes && stat.kind == FileKind::Directory,
            Op::Attributes { .. } => has_attributes,
            Op::Symlink { path, target, .. } => {
                has_attributes && stat.kind == FileKind::Symlink && view.read_link(path)? == *target
            }
            Op::File { .. } => {
                has_attributes
                    && stat.kind == FileKind::File
                    && self.size == Some(stat.size)
                    && self.contents(view)?.is_some_and(|(old, new)| old == new)
            }
            _ => false,
        })
    }

    /// Returns the old and the new contents of the file that an [`Op::File`] puts. The old contents are empty if no file
    /// stands there now. Returns `None` if either has more than [`MOST_COMPARED`] bytes.
    pub(super) fn contents(&self, view: &dyn View) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Op::File { path, contents, .. } = self.op else { return Ok(None) };
        let file = self.present.filter(|stat| stat.kind == FileKind::File);
        if !self.is_kept
            || self.size.is_none_or(|size| size > MOST_COMPARED)
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
                // Sources have been read, and small ones have been replaced by their bytes.
                Piece::Source(_) => return Ok(None),
            }
        }
        Ok(Some((old, new)))
    }
}

/// How many paths a plan makes, changes, removes and leaves as they are.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) new: usize,
    pub(super) changed: usize,
    pub(super) removed: usize,
    pub(super) unchanged: usize,
}

/// Counts the paths of the operations. A path that is removed and made again counts once. Paths below a removed
/// directory are not counted.
pub(super) fn count(lines: &[PlannedOp<'_>], sorted: &[usize]) -> Counts {
    let path = |index: usize| lines.get(index).map(|line| line.op.path().as_os_str());
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
