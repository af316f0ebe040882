//! Plans `storage.directories`, `storage.files` and `storage.links`: the order of the entries, and conflicts between
//! them.

mod entry;

use std::fmt;
use std::path::{Component, Path, PathBuf};

use super::Part;
use super::accounts::Accounts;
use super::image_defaults::ImageDefaults;
use super::tree::Tree;
use crate::change::{Attributes, FileKind};
use crate::config::{Directory, File, Link, Storage, path_fault};
use crate::error::{Error, Problems, Reason, Result};
use crate::map::Map;
use crate::sort::order;
use crate::source::Transport;

/// One entry of the config, with its place there and its path. In the path, links in the parents are resolved.
struct PlacedEntry<'a> {
    place: EntryKey,
    path: PathBuf,
    depth: usize,
    entry: StorageEntry<'a>,
}

/// The place of an entry in the config, shown as `$.storage.files.0`.
#[derive(Clone, Copy)]
struct EntryKey(&'static str, usize);

impl fmt::Display for EntryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "$.storage.{}.{}", self.0, self.1)
    }
}

#[derive(Clone, Copy)]
enum StorageEntry<'a> {
    Directory(&'a Directory<'a>),
    File(&'a File<'a>),
    Link(&'a Link<'a>),
}

/// What planning an entry needs besides the entry and the tree.
#[derive(Clone, Copy)]
pub(super) struct StorageContext<'c, 'a> {
    /// The users and groups by which the names of owners are resolved.
    pub accounts: &'c Accounts,
    /// The paths that the image ships only as a default.
    pub defaults: &'c ImageDefaults,
    /// Fetches the bytes of URLs that do not hold them themselves.
    pub transport: &'a dyn Transport,
}

/// Plans all directories, files and links from the top of the tree down, then hard links.
///
/// All paths are resolved before anything is planned, so links that the config makes are not followed.
///
/// # Errors
/// One error holds all problems of the entries. An entry that depends on a failed one causes no further problem.
pub(super) fn plan<'a>(
    storage: &'a Storage<'a>,
    context: StorageContext<'_, 'a>,
    tree: &mut Tree<'a, '_>,
) -> Result<()> {
    tree.begin(Part::Storage);
    let mut problems = Problems::default();
    let nodes = collect(storage, tree, &mut problems);
    let doubled = doubles(&nodes, &mut problems);
    let rank = |index: usize| nodes.get(index).map(|node| (is_hard(node.entry), node.depth));
    // The sort is stable: entries of the same depth stay in the config's order.
    let sorted = order(nodes.len(), &|one, other| rank(one).cmp(&rank(other)));
    for node in sorted.iter().filter_map(|index| nodes.get(*index)) {
        let is_double = doubled.get(node.path.as_os_str().as_encoded_bytes()).is_some();
        if is_double || problems.take(entry::put(node, context, tree)).is_none() && !tree.is_full() {
            // The plan has failed already. The stand-in keeps entries below this one, and hard links to it, from
            // failing for the same cause.
            problems.take(stand_in(node, tree));
        }
        if tree.is_full() {
            break;
        }
    }
    problems.finish()
}

/// Plans an empty stand-in for the entry, whatever stands in the way.
fn stand_in(node: &PlacedEntry<'_>, tree: &mut Tree) -> Result<()> {
    if node.path == Path::new("/") {
        return Ok(());
    }
    let mut above: Vec<&Path> = node.path.ancestors().skip(1).collect();
    above.reverse();
    for directory in above {
        if tree.stat(directory)?.is_some_and(|stat| stat.kind != FileKind::Directory) {
            put_stand_in(directory, true, tree);
        }
    }
    tree.make_parents(&node.path)?;
    put_stand_in(&node.path, matches!(node.entry, StorageEntry::Directory(_)), tree);
    Ok(())
}

fn put_stand_in(path: &Path, is_directory: bool, tree: &mut Tree) {
    // Planning a file first discards what the tree knows below `path`, so that a directory there is empty.
    tree.put_file(path.to_owned(), Vec::new(), Attributes::default());
    if is_directory {
        tree.put_directory(path.to_owned(), Attributes::default());
    }
}

fn is_hard(entry: StorageEntry<'_>) -> bool {
    matches!(entry, StorageEntry::Link(link) if link.hard == Some(true))
}

fn depth(path: &Path) -> usize {
    path.components().filter(|step| matches!(step, Component::Normal(_))).count()
}

fn collect<'a>(
    storage: &'a Storage<'a>,
    tree: &Tree<'a, '_>,
    problems: &mut Problems,
) -> Vec<PlacedEntry<'a>> {
    let directories = storage.directories.iter().enumerate();
    let files = storage.files.iter().enumerate();
    let links = storage.links.iter().enumerate();
    let entries = directories
        .map(|(index, entry)| (EntryKey("directories", index), StorageEntry::Directory(entry), &entry.path))
        .chain(files.map(|(index, entry)| (EntryKey("files", index), StorageEntry::File(entry), &entry.path)))
        .chain(
            links.map(|(index, entry)| (EntryKey("links", index), StorageEntry::Link(entry), &entry.path)),
        );

    let mut nodes = Vec::new();
    // Most entries share their directories, so each directory is resolved only once.
    let mut followed: Map<PathBuf> = Map::default();
    for (place, entry, path) in entries {
        let has_nul = path.contains('\0').then_some("path contains a NUL byte");
        if let Some(fault) = path_fault(path).or(has_nul) {
            problems.add(Error::new(Reason::ConfigInvalid, format!("{fault}, at {place}.path")));
            continue;
        }
        let (directory, name) = path.rsplit_once('/').unwrap_or_default();
        let path = if let Some(resolved) = followed.get(directory.as_bytes()) {
            resolved.join(name)
        } else {
            let resolved = tree.resolve(Path::new(directory)).map_err(|error| error.at(&place));
            let Some(resolved) = problems.take(resolved) else { continue };
            let path = resolved.join(name);
            followed.insert(directory.as_bytes(), resolved);
            path
        };
        nodes.push(PlacedEntry { place, depth: depth(&path), path, entry });
    }
    nodes
}

/// Reports the paths that more than one entry has, and returns them. Because of links in the root, two entries may
/// name one path in two ways.
fn doubles(nodes: &[PlacedEntry<'_>], problems: &mut Problems) -> Map<()> {
    // Resolved paths are equal only if their bytes are.
    let path = |index: usize| nodes.get(index).map(|node| node.path.as_os_str());
    let sorted = order(nodes.len(), &|one, other| path(one).cmp(&path(other)));
    let mut doubles = Map::default();
    for pair in sorted.windows(2) {
        let pair = pair.iter().filter_map(|index| nodes.get(*index)).collect::<Vec<_>>();
        if let [one, other] = *pair {
            if one.path == other.path {
                let path = one.path.display();
                let what = format!("{path} is the path of two entries, at {} and {}", one.place, other.place);
                problems.add(Error::new(Reason::ConfigInvalid, what));
                doubles.insert(one.path.as_os_str().as_encoded_bytes(), ());
            }
        }
    }
    doubles
}
