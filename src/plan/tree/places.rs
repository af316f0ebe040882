//! The names in the tree. Each name has a numbered place, and is found by the number of its directory's place. So no
//! path is compared as a whole.
//!
//! Planning looks names up millions of times, with names that a config chooses.

use std::cell::Cell;
use std::path::PathBuf;

use crate::change::{Attributes, FileKind, Stat};
use crate::names::{Key, Names};

#[cfg(test)]
thread_local! {
    static LOOKUPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// How many names this thread's trees have looked up.
#[cfg(test)]
pub(in crate::plan) fn lookups() -> usize {
    LOOKUPS.get()
}

/// The number of the root's place.
const TOP: usize = 0;

/// What is planned at a path.
#[derive(Debug, Clone)]
pub(super) enum PlannedNode {
    /// Nothing: removed, or it never existed.
    Gone,
    /// A directory. `backing` is where the view has its present contents.
    Directory { attributes: Attributes, backing: Option<PathBuf> },
    /// A file that the operation with the number `op` puts.
    File { attributes: Attributes, op: usize },
    /// A symbolic link.
    Symlink { target: PathBuf, uid: u32, gid: u32 },
    /// What the view has at `at`, with these attributes.
    Kept { at: PathBuf, attributes: Attributes },
}

/// What the view said about a path without a node of its own.
#[derive(Debug, Default)]
pub(super) enum Seen {
    /// The view has not been asked yet.
    #[default]
    Unknown,
    /// Nothing stands there.
    Nothing,
    /// Something of this kind stands there.
    Kind(FileKind),
    /// This stands there.
    Stat(Box<Stat>),
    /// A symbolic link stands there, with this target.
    Link(Box<(Option<Stat>, PathBuf)>),
}

/// One name in the tree. Most paths of a config share their directories, so each directory is looked up in the view
/// only once.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) planned: Option<PlannedNode>,
    pub(super) seen: Seen,
    /// Whether every name that the view has in this directory has a place.
    pub(super) is_listed: bool,
}

impl Place {
    /// Returns the kind of what stands here; `None` if the view must be asked.
    pub(super) fn kind(&self) -> Option<FileKind> {
        match &self.planned {
            Some(PlannedNode::Directory { .. }) => Some(FileKind::Directory),
            Some(PlannedNode::File { .. }) => Some(FileKind::File),
            Some(PlannedNode::Symlink { .. }) => Some(FileKind::Symlink),
            Some(PlannedNode::Gone | PlannedNode::Kept { .. }) => None,
            None => self.seen.kind(),
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// All names that came up.
#[derive(Debug)]
pub(super) struct Places {
    all: Vec<Place>,
    /// The name of each place, by the place's number, in the group of the directory's number.
    names: Names,
    /// The numbers of places that were found last. A path is looked up several times in a row, and shares its directories
    /// with the next one.
    recent: [Cell<u32>; RECENT],
}

/// How many places that were found last are kept.
const RECENT: usize = 32;

impl Places {
    /// Returns the root's place alone.
    pub(super) fn new() -> Self {
        let mut names = Names::default();
        // The root needs no name. This one only takes the root's number.
        names.insert(Key { group: 0, name: b"" });
        Self { all: vec![Place::default()], names, recent: Default::default() }
    }

    pub(super) fn at(&self, number: usize) -> Option<&Place> {
        self.all.get(number)
    }

    pub(super) fn at_mut(&mut self, number: usize) -> Option<&mut Place> {
        self.all.get_mut(number)
    }

    /// Returns the place of `name` in the directory that has place `directory`.
    pub(super) fn number(&self, directory: usize, name: &[u8]) -> Option<usize> {
        let key = key(directory, name);
        let recent = self.recent(key)?;
        if self.names.get(recent.get()) != Some(key) {
            recent.set(self.names.number(key)?);
        }
        Some(recent.get() as usize)
    }

    /// Returns the place of `name` in the directory that has place `directory`. `new` is added if there is none.
    pub(super) fn enter(&mut self, directory: usize, name: &[u8], new: Seen) -> usize {
        let key = key(directory, name);
        let known = self.recent(key).map_or(0, Cell::get);
        if self.names.get(known) == Some(key) {
            return known as usize;
        }
        let number = self.names.insert(key);
        if let Some(recent) = self.recent(key) {
            recent.set(number);
        }
        if number as usize == self.all.len() {
            self.all.push(Place { seen: new, ..Place::default() });
        }
        number as usize
    }

    /// Returns where the place of `key` is kept if it is among those that were found last.
    fn recent(&self, key: Key) -> Option<&Cell<u32>> {
        #[cfg(test)]
        LOOKUPS.set(LOOKUPS.get() + 1);
        let of_group = key.group as usize;
        let sum =
            key.name.iter().fold(of_group, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.recent.get(sum % RECENT)
    }

    /// Returns the names of all places in a directory, sorted, each with its place's number.
    pub(super) fn children(&self, directory: usize) -> impl Iterator<Item = (&[u8], usize)> {
        let all = self.names.beginning_with(key(directory, b""));
        let named = all.filter_map(|number| Some((self.names.get(number)?.name, number as usize)));
        named.filter(|(_, number)| *number != TOP)
    }
}

fn key(directory: usize, name: &[u8]) -> Key<'_> {
    // Numbers of places come from `Names`.
    Key { group: u32::try_from(directory).unwrap_or(u32::MAX), name }
}

/// Where the view holds the contents below a place that has no node of its own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Base {
    /// At the same path.
    Same,
    /// Below the backing of place `number`: the rest of the path from byte `length` on is appended.
    Backing { number: usize, length: usize },
    /// Nowhere.
    Nowhere,
}

/// A position on the walk from the root to a path.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalkStep {
    /// The number of the place; `None` if the place does not exist yet.
    pub(super) number: Option<usize>,
    pub(super) base: Base,
}

/// What stands at one component of a path.
pub(super) enum Found {
    Nothing,
    Kind(FileKind),
    Link(PathBuf),
}

impl Seen {
    /// Returns what is known of this place; `None` if the view must be asked.
    pub(super) fn known(&self) -> Option<Found> {
        match self {
            Self::Nothing => Some(Found::Nothing),
            Self::Link(link) => Some(Found::Link(link.1.clone())),
            // The target of a link is not known.
            Self::Unknown | Self::Kind(_) | Self::Stat(_) => {
                self.kind().filter(|kind| *kind != FileKind::Symlink).map(Found::Kind)
            }
        }
    }

