//! The names in the tree. Each name has a numbered place, and is found by the number of its directory's place. So no
//! path is compared as a whole.

use std::path::PathBuf;

use crate::change::{Attributes, Kind, Stat};
use crate::plan::map::Map;

/// The number of the root's place.
const TOP: usize = 0;

/// What is planned at a path.
#[derive(Debug, Clone)]
pub(super) enum Node {
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
    /// A file of this kind stands there.
    Kind(Kind),
    /// A file with this `stat` stands there. The whole `stat` is kept for the names of a listed directory, because
    /// they are asked for often.
    Stat(Box<Stat>),
    /// A symbolic link to this target.
    Link(PathBuf),
}

/// One name in the tree. Most paths of a config share their directories, so each directory is looked up in the view
/// only once.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) planned: Option<Node>,
    pub(super) seen: Seen,
    /// Whether every name that the view has in this directory has a place.
    pub(super) is_listed: bool,
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
pub(super) struct Step {
    /// The number of the place; `None` if the place does not exist yet.
    pub(super) number: Option<usize>,
    /// The number of the directory's place; `None` if that does not exist yet.
    pub(super) parent: Option<usize>,
    pub(super) base: Base,
}

/// What stands at one component of a path.
pub(super) enum Found {
    Nothing,
    Kind(Kind),
    Link(PathBuf),
}

impl Seen {
    /// Returns what is known of this place; `None` if the view must be asked.
    pub(super) fn known(&self) -> Option<Found> {
        match self {
            Self::Unknown => None,
            // The link's target is not known.
            Self::Stat(stat) if stat.kind == Kind::Symlink => None,
            seen => Some(seen.found()),
        }
    }

    pub(super) fn found(&self) -> Found {
        match self {
            Self::Unknown | Self::Nothing => Found::Nothing,
            Self::Kind(kind) => Found::Kind(*kind),
            Self::Stat(stat) => Found::Kind(stat.kind),
            Self::Link(target) => Found::Link(target.clone()),
        }
    }
}

/// Returns the key of `name` in the directory that has place `number`.
pub(super) fn key(number: usize, name: &[u8]) -> Vec<u8> {
    // The lowest byte comes first, so that keys of different directories mostly differ in their first byte.
    [&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes(), name].concat()
}

pub(super) fn start(places: &Map<Place>) -> Step {
    let top = Step { number: Some(TOP), parent: None, base: Base::Same };
    Step { base: below(places, top, 0), ..top }
}

/// Returns where the view holds the contents below the place of `step`. The place's path has `length` bytes.
pub(super) fn below(places: &Map<Place>, step: Step, length: usize) -> Base {
    let Some((number, place)) = step.number.and_then(|number| Some((number, places.at(number)?))) else {
        return step.base;
    };
    match (&place.planned, &place.seen) {
        (Some(Node::Directory { backing: Some(_), .. } | Node::Kept { .. }), _) => {
            Base::Backing { number, length }
        }
        (Some(_), _) | (None, Seen::Nothing) => Base::Nowhere,
        (None, _) => step.base,
    }
}

/// Steps from a directory to `name` in it. `name` ends at byte `length` of the path.
pub(super) fn next(places: &Map<Place>, above: Step, name: &[u8], length: usize) -> Step {
    let number = above.number.and_then(|number| places.number(&key(number, name)));
    let is_listed = above.number.and_then(|number| places.at(number)).is_some_and(|place| place.is_listed);
    let base = if number.is_none() && is_listed { Base::Nowhere } else { above.base };
    let step = Step { number, parent: above.number, base };
    Step { base: below(places, step, length), ..step }
}

/// Steps as [`next`] does, and adds the place if it is missing.
pub(super) fn enter(places: &mut Map<Place>, above: Step, name: &[u8], length: usize) -> Step {
    let step = next(places, above, name, length);
    let (None, Some(parent)) = (step.number, above.number) else { return step };
    let seen = if matches!(step.base, Base::Nowhere) { Seen::Nothing } else { Seen::Unknown };
    let number = places.insert(&key(parent, name), Place { seen, ..Place::default() });
    Step { number: Some(number), ..step }
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
