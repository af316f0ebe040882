//! A root in memory that is as strict as the kernel, and the commit of a plan to it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use glowplug::change::{Attributes, Kind, Op, Piece, Stat, View};
use glowplug::error::{Error, Reason, Result};

const PATH_MAX: usize = 4096;
const NAME_MAX: usize = 255;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Thing {
    Directory,
    File(Vec<u8>),
    Link(PathBuf),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    thing: Thing,
    attributes: Attributes,
    inode: u64,
}

/// A root that holds what it is told. What is put in the way of something else takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    nodes: BTreeMap<PathBuf, Node>,
    inodes: u64,
}

impl Default for Memory {
    fn default() -> Self {
        let mut root = Self { nodes: BTreeMap::new(), inodes: 0 };
        root.insert(PathBuf::from("/"), Thing::Directory, Attributes::root(0o755));
        root
    }
}

impl Memory {
    /// A Debian root, much shortened, with links that lead astray.
    pub fn debian() -> Self {
        let mut root = Self::default();
        root.file("/etc/passwd", b"root:x:0:0:root:/root:/bin/bash\ngames:x:5:60:games:/usr/games:/bin/sh\n");
        root.file("/etc/group", b"root:x:0:\nadm:x:4:\nshadow:x:42:\ngames:x:60:\nusers:x:100:\n");
        root.file("/etc/shadow", b"root:*:20000:0:99999:7:::\ngames:*:20000:0:99999:7:::\n");
        root.file("/etc/gshadow", b"root:*::\nadm:*::\nshadow:*::\ngames:*::\nusers:*::\n");
        root.file("/etc/subuid", b"");
        root.file("/etc/login.defs", b"USERGROUPS_ENAB yes\nHOME_MODE 0700\n");
        root.file("/etc/default/useradd", b"SHELL=/bin/sh\n");
        root.file("/etc/skel/.profile", b"umask\n");
        root.directory("/home");
        root.directory("/usr/games");
        root.directory("/var/mail");
        root.link("/lib", "usr/lib");
        root.link("/up", "../../../etc");
        root.link("/loop", "loop");
        root.link("/abs", "/usr/./../var//mail");
        root.link("/dangling", "nowhere/at/all");
        let unit = b"[Install]\nWantedBy=multi-user.target\nAlias=b.service\nAlso=a@x.service\n";
        root.file("/usr/lib/systemd/system/a.service", unit);
        let template = b"[Install]\nDefaultInstance=d\nRequiredBy=%i.target\n";
        root.file("/usr/lib/systemd/system/a@.service", template);
        root.link("/etc/systemd/system/a.target.wants/a.service", "/lib/systemd/system/a.service");
        root.link("/etc/systemd/system/masked.service", "/dev/null");
        root
    }

    /// Puts a file of root's, with the directories above it.
    pub fn file(&mut self, path: &str, contents: &[u8]) {
        self.add(path, Thing::File(contents.to_vec()), 0o644);
    }

    /// Puts a symbolic link, with the directories above it.
    pub fn link(&mut self, path: &str, target: &str) {
        self.add(path, Thing::Link(target.into()), 0o777);
    }

    /// Puts a directory, with those above it.
    pub fn directory(&mut self, path: &str) {
        self.add(path, Thing::Directory, 0o755);
    }

    fn add(&mut self, path: &str, thing: Thing, mode: u32) {
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
        self.insert(path, thing, Attributes::root(mode));
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
        self.nodes.insert(path, Node { thing, attributes, inode: self.inodes });
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
        assert!(super::is_clean(path), "planning asks for {}", path.display());
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
            let (kind, size) = match &node.thing {
                Thing::Directory => (Kind::Directory, 4096),
                Thing::File(bytes) => (Kind::File, bytes.len() as u64),
                Thing::Link(target) => (Kind::Symlink, target.as_os_str().len() as u64),
            };
            Stat { kind, attributes: node.attributes, size, identity: (1, node.inode) }
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
            Some(Thing::File(bytes)) => Ok(bytes.clone()),
            other => panic!("{} is not a file: {other:?}", path.display()),
        }
    }

    fn list(&self, path: &Path) -> Result<Vec<OsString>> {
        match self.look_up(path)?.map(|node| &node.thing) {
            Some(Thing::Directory) => {}
            other => panic!("{} is not a directory: {other:?}", path.display()),
        }
        let below = self.nodes.range(path.to_owned()..).take_while(|(at, _)| at.starts_with(path));
        let children = below.filter(|(at, _)| at.parent() == Some(path));
        Ok(children.filter_map(|(at, _)| at.file_name()).map(OsString::from).collect())
    }
}