    /// Returns the kind of what is known to stand here.
    fn kind(&self) -> Option<FileKind> {
        match self {
            Self::Unknown | Self::Nothing => None,
            Self::Kind(kind) => Some(*kind),
            Self::Stat(stat) => Some(stat.kind),
            Self::Link(_) => Some(FileKind::Symlink),
        }
    }

    /// Returns what `stat` is known to return; `None` if the view must be asked.
    #[allow(clippy::option_option, reason = "not being known and being absent are two things")]
    pub(super) fn stat(&self) -> Option<Option<Stat>> {
        match self {
            Self::Unknown | Self::Kind(_) => None,
            Self::Nothing => Some(None),
            Self::Stat(stat) => Some(Some(**stat)),
            Self::Link(link) => link.0.map(Some),
        }
    }
}

pub(super) fn start(places: &Places) -> WalkStep {
    let top = WalkStep { number: Some(TOP), base: Base::Same };
    WalkStep { base: below(places, top, 0), ..top }
}

/// Returns where the view holds the contents below the place of `step`. The place's path has `length` bytes.
pub(super) fn below(places: &Places, step: WalkStep, length: usize) -> Base {
    let Some((number, place)) = step.number.and_then(|number| Some((number, places.at(number)?))) else {
        return step.base;
    };
    match (&place.planned, &place.seen) {
        (Some(PlannedNode::Directory { backing: Some(_), .. } | PlannedNode::Kept { .. }), _) => {
            Base::Backing { number, length }
        }
        (Some(_), _) | (None, Seen::Nothing) => Base::Nowhere,
        (None, _) => step.base,
    }
}

/// Steps from a directory to `name` in it. `name` ends at byte `length` of the path.
pub(super) fn next(places: &Places, above: WalkStep, name: &[u8], length: usize) -> WalkStep {
    let number = above.number.and_then(|number| places.number(number, name));
    let is_listed = above.number.and_then(|number| places.at(number)).is_some_and(|place| place.is_listed);
    match number {
        Some(number) => place_below(places, above, number, length),
        None => WalkStep { number, base: if is_listed { Base::Nowhere } else { above.base } },
    }
}

/// Steps as [`next`] does, and adds the place if it is missing.
pub(super) fn enter(places: &mut Places, above: WalkStep, name: &[u8], length: usize) -> WalkStep {
    let Some(parent) = above.number else { return next(places, above, name, length) };
    let is_listed = places.at(parent).is_some_and(|place| place.is_listed);
    let is_nowhere = is_listed || matches!(above.base, Base::Nowhere);
    let number = places.enter(parent, name, if is_nowhere { Seen::Nothing } else { Seen::Unknown });
    place_below(places, above, number, length)
}

/// Steps to the place `number`, which is in the directory of `above`. Its path has `length` bytes.
pub(super) fn place_below(places: &Places, above: WalkStep, number: usize, length: usize) -> WalkStep {
    let step = WalkStep { number: Some(number), base: above.base };
    WalkStep { base: below(places, step, length), ..step }
}

/// Returns the components of `path` without `.`, each with the number of bytes up to its end.
pub(super) fn components(path: &[u8]) -> impl Iterator<Item = (&[u8], usize)> {
    let mut end: usize = 0;
    path.split(|byte| *byte == b'/')
        .map(move |name| {
            let length = end.saturating_add(name.len());
            end = length.saturating_add(1);
            (name, length)
        })
        .filter(|(name, _)| !name.is_empty() && *name != b".")
}
