//! The root as it will be: the view of the root with the planned operations laid over it.

mod copy;
mod places;
mod put;
mod resolve;
mod shared;

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use self::places::{Base, Place, Places, PlannedNode, Seen, WalkStep, components, enter, next, start};
use super::{Part, Planned};
use crate::change::{Attributes, Contents, DirectoryEntry, FileKind, Op, Piece, Stat, View};
use crate::error::{Error, Reason, Result, shorten};

pub(super) use copy::{Copies, Copy};
#[cfg(test)]
pub(super) use places::lookups;

/// The most bytes of a file that planning itself reads, such as account files and units. Real ones are far smaller.
const READ_LIMIT: u64 = 16 << 20;
/// The most warnings that are kept.
const MOST_WARNINGS: usize = 20;
/// The most bytes of a warning.
const MOST_OF_WARNING: usize = 800;

/// The overlay, and the operations that produce it, in order.
pub struct Tree<'a, 'v> {
    view: &'v dyn View,
    places: RefCell<Places>,
    ops: Vec<Op<'a>>,
    warnings: Vec<String>,
    /// The number of warnings that were not kept.
    untold: usize,
    replaced_defaults: Vec<PathBuf>,
    parts: Vec<(usize, Part)>,
    /// The planned names of files that have more than one name.
    names: Vec<shared::SharedName>,
    implied: put::Implied,
}

impl<'a, 'v> Tree<'a, 'v> {
    /// Returns the tree of a root without any operation.
    pub fn new(view: &'v dyn View) -> Self {
        Self {
            view,
            places: RefCell::new(Places::new()),
            ops: Vec::new(),
            warnings: Vec::new(),
            untold: 0,
            replaced_defaults: Vec::new(),
            parts: Vec::new(),
            names: Vec::new(),
            implied: put::Implied::default(),
        }
    }

    /// Says which part of the config the next operations belong to.
    pub(super) fn begin(&mut self, part: Part) {
        self.parts.push((self.ops.len(), part));
    }

    /// Keeps a warning for the config's author. Equal warnings are kept once. Warnings beyond the bound are only
    /// counted.
    pub fn warn(&mut self, warning: String) {
        let warning = shorten(warning, MOST_OF_WARNING);
        if self.warnings.len() >= MOST_WARNINGS {
            self.untold = self.untold.saturating_add(1);
        } else if !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Notes that the config's entry at `path` replaces a default of the image.
    pub fn note_replaced_default(&mut self, path: &Path) {
        self.replaced_defaults.push(path.to_owned());
    }

    /// Ends the planning and returns the plan.
    pub fn into_planned(mut self) -> Planned<'a> {
        if self.untold > 0 {
            self.warnings.push(format!("and {} more warnings", self.untold));
        }
        let Self { ops, parts, warnings, replaced_defaults, .. } = self;
        Planned { ops, parts, warnings, replaced_defaults }
    }

    fn walk(&self, path: &Path) -> WalkStep {
        let places = self.places.borrow();
        let mut step = start(&places);
        for (name, length) in components(bytes(path)) {
            step = next(&places, step, name, length);
        }
        step
    }

    /// Walks to `path` and adds the missing places on the way.
    fn enter(&self, path: &Path) -> WalkStep {
        let mut places = self.places.borrow_mut();
        let mut step = start(&places);
        for (name, length) in components(bytes(path)) {
            step = enter(&mut places, step, name, length);
        }
        step
    }

    fn planned(&self, step: WalkStep) -> Option<PlannedNode> {
        self.places.borrow().at(step.number?)?.planned.clone()
    }

    fn set_node(&mut self, path: &Path, node: PlannedNode) {
        self.set_node_at(self.enter(path), node);
    }

    fn set_node_at(&mut self, step: WalkStep, node: PlannedNode) {
        if let Some(place) = step.number.and_then(|number| self.places.get_mut().at_mut(number)) {
            place.planned = Some(node);
        }
    }

