//! Plans one directory, file or link of the config.

use std::path::Path;

use super::super::accounts::Accounts;
use super::super::tree::Tree;
use super::{PlacedEntry, StorageContext, StorageEntry};
use crate::change::{Attributes, FileKind, Piece, Stat, check_is_not_above_stamp, check_path};
use crate::config::{Directory, File, Link, NodeGroup, NodeUser, OptionalText, clean};
use crate::error::{Error, Problems, Reason, Result};
use crate::source::{Source, Transport};

const DEFAULT_FILE_MODE: u32 = 0o644;
const DEFAULT_DIRECTORY_MODE: u32 = 0o755;

/// The sources of an entry's contents.
#[derive(Default)]
struct Sources<'a> {
    contents: Option<Source<'a>>,
    appended: Vec<Source<'a>>,
}

impl<'a> Sources<'a> {
    /// Makes the sources of an entry. Each error names its place in the config.
    fn of(node: &PlacedEntry<'a>, transport: &'a dyn Transport) -> Result<Self> {
        let StorageEntry::File(file) = node.entry else { return Ok(Self::default()) };
        let (place, path) = (node.place, &node.path);
        let mut problems = Problems::default();
        let contents = problems
            .take(Source::new(&file.contents, &format_args!("{place}.contents"), transport))
            .flatten();
        let mut appended = Vec::new();
        for (index, resource) in file.append.iter().enumerate() {
            let source = Source::new(resource, &format_args!("{place}.append.{index}"), transport);
            appended.extend(problems.take(source).flatten());
        }
        let contents = contents.map(|source| source.for_file(path));
        let appended = appended.into_iter().map(|source| source.for_file(path)).collect();
        problems.finish().map(|()| Self { contents, appended })
    }
}

/// The path of an entry, and what stands there when the entry is put.
#[derive(Clone, Copy)]
struct Site<'p> {
    path: &'p Path,
    present: Option<Stat>,
}

/// Plans one entry.
pub(super) fn put<'a>(
    node: &PlacedEntry<'a>,
    context: StorageContext<'_, 'a>,
    tree: &mut Tree<'a, '_>,
) -> Result<()> {
    let StorageContext { accounts, defaults, transport } = context;
    let sources = Sources::of(node, transport)?;
    let brings_contents = match node.entry {
        StorageEntry::Directory(_) | StorageEntry::Link(_) => true,
        StorageEntry::File(_) => sources.contents.is_some(),
    };
    let is_default = brings_contents && defaults.contains(&node.path);
    put_entry(node, sources, is_default, accounts, tree).map_err(|error| error.at(&node.place))
}

/// Plans an entry. A file in its way is removed if the config says `overwrite`, or if `is_default`.
fn put_entry<'a>(
    node: &PlacedEntry<'a>,
    sources: Sources<'a>,
    is_default: bool,
    accounts: &Accounts,
    tree: &mut Tree<'a, '_>,
) -> Result<()> {
    let path = &node.path;
    let overwrite = match node.entry {
        StorageEntry::Directory(directory) => directory.overwrite,
        StorageEntry::File(file) => file.overwrite,
        StorageEntry::Link(link) => link.overwrite,
    } == Some(true);
    check_path(path)?;
    let mut present = tree.stat(path)?;
    // An existing directory satisfies a directory entry, so it is kept without `overwrite`.
    let in_the_way = present
        .filter(|stat| stat.kind != FileKind::Directory || !matches!(node.entry, StorageEntry::Directory(_)));
    let replaces_default = is_default && !overwrite && in_the_way.is_some();
    if replaces_default {
        tree.note_replaced_default(path);
    }
    if (overwrite || replaces_default) && present.is_some() {
        if path == Path::new("/") {
            return Err(Error::new(Reason::ConfigInvalid, "the root itself cannot be overwritten"));
        }
        // A file or link is replaced by its successor in one step. Only a directory must be removed first.
        let is_directory = present.is_some_and(|stat| stat.kind == FileKind::Directory);
        if is_directory || matches!(node.entry, StorageEntry::Directory(_)) {
            tree.remove(path.clone());
        }
        present = None;
    }
    if present.is_none() && !matches!(node.entry, StorageEntry::Directory(_)) {
        check_is_not_above_stamp(path)?;
    }
    tree.make_parents(path)?;
    let site = Site { path, present };
    match node.entry {
        StorageEntry::Directory(directory) => put_directory(directory, site, accounts, tree),
        StorageEntry::File(file) => put_file(file, sources, site, accounts, tree),
        StorageEntry::Link(link) if link.hard == Some(true) => put_hard_link(link, site, tree),
        StorageEntry::Link(link) => put_symlink(link, site, accounts, tree),
    }
}

