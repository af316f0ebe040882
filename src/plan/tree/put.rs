//! Adding operations. The tree shows the effect of each at once.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::places::{Base, Found, PlannedNode, Seen, WalkStep, components, enter, start};
use super::{Tree, bytes};
use crate::change::{Attributes, Contents, FileKind, Op};
use crate::error::{Error, Reason, Result};

/// The most directories and links that are planned without an entry of their own in the config. Each missing directory
/// of a deep path is one, and so is each link of each instance of a template.
const MOST_IMPLIED: usize = 1 << 17;
/// The most bytes of their paths.
const MOST_IMPLIED_BYTES: usize = 16 << 20;

/// The directories and links that have no entry of their own in the config.
#[derive(Default)]
pub(super) struct Implied {
    count: usize,
    /// The bytes of their paths.
    bytes: usize,
}

impl<'a> Tree<'a, '_> {
    /// Counts a directory or link that has no entry of its own in the config.
    ///
    /// # Errors
    /// [`Reason::ConfigInvalid`] if there are too many of them.
    pub fn imply(&mut self, path: &Path) -> Result<()> {
        self.implied.count = self.implied.count.saturating_add(1);
        self.implied.bytes = self.implied.bytes.saturating_add(bytes(path).len());
        if !self.is_full() {
            return Ok(());
        }
        let what = format!(
            "the config leads to more than {MOST_IMPLIED} directories and links that it does not name, or their paths are \
             more than {} MiB in all",
            MOST_IMPLIED_BYTES >> 20
        );
        Err(Error::new(Reason::ConfigInvalid, what).advise(
            "Use fewer deep paths whose directories are missing, or bring the directories in the image, and enable fewer \
             instances, then start again: nothing was written.",
        ))
    }

    /// Returns whether [`Tree::imply`] has failed. Planning stops then: every further entry would fail for the same cause.
    pub fn is_full(&self) -> bool {
        self.implied.count > MOST_IMPLIED || self.implied.bytes > MOST_IMPLIED_BYTES
    }

    /// Plans the missing directories above `path`, with owner root and mode 0755.
    pub fn make_parents(&mut self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent().map(bytes) else { return Ok(()) };
        let mut step = start(self.places.get_mut());
        for (name, length) in components(parent) {
            step = enter(self.places.get_mut(), step, name, length);
            let above = parent.get(..length).unwrap_or_default();
            let kind = match self.find(step, above)? {
                Found::Kind(FileKind::Directory) => continue,
                Found::Nothing => None,
                Found::Kind(kind) => Some(kind),
                Found::Link(_) => Some(FileKind::Symlink),
            };
            let above = Path::new(OsStr::from_bytes(above));
            if let Some(kind) = kind {
                let what =
                    format!("make directory {} in the root: {} stands there", above.display(), kind.word());
                return Err(Error::new(Reason::Conflict, what));
            }
            self.imply(above)?;
            let attributes = Attributes::root(0o755);
            if let Some(place) = step.number.and_then(|number| self.places.get_mut().at_mut(number)) {
                place.planned = Some(PlannedNode::Directory { attributes, backing: None });
            }
            self.ops.push(Op::Directory { path: above.to_owned(), attributes });
            step.base = Base::Nowhere;
        }
        Ok(())
    }

    /// Plans a directory with its attributes. The directory may already exist.
    pub fn put_directory(&mut self, path: PathBuf, attributes: Attributes) {
        let step = self.enter(&path);
        let backing = match self.planned(step) {
            Some(PlannedNode::Directory { backing, .. }) => backing,
            Some(_) => None,
            // The view is known to have nothing here, so it need not be asked for names below.
            None => {
                let places = self.places.get_mut();
                let place = step.number.and_then(|number| places.at(number));
                let nothing = place.is_some_and(|place| matches!(place.seen, Seen::Nothing));
                if nothing { None } else { self.backing(step, &path) }
            }
        };
        self.set_node(&path, PlannedNode::Directory { attributes, backing });
        self.ops.push(Op::Directory { path, attributes });
    }

    /// Plans a file. It replaces anything but a directory.
    pub fn put_file(&mut self, path: PathBuf, contents: Contents<'a>, attributes: Attributes) {
        self.put_file_at(self.enter(&path), path, contents, attributes);
    }

    /// Plans a file at `path`, to whose place `step` leads.
    pub(super) fn put_file_at(
        &mut self,
        step: WalkStep,
        path: PathBuf,
        contents: Contents<'a>,
        attributes: Attributes,
    ) {
        self.set_node_at(step, PlannedNode::File { attributes, op: self.ops.len() });
        self.ops.push(Op::File { path, contents, attributes });
    }

    /// Plans a symbolic link. It replaces anything but a directory.
    pub fn put_symlink(&mut self, path: PathBuf, target: PathBuf, uid: u32, gid: u32) {
        self.set_node(&path, PlannedNode::Symlink { target: target.clone(), uid, gid });
        self.ops.push(Op::Symlink { path, target, uid, gid });
    }

    /// Plans a second name for the file at `target`.
    pub fn put_hard_link(&mut self, path: PathBuf, target: PathBuf) -> Result<()> {
        let step = self.walk(&target);
        let node = match self.planned(step) {
            Some(node) => node,
            None => match (self.stat(&target)?, self.backing(step, &target)) {
                (Some(stat), Some(at)) => PlannedNode::Kept { at, attributes: stat.attributes },
                _ => PlannedNode::Gone,
            },
        };
        self.note_name(&path.clone(), &path, None)?;
        self.set_node(&path, node);
        self.ops.push(Op::HardLink { path, target });
        Ok(())
    }

    /// Plans new attributes for what stands at `path`.
    pub fn set_attributes(&mut self, path: PathBuf, attributes: Attributes) -> Result<()> {
        let step = self.walk(&path);
        let node = match self.planned(step) {
            Some(PlannedNode::Directory { backing, .. }) => PlannedNode::Directory { attributes, backing },
            Some(PlannedNode::File { op, .. }) => PlannedNode::File { attributes, op },
            Some(PlannedNode::Symlink { target, .. }) => {
                PlannedNode::Symlink { target, uid: attributes.uid, gid: attributes.gid }
            }
            Some(PlannedNode::Kept { at, .. }) => PlannedNode::Kept { at, attributes },
            Some(PlannedNode::Gone) => PlannedNode::Gone,
            None => match (self.stat(&path)?, self.backing(step, &path)) {
                (Some(stat), Some(at)) if stat.kind == FileKind::Directory => {
                    PlannedNode::Directory { attributes, backing: Some(at) }
                }
                (Some(_), Some(at)) => PlannedNode::Kept { at, attributes },
                _ => PlannedNode::Gone,
            },
        };
        if let PlannedNode::Kept { at, .. } = &node {
            let op = self.ops.len();
            self.note_name(&path, at, Some(op))?;
        }
        self.set_node(&path, node);
        self.ops.push(Op::Attributes { path, attributes });
        Ok(())
    }

    /// Plans the removal of `path` and of everything below it.
    pub fn remove(&mut self, path: PathBuf) {
        self.forget_below(&path);
        self.set_node(&path, PlannedNode::Gone);
        self.ops.push(Op::Remove { path });
    }

    /// Plans a new name for the directory or file at `from`. It must come from the root and not be planned itself.
    pub fn rename(&mut self, from: PathBuf, to: PathBuf) -> Result<()> {
        let step = self.walk(&from);
        if let (Some(stat), Some(at)) = (self.stat(&from)?, self.backing(step, &from)) {
            let attributes = stat.attributes;
            let node = match stat.kind {
                FileKind::Directory => PlannedNode::Directory { attributes, backing: Some(at) },
                _ => PlannedNode::Kept { at, attributes },
            };
            // Nothing stood at `to`. What the tree knows of names below `to` is outdated now.
            self.forget_below(&to);
            self.set_node(&to, node);
        }
        self.forget_below(&from);
        self.set_node(&from, PlannedNode::Gone);
        self.ops.push(Op::Rename { from, to });
        Ok(())
    }

    /// Forgets what is planned and known of everything below `path`.
    fn forget_below(&mut self, path: &Path) {
        let mut directories: Vec<usize> = self.walk(path).number.into_iter().collect();
        let places = self.places.get_mut();
        while let Some(directory) = directories.pop() {
            if let Some(place) = places.at_mut(directory) {
                place.is_listed = false;
            }
            let below: Vec<usize> = places.children(directory).map(|(_, number)| number).collect();
            for number in below {
                if let Some(place) = places.at_mut(number) {
                    place.forget();
                }
                directories.push(number);
            }
        }
    }
}
