//! The root as it will be: the view of the root with the planned operations laid over it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::Planned;
use super::map::Map;
use crate::change::{Attributes, Kind, Stat, View};
use crate::change::{Contents, Op, Piece};
use crate::error::{Error, Reason, Result, shorten};

/// As many symbolic links as the kernel follows in one path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// Directories inside of directories, deeper than anybody makes them: the time that a path takes grows with the square
/// of its depth.
const MAX_STEPS: usize = 256;
/// Files that planning itself reads (account files, units): none is anywhere near this large.
const READ_LIMIT: u64 = 16 << 20;
/// As many warnings are kept.
const MOST_WARNINGS: usize = 20;
/// The most bytes of a warning.
const MOST_OF_WARNING: usize = 800;

/// What is planned at a path.
#[derive(Debug, Clone)]
enum Node {
    /// Taken away, or never there.
    Gone,
    /// A directory; `backing` is where its present contents are in the view.
    Directory { attributes: Attributes, backing: Option<PathBuf> },
    /// A file that operation number `op` puts.
    File { attributes: Attributes, op: usize },
    /// A symbolic link.
    Symlink { target: PathBuf, uid: u32, gid: u32 },
    /// What the view has at `at`, perhaps with other attributes.
    Kept { at: PathBuf, attributes: Attributes },
}

/// The overlay and the operations that make it so, in order.
pub struct Tree<'a, 'v> {
    view: &'v dyn View,
    /// What the view told of the parents that were followed: most paths of a config share them.
    parents: RefCell<Map<Option<Kind>>>,
    /// By directory and name: the bytes of resolved paths are enough.
    nodes: Map<Map<Node>>,
    ops: Vec<Op<'a>>,
    warnings: Vec<String>,
    /// How many warnings there were beside these.
    untold: usize,
    replaced_defaults: Vec<PathBuf>,
}

impl<'a, 'v> Tree<'a, 'v> {
    /// The root as it is.
    pub fn new(view: &'v dyn View) -> Self {
        Self {
            view,
            parents: RefCell::default(),
            nodes: Map::default(),
            ops: Vec::new(),
            warnings: Vec::new(),
            untold: 0,
            replaced_defaults: Vec::new(),
        }
    }

    /// Keeps a warning for the config's author; nothing fails. A warning is told once, and of many only the first
    /// ones: the rest is counted.
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