fn put_directory<'a>(
    directory: &'a Directory<'a>,
    Site { path, present }: Site<'_>,
    accounts: &Accounts,
    tree: &mut Tree<'a, '_>,
) -> Result<()> {
    if let Some(stat) = present.filter(|stat| stat.kind != FileKind::Directory) {
        return Err(in_the_way(path, stat.kind));
    }
    let defaults = present.map_or(Attributes::root(DEFAULT_DIRECTORY_MODE), |stat| stat.attributes);
    let attributes = attributes(directory.mode, &directory.user, &directory.group, defaults, accounts)?;
    tree.put_directory(path.to_owned(), attributes);
    Ok(())
}

fn put_file<'a>(
    file: &'a File<'a>,
    sources: Sources<'a>,
    Site { path, present }: Site<'_>,
    accounts: &Accounts,
    tree: &mut Tree<'a, '_>,
) -> Result<()> {
    if let Some(stat) = present.filter(|stat| stat.kind != FileKind::File) {
        return Err(in_the_way(path, stat.kind));
    }
    let Sources { contents, appended } = sources;
    if contents.is_none() && file.overwrite == Some(true) {
        return Err(Error::new(Reason::ConfigInvalid, "overwrite must be false if source is unspecified"));
    }
    if contents.is_some() && present.is_some() {
        return Err(in_the_way(path, FileKind::File));
    }
    let mut contents = match (contents, present) {
        (Some(source), _) => vec![Piece::Source(Box::new(source))],
        (None, Some(_)) => tree.contents(path)?,
        (None, None) => Vec::new(),
    };
    contents.extend(appended.into_iter().map(|source| Piece::Source(Box::new(source))));
    let defaults = present.map_or(Attributes::root(DEFAULT_FILE_MODE), |stat| stat.attributes);
    let attributes = attributes(file.mode, &file.user, &file.group, defaults, accounts)?;
    if present.is_some() && file.append.is_empty() {
        tree.set_attributes(path.to_owned(), attributes)
    } else {
        tree.put_file(path.to_owned(), contents, attributes);
        Ok(())
    }
}

fn put_symlink<'a>(
    link: &'a Link<'a>,
    Site { path, present }: Site<'_>,
    accounts: &Accounts,
    tree: &mut Tree<'a, '_>,
) -> Result<()> {
    let target = Path::new(link_target(link)?);
    let attributes = attributes(None, &link.user, &link.group, Attributes::default(), accounts)?;
    match present {
        None => tree.put_symlink(path.to_owned(), target.to_owned(), attributes.uid, attributes.gid),
        Some(stat) if stat.kind == FileKind::Symlink && same_target(&tree.read_link(path)?, target) => {
            let user_given = link.user != NodeUser::default();
            let group_given = link.group != NodeGroup::default();
            if user_given || group_given {
                let uid = if user_given { attributes.uid } else { stat.attributes.uid };
                let gid = if group_given { attributes.gid } else { stat.attributes.gid };
                tree.set_attributes(path.to_owned(), Attributes { uid, gid, mode: 0o777 })?;
            }
        }
        Some(stat) => return Err(in_the_way(path, stat.kind)),
    }
    Ok(())
}

