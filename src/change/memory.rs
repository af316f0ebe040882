//! A root in memory for tests and fuzz targets: as strict as the kernel, with the commit of a plan to it.
//!
//! It panics where planning breaks the contract of a view: on a path that is not simplified, and on one with a link among its
//! parents.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::arithmetic_side_effects,
    clippy::missing_panics_doc,
    reason = "a failed assumption is the test's own message"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{Attributes, DirectoryEntry, FileKind, Op, Piece, Stat, View};
use crate::error::{Error, Reason, Result};

const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
    Special,
}

impl Thing {
    fn kind(&self) -> FileKind {
        match self {
            Self::Directory => FileKind::Directory,
            Self::File(_) => FileKind::File,
            Self::Link(_) => FileKind::Symlink,
            Self::Special => FileKind::Special,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    thing: Thing,
    attributes: Attributes,
    device: u64,
    inode: u64,
}

/// A root that holds what it is told. What is put in the way of something else takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    nodes: BTreeMap<PathBuf, Node>,
    device: u64,
    inodes: u64,
    /// How often planning asked for something.
    pub calls: Cell<usize>,
    /// Whether every read of a file fails with an I/O error.
    pub broken: Cell<bool>,
}

impl Default for Memory {
    fn default() -> Self {
        let (calls, broken) = (Cell::new(0), Cell::new(false));
        let mut root = Self { nodes: BTreeMap::new(), device: 1, inodes: 0, calls, broken };
        root.insert(PathBuf::from("/"), Thing::Directory, Attributes::root(0o755));
        root
    }
}

impl Memory {
    /// Returns a root with Debian's account files, shortened.
    pub fn debian() -> Self {
        let mut root = Self::default();
        root.file("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\ngames:x:5:60:games:/usr/games:/bin/sh\n");
        root.file("/etc/group", "root:x:0:\nadm:x:4:\nshadow:x:42:\ngames:x:60:\nusers:x:100:\n");
        root.file("/etc/shadow", "root:*:20000:0:99999:7:::\ngames:*:20000:0:99999:7:::\n");
        root.file("/etc/gshadow", "root:*::\nadm:*::\nshadow:*::\ngames:*::\nusers:*::\n");
        root.owned("/etc/shadow", 0, 42, 0o640);
        root.file("/etc/login.defs", "USERGROUPS_ENAB yes\nHOME_MODE 0700\n");
        root.file("/etc/default/useradd", "SHELL=/bin/sh\n");
        root.file("/etc/skel/.profile", "umask\n");
        root.directory("/home", 0, 0, 0o755);
        root
    }

    /// Puts a file of root's, with the directories above it.
    pub fn file(&mut self, path: &str, contents: impl AsRef<[u8]>) {
        self.add(path, Thing::File(contents.as_ref().to_vec()), Attributes::root(0o644));
    }

    /// Puts a symbolic link, with the directories above it.
    pub fn link(&mut self, path: &str, target: &str) {
        self.add(path, Thing::Link(target.into()), Attributes::root(0o777));
    }

    /// Puts a directory, with those above it.
    pub fn directory(&mut self, path: &str, uid: u32, gid: u32, mode: u32) {
        self.add(path, Thing::Directory, Attributes { uid, gid, mode });
    }

    /// Puts a device node, with the directories above it.
    pub fn special(&mut self, path: &str) {
        self.add(path, Thing::Special, Attributes::root(0o600));
    }

    /// Gives what stands at `path` another owner and mode.
    pub fn owned(&mut self, path: &str, uid: u32, gid: u32, mode: u32) {
        self.nodes.get_mut(Path::new(path)).unwrap().attributes = Attributes { uid, gid, mode };
    }

    /// Puts whatever follows on another file system.
    pub fn next_device(&mut self) {
        self.device += 1;
    }

    /// Returns the root without the file at `path`, which must be there.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.nodes.remove(Path::new(path)).unwrap();
        self
    }