    /// Ends the planning.
    pub fn into_planned(mut self) -> Planned<'a> {
        if self.untold > 0 {
            self.warnings.push(format!("and {} more warnings", self.untold));
        }
        Planned { ops: self.ops, warnings: self.warnings, replaced_defaults: self.replaced_defaults }
    }

    fn node(&self, path: &Path) -> Option<&Node> {
        let (directory, name) = split(path);
        self.nodes.get(directory)?.get(name)
    }

    fn set_node(&mut self, path: &Path, node: Node) {
        let (directory, name) = split(path);
        if let Some(names) = self.nodes.get_mut(directory) {
            names.insert(name, node);
        } else {
            let mut names = Map::default();
            names.insert(name, node);
            self.nodes.insert(directory, names);
        }
    }

    /// What will stand at `path`, whose parents are resolved; the last component is not followed.
    pub fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        match self.node(path) {
            Some(Node::Gone) => Ok(None),
            Some(Node::Directory { attributes, backing }) => {
                let identity = match backing {
                    Some(at) => self.view.stat(at)?.map_or((0, 0), |stat| stat.identity),
                    None => (0, 0),
                };
                Ok(Some(Stat { kind: Kind::Directory, attributes: *attributes, size: 0, identity }))
            }
            Some(Node::File { attributes, .. }) => {
                Ok(Some(Stat { kind: Kind::File, attributes: *attributes, size: 0, identity: (0, 0) }))
            }
            Some(Node::Symlink { uid, gid, .. }) => {
                let attributes = Attributes { uid: *uid, gid: *gid, mode: 0o777 };
                Ok(Some(Stat { kind: Kind::Symlink, attributes, size: 0, identity: (0, 0) }))
            }
            Some(Node::Kept { at, attributes }) => {
                Ok(self.view.stat(at)?.map(|stat| Stat { attributes: *attributes, ..stat }))
            }
            None => match self.backing(path) {
                Some(at) => self.view.stat(&at),
                None => Ok(None),
            },
        }
    }

    /// What stood at `path` before anything was planned.
    pub fn was(&self, path: &Path) -> Result<Option<Stat>> {
        self.view.stat(path)
    }

    /// Where the view has what will stand at `path`, for a path without a node of its own.
    fn backing(&self, path: &Path) -> Option<PathBuf> {
        for ancestor in path.ancestors().skip(1) {
            match self.node(ancestor) {
                None => {}
                Some(Node::Directory { backing: Some(at), .. } | Node::Kept { at, .. }) => {
                    return Some(at.join(path.strip_prefix(ancestor).ok()?));
                }
                Some(_) => return None,
            }
        }
        Some(path.to_owned())
    }

    /// The target of the symbolic link that will stand at `path`.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf> {
        match self.node(path) {
            Some(Node::Symlink { target, .. }) => Ok(target.clone()),
            Some(Node::Kept { at, .. }) => self.view.read_link(at),
            _ => self.view.read_link(&self.backing(path).unwrap_or_else(|| path.to_owned())),
        }
    }

    /// The names that will stand in the directory at `path`, sorted.
    pub fn list(&self, path: &Path) -> Result<Vec<OsString>> {
        let at = match self.node(path) {
            None => self.backing(path),
            Some(Node::Directory { backing, .. }) => backing.clone(),
            Some(Node::Kept { at, .. }) => Some(at.clone()),
            Some(_) => None,
        };
        let mut names = match at {
            Some(at) if self.view.stat(&at)?.is_some() => self.view.list(&at)?,
            _ => Vec::new(),
        };
        for (name, node) in self.nodes.get(bytes(path)).into_iter().flat_map(Map::iter) {
            let name = OsStr::from_bytes(name);
            match (names.binary_search_by(|there| there.as_os_str().cmp(name)), node) {
                (Ok(index), Node::Gone) => drop(names.remove(index)),
                (Err(index), node) if !matches!(node, Node::Gone) => names.insert(index, name.to_owned()),
                _ => {}
            }
        }
        Ok(names)
    }

    /// What the regular file at `path` will hold; `None` where there is none. Links are not followed.
    pub fn read(&self, path: &Path) -> Result<Option<Cow<'_, [u8]>>> {
        let from_view = |at: &Path| -> Result<Option<Cow<'_, [u8]>>> {
            match self.view.stat(at)? {
                Some(stat) if stat.kind == Kind::File => {
                    self.view.read(at, READ_LIMIT).map(|bytes| Some(Cow::Owned(bytes)))
                }
                _ => Ok(None),
            }
        };
        match self.node(path) {
            Some(Node::File { op, .. }) => match self.ops.get(*op) {
                Some(Op::File { contents, .. }) => self.join(contents).map(Some),
                _ => Ok(None),
            },
            Some(Node::Kept { at, .. }) => from_view(at),
            Some(_) => Ok(None),
            None => match self.backing(path) {
                Some(at) => from_view(&at),
                None => Ok(None),
            },
        }
    }

    /// What the file at `path` will hold, as pieces for another file: used to append to it.
    pub fn contents(&self, path: &Path) -> Result<Contents<'a>> {
        match self.node(path) {
            Some(Node::File { op, .. }) => match self.ops.get(*op) {
                Some(Op::File { contents, .. }) => Ok(contents.clone()),
                _ => Ok(Vec::new()),
            },
            Some(Node::Kept { at, .. }) => Ok(vec![Piece::Existing(at.clone())]),
            Some(_) => Ok(Vec::new()),
            None => Ok(self.backing(path).map(Piece::Existing).into_iter().collect()),
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
                Piece::Source(source) => joined.extend_from_slice(&source.read(READ_LIMIT)?),
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

    /// Follows the links in all components of `path` but the last, as a process inside the root would.
    /// A component that does not exist is taken as it is, and so is all that follows it.
    pub fn resolve_parent(&self, path: &Path) -> Result<PathBuf> {
        let mut links = 0;
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(self.follow(parent, &mut links)?.join(name)),
            _ => Ok(PathBuf::from("/")),
        }
    }

    /// Follows the links in all components of `path`.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf> {
        self.follow(path, &mut 0)
    }

    fn follow(&self, path: &Path, links: &mut usize) -> Result<PathBuf> {
        let mut resolved = PathBuf::from("/");
        // The components still to go, the next one last.
        let mut rest: Vec<OsString> = steps(path);
        while let Some(step) = rest.pop() {
            if rest.len() > MAX_STEPS {
                let length = path.as_os_str().len();
                let what = format!("a path of {length} bytes is more than {MAX_STEPS} directories deep");
                return Err(Error::new(Reason::ConfigInvalid, what));
            }
            if step == ".." {
                resolved.pop();
                continue;
            }
            let next = resolved.join(&step);
            if self.parent_kind(&next)? != Some(Kind::Symlink) {
                resolved = next;
                continue;
            }
            *links = links.saturating_add(1);
            if *links > MAX_LINKS {
                return Err(Error::new(
                    Reason::Conflict,
                    format!("resolve {} in the root: too many levels of symbolic links", path.display()),
                ));
            }
            let target = self.read_link(&next)?;
            if target.is_absolute() {
                resolved = PathBuf::from("/");
            }
            rest.extend(steps(&target));
        }
        Ok(resolved)
    }

    /// The kind of what will stand at `path`; the view is asked only once.
    fn parent_kind(&self, path: &Path) -> Result<Option<Kind>> {
        match self.node(path) {
            Some(Node::Directory { .. }) => return Ok(Some(Kind::Directory)),
            Some(_) => return Ok(self.stat(path)?.map(|stat| stat.kind)),
            None => {}
        }
        let Some(at) = self.backing(path) else { return Ok(None) };
        if let Some(known) = self.parents.borrow().get(bytes(&at)) {
            return Ok(*known);
        }
        let kind = self.view.stat(&at)?.map(|stat| stat.kind);
        self.parents.borrow_mut().insert(bytes(&at), kind);
        Ok(kind)
    }

    /// Plans the directories above `path` that do not exist yet: root's, 0755.
    pub fn make_parents(&mut self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent() else { return Ok(()) };
        match self.parent_kind(parent)? {
            Some(Kind::Directory) => Ok(()),
            Some(kind) => Err(Error::new(
                Reason::Conflict,
                format!("make directory {} in the root: {} stands there", parent.display(), kind.word()),
            )),
            None => {
                self.make_parents(parent)?;
                self.put_directory(parent.to_owned(), Attributes::root(0o755));
                Ok(())
            }
        }
    }

    /// Plans a directory, new or existing, with its attributes.
    pub fn put_directory(&mut self, path: PathBuf, attributes: Attributes) {
        let backing = match self.node(&path) {
            Some(Node::Directory { backing, .. }) => backing.clone(),
            Some(_) => None,
            // Where the view is known to have nothing, it need not be asked for what is below.
            None => self.backing(&path).filter(|at| self.parents.borrow().get(bytes(at)) != Some(&None)),
        };
        self.set_node(&path, Node::Directory { attributes, backing });
        self.ops.push(Op::Directory { path, attributes });
    }

    /// Plans a file in place of what is there, except a directory.
    pub fn put_file(&mut self, path: PathBuf, contents: Contents<'a>, attributes: Attributes) {
        self.set_node(&path, Node::File { attributes, op: self.ops.len() });
        self.ops.push(Op::File { path, contents, attributes });
    }

    /// Plans a symbolic link in place of what is there, except a directory.
    pub fn put_symlink(&mut self, path: PathBuf, target: PathBuf, uid: u32, gid: u32) {
        self.set_node(&path, Node::Symlink { target: target.clone(), uid, gid });
        self.ops.push(Op::Symlink { path, target, uid, gid });
    }

    /// Plans a second name for the file at `target`.
    pub fn put_hard_link(&mut self, path: PathBuf, target: PathBuf) -> Result<()> {
        let node = match self.node(&target) {
            Some(node) => node.clone(),
            None => match (self.stat(&target)?, self.backing(&target)) {
                (Some(stat), Some(at)) => Node::Kept { at, attributes: stat.attributes },
                _ => Node::Gone,
            },
        };
        self.set_node(&path, node);
        self.ops.push(Op::HardLink { path, target });
        Ok(())
    }

    /// Plans other attributes for what is there.
    pub fn set_attributes(&mut self, path: PathBuf, attributes: Attributes) -> Result<()> {
        let node = match self.node(&path).cloned() {
            Some(Node::Directory { backing, .. }) => Node::Directory { attributes, backing },
            Some(Node::File { op, .. }) => Node::File { attributes, op },
            Some(Node::Symlink { target, .. }) => {
                Node::Symlink { target, uid: attributes.uid, gid: attributes.gid }
            }
            Some(Node::Kept { at, .. }) => Node::Kept { at, attributes },
            Some(Node::Gone) => Node::Gone,
            None => match (self.stat(&path)?, self.backing(&path)) {
                (Some(stat), Some(at)) if stat.kind == Kind::Directory => {
                    Node::Directory { attributes, backing: Some(at) }
                }
                (Some(_), Some(at)) => Node::Kept { at, attributes },
                _ => Node::Gone,
            },
        };
        self.set_node(&path, node);
        self.ops.push(Op::Attributes { path, attributes });
        Ok(())
    }

    /// Plans that nothing stands at `path`, nor below it.
    pub fn remove(&mut self, path: PathBuf) {
        self.forget_below(&path);
        self.set_node(&path, Node::Gone);
        self.ops.push(Op::Remove { path });
    }

    /// Plans another name for the directory or file at `from`, which must be the root's own, unplanned.
    pub fn rename(&mut self, from: PathBuf, to: PathBuf) -> Result<()> {
        if let (Some(stat), Some(at)) = (self.stat(&from)?, self.backing(&from)) {
            let attributes = stat.attributes;
            let node = match stat.kind {
                Kind::Directory => Node::Directory { attributes, backing: Some(at) },
                _ => Node::Kept { at, attributes },
            };
            self.set_node(&to, node);
        }
        self.forget_below(&from);
        self.set_node(&from, Node::Gone);
        self.ops.push(Op::Rename { from, to });
        Ok(())
    }

    fn forget_below(&mut self, path: &Path) {
        self.nodes.clear_where(|directory| Path::new(OsStr::from_bytes(directory)).starts_with(path));
    }
}

/// The directory that holds `path`, and the last component; two empty ones for the root itself.
fn split(path: &Path) -> (&[u8], &[u8]) {
    (path.parent().map_or(b"", bytes), path.file_name().unwrap_or_default().as_bytes())
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// The components of `path`, last first; the root itself and `.` are left out.
fn steps(path: &Path) -> Vec<OsString> {
    let mut steps: Vec<OsString> = path
        .components()
        .filter_map(|component| match component {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect();
    steps.reverse();
    steps
}