fn put_hard_link<'a>(
    link: &'a Link<'a>,
    Site { path, present }: Site<'_>,
    tree: &mut Tree<'a, '_>,
) -> Result<()> {
    let target = tree.resolve_parent(Path::new(link_target(link)?))?;
    let invalid = |what: &str| {
        Error::new(Reason::ConfigInvalid, format!("hard link target {} {what}", target.display()))
    };
    let found = tree.stat(&target)?.ok_or_else(|| invalid("does not exist"))?;
    if found.kind == FileKind::Directory {
        return Err(invalid("is a directory"));
    }
    match present {
        // The existing link is made again, because a new owner or mode may give the file a new inode.
        Some(stat) if stat.identity == found.identity && stat.identity != (0, 0) => {
            let was = tree.was(&target)?.map(|was| was.attributes);
            if was == Some(found.attributes) { Ok(()) } else { tree.put_hard_link(path.to_owned(), target) }
        }
        // The path is a second name of a file that the config replaces. It becomes a name of the new file.
        Some(stat) if tree.was(&target)?.is_some_and(|was| was.identity == stat.identity) => {
            tree.put_hard_link(path.to_owned(), target)
        }
        Some(stat) => Err(in_the_way(path, stat.kind)),
        None => tree.put_hard_link(path.to_owned(), target),
    }
}

fn link_target<'a>(link: &'a Link<'a>) -> Result<&'a str> {
    match link.target.as_deref() {
        None | Some("") => Err(Error::new(Reason::ConfigInvalid, "link target is required")),
        Some(target) if target.contains('\0') => {
            Err(Error::new(Reason::ConfigInvalid, "link target contains a NUL byte"))
        }
        Some(target) => Ok(target),
    }
}

/// Returns whether two targets are equal once they are simplified (reference: `filepath.Clean`). The targets of a config are
/// UTF-8, so one that is not UTF-8 equals none of them.
fn same_target(one: &Path, other: &Path) -> bool {
    one.to_str().zip(other.to_str()).is_some_and(|(one, other)| clean(one) == clean(other))
}

fn in_the_way(path: &Path, kind: FileKind) -> Error {
    let what = if kind == FileKind::File { "a file exists there already" } else { kind.word() };
    let stands = if kind == FileKind::File { "" } else { " stands there" };
    Error::new(Reason::Conflict, format!("{}: {what}{stands} and overwrite is false", path.display())).advise(
        "Set \"overwrite\" for this path in the config, or take the path out of the image or name it in a list of \
         defaults (/usr/lib/glowplug/defaults.d), then start again: nothing was written.",
    )
}

/// Returns the owner and mode that the config names; for what it does not name, those of `defaults`.
fn attributes(
    mode: Option<i64>,
    user: &NodeUser<'_>,
    group: &NodeGroup<'_>,
    defaults: Attributes,
    accounts: &Accounts,
) -> Result<Attributes> {
    let mode = match mode {
        None => defaults.mode,
        Some(mode) => u32::try_from(mode)
            .ok()
            .filter(|mode| *mode <= 0o7777)
            .ok_or_else(|| Error::new(Reason::ConfigInvalid, "illegal file mode"))?,
    };
    let uid = owner(user.id, &user.name, "user", |name| accounts.uid(name))?.unwrap_or(defaults.uid);
    let gid = owner(group.id, &group.name, "group", |name| accounts.gid(name))?.unwrap_or(defaults.gid);
    Ok(Attributes { uid, gid, mode })
}

fn owner(
    id: Option<i64>,
    name: &OptionalText<'_>,
    kind: &str,
    find: impl Fn(&str) -> Option<u32>,
) -> Result<Option<u32>> {
    match (id, name.as_deref().filter(|name| !name.is_empty())) {
        (Some(_), Some(_)) => Err(Error::new(Reason::ConfigInvalid, "cannot set both id and name")),
        // An id with all bits set cannot be an owner, because chown(2) takes it for "leave unchanged".
        (Some(id), None) => match u32::try_from(id) {
            Ok(id) if id != u32::MAX => Ok(Some(id)),
            _ => Err(Error::new(Reason::ConfigInvalid, format!("{kind} id {id} is not an id of Linux"))),
        },
        (None, Some(name)) => {
            let missing = || {
                Error::new(Reason::Account, format!("the root has no {kind} \"{name}\"")).advise(format!(
                    "Name a {kind} that the image has, or add it in passwd.{kind}s of the config, then start again: nothing \
                     was written."
                ))
            };
            find(name).map(Some).ok_or_else(missing)
        }
        (None, None) => Ok(None),
    }
}