    fn add(&mut self, path: &str, thing: Thing, attributes: Attributes) {
        let path: PathBuf = Path::new("/").join(path).components().collect();
        let steps = || path.components().skip(1);
        let kernel_takes_it = |step: std::path::Component<'_>| {
            let name = step.as_os_str();
            name != ".." && name.len() <= NAME_MAX && !name.as_encoded_bytes().contains(&0)
        };
        if steps().count() == 0 || path.as_os_str().len() >= PATH_MAX || !steps().all(kernel_takes_it) {
            return;
        }
        let above: Vec<_> = path.ancestors().skip(1).map(Path::to_owned).collect();
        for parent in above.into_iter().rev() {
            if self.nodes.get(&parent).is_none_or(|node| node.thing != Thing::Directory) {
                self.insert(parent, Thing::Directory, Attributes::root(0o755));
            }
        }
        self.take(&path);
        self.insert(path, thing, attributes);
    }

    /// Whether there is a symbolic link anywhere.
    pub fn has_links(&self) -> bool {
        self.nodes.values().any(|node| matches!(node.thing, Thing::Link(_)))
    }

    /// What the file at `path` holds; links are not followed.
    pub fn contents(&self, path: &str) -> Option<&[u8]> {
        match &self.nodes.get(Path::new(path))?.thing {
            Thing::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Returns the target of the link at `path`.
    pub fn target(&self, path: &str) -> Option<&Path> {
        match &self.nodes.get(Path::new(path))?.thing {
            Thing::Link(target) => Some(target),
            _ => None,
        }
    }

    /// Returns the paths of all that is no directory, in order.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let nodes = self.nodes.iter().filter(|(_, node)| node.thing != Thing::Directory);
        nodes.map(|(path, _)| path.as_path())
    }

    /// Carries out a plan that was made for this root, as the commit does it. An operation that the commit would
    /// fail at, after others have been done, is a panic.
    pub fn commit(&mut self, ops: &[Op<'_>]) {
        let before = self.clone();
        for op in ops {
            let path = op.path();
            let here = || format!("{op:?}");
            if path != Path::new("/") && !matches!(op, Op::Remove { .. }) {
                let parent = path.parent().and_then(|parent| self.thing(parent));
                assert_eq!(parent, Some(&Thing::Directory), "no directory above {}", here());
            }
            let there = self.thing(path);
            let replaceable = there != Some(&Thing::Directory);
            match op {
                Op::Remove { .. } => {
                    assert_ne!(path, Path::new("/"));
                    self.take(path);
                }
                Op::Directory { attributes, .. } => {
                    assert!(matches!(there, None | Some(Thing::Directory)), "in the way of {}", here());
                    self.put(path, Thing::Directory, *attributes);
                }
                Op::File { contents, attributes, .. } => {
                    assert!(replaceable, "in the way of {}", here());
                    let contents = contents.iter().flat_map(|piece| before.piece(piece)).collect();
                    self.put(path, Thing::File(contents), *attributes);
                }
                Op::Symlink { target, uid, gid, .. } => {
                    assert!(replaceable, "in the way of {}", here());
                    let attributes = Attributes { uid: *uid, gid: *gid, mode: 0o777 };
                    self.put(path, Thing::Link(target.clone()), attributes);
                }
                Op::HardLink { target, .. } => {
                    let node = self.nodes.get(target).unwrap_or_else(|| panic!("no target of {}", here()));
                    assert!(replaceable && node.thing != Thing::Directory, "in the way of {}", here());
                    let node = node.clone();
                    self.nodes.insert(path.to_owned(), node);
                }
                Op::Attributes { attributes, .. } => {
                    let node = self.nodes.get(path).unwrap_or_else(|| panic!("nothing for {}", here()));
                    let inode = node.inode;
                    let names = self.nodes.values_mut().filter(|node| node.inode == inode);
                    names.for_each(|node| node.attributes = *attributes);
                }
                Op::Rename { from, .. } => self.rename(from, path),
            }
        }
    }

    fn rename(&mut self, from: &Path, to: &Path) {
        assert!(!to.starts_with(from), "{} cannot go into itself", from.display());
        assert_eq!(self.thing(to), None, "{} is there", to.display());
        for (path, node) in self.take(from) {
            let below = path.strip_prefix(from).unwrap_or(Path::new(""));
            let path = if below == Path::new("") { to.to_owned() } else { to.join(below) };
            self.nodes.insert(path, node);
        }
    }

    fn piece(&self, piece: &Piece<'_>) -> Vec<u8> {
        match piece {
            Piece::Bytes(bytes) => bytes.to_vec(),
            Piece::Existing(path) => match self.thing(path) {
                Some(Thing::File(bytes)) => bytes.clone(),
                other => panic!("no file to copy at {}: {other:?}", path.display()),
            },
            // Sources have a target of their own.
            Piece::Source(_) => Vec::new(),
        }
    }

    fn thing(&self, path: &Path) -> Option<&Thing> {
        self.nodes.get(path).map(|node| &node.thing)
    }

    fn insert(&mut self, path: PathBuf, thing: Thing, attributes: Attributes) {
        self.inodes += 1;
        self.nodes.insert(path, Node { thing, attributes, device: self.device, inode: self.inodes });
    }

    /// Puts something in place of what is there; a directory stays the one that it is.
    fn put(&mut self, path: &Path, thing: Thing, attributes: Attributes) {
        match self.nodes.get_mut(path) {
            Some(node) if thing == Thing::Directory => node.attributes = attributes,
            _ => self.insert(path.to_owned(), thing, attributes),
        }
    }

    /// Takes away what stands at `path` and below it.
    fn take(&mut self, path: &Path) -> Vec<(PathBuf, Node)> {
        let below = self.nodes.range(path.to_owned()..).take_while(|(at, _)| at.starts_with(path));
        let paths: Vec<PathBuf> = below.map(|(at, _)| at.clone()).collect();
        paths.into_iter().filter_map(|at| self.nodes.remove_entry(&at)).collect()
    }

    /// The node at `path`, found as `openat2(2)` finds it when told to follow no links.
    fn look_up(&self, path: &Path) -> Result<Option<&Node>> {
        self.calls.set(self.calls.get() + 1);
        assert!(is_clean(path), "planning asks for {}", path.display());
        let failed = |what| Err(Error::new(Reason::RootIo, format!("look up {}: {what}", path.display())));
        let too_long = path.iter().any(|name| name.len() > NAME_MAX);
        if too_long || path.parent().is_some_and(|parent| parent.as_os_str().len() >= PATH_MAX) {
            return failed("file name too long");
        }
        if path.as_os_str().as_encoded_bytes().contains(&0) {
            return failed("invalid argument");
        }
        let linked = path.ancestors().skip(1).any(|above| matches!(self.thing(above), Some(Thing::Link(_))));
        assert!(!linked, "planning asks for {}, whose parents have links", path.display());
        Ok(self.nodes.get(path))
    }
}

impl View for Memory {
    fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        Ok(self.look_up(path)?.map(|node| {
            let kind = node.thing.kind();
            let size = match &node.thing {
                Thing::Directory => 4096,
                Thing::File(bytes) => bytes.len() as u64,
                Thing::Link(target) => target.as_os_str().len() as u64,
                Thing::Special => 0,
            };
            let links = self.nodes.values().filter(|other| other.inode == node.inode).count() as u64;
            let links = if kind == FileKind::Directory { 2 } else { links };
            Stat { kind, attributes: node.attributes, size, identity: (node.device, node.inode), links }
        }))
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf> {
        match self.look_up(path)?.map(|node| &node.thing) {
            Some(Thing::Link(target)) => Ok(target.clone()),
            other => panic!("{} is not a link: {other:?}", path.display()),
        }
    }

    fn read(&self, path: &Path, _: u64) -> Result<Vec<u8>> {
        match self.look_up(path)?.map(|node| &node.thing) {
            Some(Thing::File(_)) if self.broken.get() => {
                Err(Error::new(Reason::RootIo, format!("read {}: input/output error", path.display())))
            }
            Some(Thing::File(bytes)) => Ok(bytes.clone()),
            other => panic!("{} is not a file: {other:?}", path.display()),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<DirectoryEntry>> {
        match self.look_up(path)?.map(|node| &node.thing) {
            Some(Thing::Directory) => {}
            other => panic!("{} is not a directory: {other:?}", path.display()),
        }
        let below = self.nodes.range(path.to_owned()..).take_while(|(at, _)| at.starts_with(path));
        let children = below.filter(|(at, _)| at.parent() == Some(path));
        let entry = |(at, node): (&PathBuf, &Node)| {
            // Like the root file systems that do not tell kinds, for one name of two.
            let kind = Some(node.thing.kind()).filter(|_| node.inode % 2 == 0);
            Some(DirectoryEntry { name: at.file_name()?.to_owned(), kind })
        };
        Ok(children.filter_map(entry).collect())
    }
}

/// Tells whether a kernel reads `path` as it is written. `Path` itself hides `//` and `/./`.
pub fn is_clean(path: &Path) -> bool {
    let Some(steps) = path.as_os_str().as_encoded_bytes().strip_prefix(b"/") else { return false };
    let mut each = steps.split(|byte| *byte == b'/');
    steps.is_empty() || each.all(|step| !matches!(step, b"" | b"." | b".."))
}