    /// Returns what will stand at `path`, `None` if nothing will. The parents must be resolved. The last component is
    /// not followed.
    pub fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        self.stat_at(self.walk(path), path)
    }

    /// Returns what will stand at `path`, to which `step` leads.
    fn stat_at(&self, step: WalkStep, path: &Path) -> Result<Option<Stat>> {
        let places = self.places.borrow();
        let place = step.number.and_then(|number| places.at(number));
        let of = |kind, attributes, identity| Some(Stat { kind, attributes, size: 0, identity, links: 1 });
        Ok(match place.and_then(|place| place.planned.as_ref()) {
            Some(PlannedNode::Gone) => None,
            Some(PlannedNode::Directory { attributes, backing }) => {
                let stat = backing.as_ref().map_or(Ok(None), |at| self.view.stat(at))?;
                of(FileKind::Directory, *attributes, stat.map_or((0, 0), |stat| stat.identity))
            }
            Some(PlannedNode::File { attributes, .. }) => of(FileKind::File, *attributes, (0, 0)),
            Some(PlannedNode::Symlink { uid, gid, .. }) => {
                of(FileKind::Symlink, Attributes { uid: *uid, gid: *gid, mode: 0o777 }, (0, 0))
            }
            Some(PlannedNode::Kept { at, attributes }) => {
                self.view.stat(at)?.map(|stat| Stat { attributes: *attributes, ..stat })
            }
            None if matches!(step.base, Base::Nowhere) => None,
            None => {
                if let Some(stat) = place.and_then(|place| place.seen.stat()) {
                    stat
                } else {
                    drop(places);
                    self.stat_unplanned(step, path)?
                }
            }
        })
    }

    /// Returns the kind of what will stand at `path`, as [`Tree::stat`] does. Directories tell the kinds of what is in them, so the
    /// view need not be asked about each name in one that is listed.
    pub fn kind(&self, path: &Path) -> Result<Option<FileKind>> {
        let number = self.walk(path).number;
        let known = number.and_then(|number| self.places.borrow().at(number).and_then(Place::kind));
        if known.is_some() {
            return Ok(known);
        }
        Ok(self.stat(path)?.map(|stat| stat.kind))
    }

    fn stat_unplanned(&self, step: WalkStep, path: &Path) -> Result<Option<Stat>> {
        let Some(at) = self.backing(step, path) else { return Ok(None) };
        let stat = self.view.stat(&at)?;
        let mut places = self.places.borrow_mut();
        if let Some(place) = step.number.and_then(|number| places.at_mut(number)) {
            match (stat, &mut place.seen) {
                (Some(stat), Seen::Link(link)) if stat.kind == FileKind::Symlink => link.0 = Some(stat),
                (Some(stat), seen) => *seen = Seen::Stat(Box::new(stat)),
                (None, seen) => *seen = Seen::Nothing,
            }
        }
        Ok(stat)
    }

    /// Returns the number of the place of the directory at `path`, for [`Tree::may_hold`]. It never changes.
    pub fn place(&self, path: &Path) -> Option<usize> {
        self.enter(path).number
    }

    /// Returns whether anything may stand at `name` in the directory that has the place `directory`. [`Tree::stat`] tells
    /// for certain, but it looks up each directory of a path. Most names that planning asks for are nowhere.
    pub fn may_hold(&self, directory: usize, name: &str) -> bool {
        let places = self.places.borrow();
        let Some(place) = places.at(directory) else { return true };
        let knows_all = match (&place.planned, &place.seen) {
            (Some(PlannedNode::Gone), _) | (None, Seen::Nothing) => return false,
            (Some(PlannedNode::Directory { backing: None, .. }), _) => true,
            _ => place.is_listed,
        };
        !knows_all || places.number(directory, name.as_bytes()).is_some()
    }

    /// Returns whether a directory of the root at `path` can get another name: see [`View::renames_directories`].
    pub fn renames_directories(&self, path: &Path) -> Result<bool> {
        self.view.renames_directories(path)
    }

    /// Returns what stood at `path` before anything was planned.
    pub fn was(&self, path: &Path) -> Result<Option<Stat>> {
        self.view.stat(path)
    }

    /// Returns where the view holds what will stand at `path`, if `path` has no node of its own.
    fn backing(&self, step: WalkStep, path: &Path) -> Option<PathBuf> {
        self.backing_of(step.base, bytes(path))
    }

    fn backing_of(&self, base: Base, path: &[u8]) -> Option<PathBuf> {
        match base {
            Base::Same if path.is_empty() => Some(PathBuf::from("/")),
            Base::Same => Some(PathBuf::from(OsStr::from_bytes(path))),
            Base::Backing { number, length } => {
                let places = self.places.borrow();
                let rest = OsStr::from_bytes(path.get(length..)?.strip_prefix(b"/").unwrap_or_default());
                match places.at(number)?.planned.as_ref()? {
                    PlannedNode::Directory { backing: Some(at), .. } | PlannedNode::Kept { at, .. }
                        if rest.is_empty() =>
                    {
                        Some(at.clone())
                    }
                    PlannedNode::Directory { backing: Some(at), .. } | PlannedNode::Kept { at, .. } => {
                        Some(at.join(rest))
                    }
                    _ => None,
                }
            }
            Base::Nowhere => None,
        }
    }

    /// Returns whether a file is planned at `path`, be it new or in the place of another one.
    pub(super) fn puts_file(&self, path: &Path) -> bool {
        matches!(self.planned(self.walk(path)), Some(PlannedNode::File { .. }))
    }

    /// Returns the target of the symbolic link that will stand at `path`.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf> {
        let step = self.walk(path);
        match self.planned(step) {
            Some(PlannedNode::Symlink { target, .. }) => return Ok(target),
            Some(PlannedNode::Kept { at, .. }) => return self.view.read_link(&at),
            _ => {}
        }
        let mut places = self.places.borrow_mut();
        let seen = step.number.and_then(|number| places.at_mut(number)).map(|place| &mut place.seen);
        if let Some(Seen::Link(link)) = seen {
            return Ok(link.1.clone());
        }
        drop(places);
        let target = self.view.read_link(&self.backing(step, path).unwrap_or_else(|| path.to_owned()))?;
        let mut places = self.places.borrow_mut();
        let seen = step.number.and_then(|number| places.at_mut(number)).map(|place| &mut place.seen);
        if let Some(seen @ (Seen::Kind(_) | Seen::Stat(_))) = seen {
            *seen = Seen::Link(Box::new((seen.stat().flatten(), target.clone())));
        }
        Ok(target)
    }

    /// Lists the directory at `path`, so that the view need not be asked for each name in it.
    pub fn look_into(&self, path: &Path) -> Result<()> {
        let step = self.enter(path);
        let at = match self.planned(step) {
            None => self.backing(step, path),
            Some(PlannedNode::Directory { backing, .. }) => backing,
            Some(_) => return Ok(()),
        };
        let (Some(number), Some(at)) = (step.number, at) else { return Ok(()) };
        if self.places.borrow().at(number).is_none_or(|place| place.is_listed) {
            return Ok(());
        }
        match self.view.stat(&at)? {
            Some(stat) if stat.kind == FileKind::Directory => self.list_view(number, Some(&at)),
            Some(_) => Ok(()),
            None => {
                let mut places = self.places.borrow_mut();
                if let Some(place) = places.at_mut(number).filter(|place| matches!(place.seen, Seen::Unknown))
                {
                    place.seen = Seen::Nothing;
                }
                Ok(())
            }
        }
    }

    /// Returns the names that will stand in the directory at `path`, sorted.
    pub fn list(&self, path: &Path) -> Result<Vec<OsString>> {
        let mut names = Vec::new();
        self.list_into(path, &mut |name, _, _| names.push(name.to_owned()))?;
        Ok(names)
    }

    /// Returns the same names, each with the kind of what will stand there.
    pub fn entries(&self, path: &Path) -> Result<Vec<(OsString, FileKind)>> {
        let mut entries = Vec::new();
        self.list_into(path, &mut |name, _, place| entries.push((name.to_owned(), place.kind())))?;
        let mut known = Vec::with_capacity(entries.len());
        for (name, kind) in entries {
            let kind = match kind {
                Some(kind) => Some(kind),
                None => self.kind(&path.join(&name))?,
            };
            known.extend(kind.map(|kind| (name, kind)));
        }
        Ok(known)
    }

    fn list_into(&self, path: &Path, take: &mut dyn FnMut(&OsStr, usize, &Place)) -> Result<()> {
        let step = self.enter(path);
        let Some(number) = step.number else { return Ok(()) };
        let at = match self.planned(step) {
            None => self.backing(step, path),
            Some(PlannedNode::Directory { backing, .. }) => backing,
            Some(PlannedNode::Kept { at, .. }) => Some(at),
            Some(_) => None,
        };
        self.list_view(number, at.as_deref())?;
        let places = self.places.borrow();
        for (name, number) in places.children(number) {
            let Some(place) = places.at(number) else { continue };
            let stands = match &place.planned {
                Some(node) => !matches!(node, PlannedNode::Gone),
                None => !matches!(place.seen, Seen::Nothing),
            };
            if stands {
                take(OsStr::from_bytes(name), number, place);
            }
        }
        Ok(())
    }

    /// Adds a place for each name that the view has in the directory `at`. Place `number` has the contents of `at`.
    fn list_view(&self, number: usize, at: Option<&Path>) -> Result<()> {
        if self.places.borrow().at(number).is_none_or(|place| place.is_listed) {
            return Ok(());
        }
        let mut entries = Vec::new();
        if let Some(at) = at {
            if self.view.stat(at)?.is_some() {
                entries = self.view.list(at)?;
            }
        }
        let mut places = self.places.borrow_mut();
        // A name that has a place but is not in the list does not exist.
        let known: Vec<usize> = places.children(number).map(|(_, child)| child).collect();
        for child in known {
            if let Some(place) = places.at_mut(child).filter(|place| matches!(place.seen, Seen::Unknown)) {
                place.seen = Seen::Nothing;
            }
        }
        for DirectoryEntry { name, kind } in entries {
            let (name, new) = (name.as_bytes(), kind.map_or(Seen::Unknown, Seen::Kind));
            let known = places.number(number, name).and_then(|known| places.at_mut(known));
            match known.map(|place| &mut place.seen) {
                Some(seen @ Seen::Nothing) => *seen = new,
                Some(_) => {}
                None => drop(places.enter(number, name, new)),
            }
        }
        if let Some(place) = places.at_mut(number) {
            place.is_listed = true;
        }
        Ok(())
    }

    /// Returns the contents of the regular file that will stand at `path`; `None` if there will be no file. Links are
    /// not followed.
    pub fn read(&self, path: &Path) -> Result<Option<Cow<'_, [u8]>>> {
        let step = self.walk(path);
        let at = match self.planned(step) {
            Some(PlannedNode::File { op, .. }) => match self.ops.get(op) {
                Some(Op::File { contents, .. }) => return self.join(contents).map(Some),
                _ => return Ok(None),
            },
            Some(PlannedNode::Kept { at, .. }) => Some(at),
            Some(_) => None,
            None => self.backing(step, path),
        };
        match (at, self.kind(path)?) {
            (Some(at), Some(FileKind::File)) => {
                self.view.read(&at, READ_LIMIT).map(|bytes| Some(Cow::Owned(bytes)))
            }
            _ => Ok(None),
        }
    }

    /// Returns the contents of the file that will stand at `path`, as pieces of another file. Appending needs them.
    pub fn contents(&self, path: &Path) -> Result<Contents<'a>> {
        self.contents_at(self.walk(path), path)
    }

    /// Returns the contents of the file that will stand at `path`, to which `step` leads.
    fn contents_at(&self, step: WalkStep, path: &Path) -> Result<Contents<'a>> {
        match self.planned(step) {
            Some(PlannedNode::File { op, .. }) => match self.ops.get(op) {
                Some(Op::File { contents, .. }) => contents.iter().map(|piece| copied(piece, path)).collect(),
                _ => Ok(Vec::new()),
            },
            Some(PlannedNode::Kept { at, .. }) => Ok(vec![Piece::Existing(at)]),
            Some(_) => Ok(Vec::new()),
            None => Ok(self.backing(step, path).map(Piece::Existing).into_iter().collect()),
        }
    }

    fn join<'t>(&'t self, contents: &'t Contents<'a>) -> Result<Cow<'t, [u8]>> {
        if let [Piece::Bytes(bytes)] = contents.as_slice() {
            return Ok(Cow::Borrowed(bytes));
        }
        let mut joined = Vec::new();
        for piece in contents {
            match piece {
                Piece::Bytes(bytes) => joined.extend_from_slice(bytes),
                Piece::Existing(at) => joined.extend_from_slice(&self.view.read(at, READ_LIMIT)?),
                Piece::Source(source) => joined.extend_from_slice(source.bytes(READ_LIMIT)?),
            }
            if joined.len() as u64 > READ_LIMIT {
                return Err(Error::new(
                    Reason::ConfigInvalid,
                    "a file that planning has to read is over 16 MiB",
                ));
            }
        }
        Ok(Cow::Owned(joined))
    }
}

/// Returns a copy of a piece of the file that is planned at `path`, for use in another file. A piece from a URL
/// cannot be copied, because its bytes go into one file only.
fn copied<'a>(piece: &Piece<'a>, path: &Path) -> Result<Piece<'a>> {
    match piece {
        Piece::Bytes(bytes) => Ok(Piece::Bytes(bytes.clone())),
        Piece::Existing(at) => Ok(Piece::Existing(at.clone())),
        Piece::Source(_) => {
            let what = format!("{} is planned from a URL and cannot be copied", path.display());
            Err(Error::new(Reason::ConfigInvalid, what))
        }
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
