//! The root as it will be: the view of the root with the planned operations laid over it.

mod places;
mod shared;

use std::borrow::Cow;
use std::cell::RefCell;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use self::places::{Base, Found, Node, Place, Seen, Step, components, enter, key, next, start};
use super::map::Map;
use super::{Part, Planned};
use crate::change::{Attributes, Kind, Stat, View};
use crate::change::{Contents, Op, Piece};
use crate::error::{Error, Reason, Result, shorten};

/// The most symbolic links that the kernel follows in one path (`path_resolution(7)`).
const MAX_LINKS: usize = 40;
/// The most directories in one path. Each missing directory becomes an operation that holds its whole path, so the
/// depth must be bounded.
const MAX_STEPS: usize = 256;
/// The most bytes of a file that planning itself reads, such as account files and units. Real ones are far smaller.
const READ_LIMIT: u64 = 16 << 20;
/// The most warnings that are kept.
const MOST_WARNINGS: usize = 20;
/// The most bytes of a warning.
const MOST_OF_WARNING: usize = 800;

/// The overlay, and the operations that produce it, in order.
pub struct Tree<'a, 'v> {
    view: &'v dyn View,
    /// The places, by the number of the directory's place and the name.
    places: RefCell<Map<Place>>,
    ops: Vec<Op<'a>>,
    warnings: Vec<String>,
    /// The number of warnings that were not kept.
    untold: usize,
    replaced_defaults: Vec<PathBuf>,
    parts: Vec<(usize, Part)>,
    /// The planned names of files that have more than one name.
    names: Vec<shared::Name>,
}

impl<'a, 'v> Tree<'a, 'v> {
    /// Returns the tree of a root without any operation.
    pub fn new(view: &'v dyn View) -> Self {
        let mut places = Map::default();
        places.insert(b"", Place::default());
        Self {
            view,
            places: RefCell::new(places),
            ops: Vec::new(),
            warnings: Vec::new(),
            untold: 0,
            replaced_defaults: Vec::new(),
            parts: Vec::new(),
            names: Vec::new(),
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

    fn walk(&self, path: &Path) -> Step {
        let places = self.places.borrow();
        let mut step = start(&places);
        for (name, length) in components(bytes(path)) {
            step = next(&places, step, name, length);
        }
        step
    }

    /// Walks to `path` and adds the missing places on the way.
    fn enter(&self, path: &Path) -> Step {
        let mut places = self.places.borrow_mut();
        let mut step = start(&places);
        for (name, length) in components(bytes(path)) {
            step = enter(&mut places, step, name, length);
        }
        step
    }

    fn planned(&self, step: Step) -> Option<Node> {
        self.places.borrow().at(step.number?)?.planned.clone()
    }

    fn set_node(&mut self, path: &Path, node: Node) {
        let step = self.enter(path);
        if let Some(place) = step.number.and_then(|number| self.places.get_mut().at_mut(number)) {
            place.planned = Some(node);
        }
    }

    /// Returns what will stand at `path`, `None` if nothing will. The parents must be resolved. The last component is
    /// not followed.
    pub fn stat(&self, path: &Path) -> Result<Option<Stat>> {
        let step = self.walk(path);
        match self.planned(step) {
            Some(Node::Gone) => Ok(None),
            Some(Node::Directory { attributes, backing }) => {
                let identity = match backing {
                    Some(at) => self.view.stat(&at)?.map_or((0, 0), |stat| stat.identity),
                    None => (0, 0),
                };
                Ok(Some(Stat { kind: Kind::Directory, attributes, size: 0, identity, links: 1 }))
            }
            Some(Node::File { attributes, .. }) => {
                Ok(Some(Stat { kind: Kind::File, attributes, size: 0, identity: (0, 0), links: 1 }))
            }
            Some(Node::Symlink { uid, gid, .. }) => {
                let attributes = Attributes { uid, gid, mode: 0o777 };
                Ok(Some(Stat { kind: Kind::Symlink, attributes, size: 0, identity: (0, 0), links: 1 }))
            }
            Some(Node::Kept { at, attributes }) => {
                Ok(self.view.stat(&at)?.map(|stat| Stat { attributes, ..stat }))
            }
            None => self.stat_unplanned(step, path),
        }
    }

    fn stat_unplanned(&self, step: Step, path: &Path) -> Result<Option<Stat>> {
        {
            let places = self.places.borrow();
            match step.number.and_then(|number| places.at(number)).map(|place| &place.seen) {
                Some(Seen::Nothing) => return Ok(None),
                Some(Seen::Stat(stat)) => return Ok(Some(**stat)),
                _ => {}
            }
        }
        let Some(at) = self.backing(step, path) else { return Ok(None) };
        let stat = self.view.stat(&at)?;
        let mut places = self.places.borrow_mut();
        let listed = |number: Option<usize>| {
            number.and_then(|number| places.at(number)).is_some_and(|place| place.is_listed)
        };
        let is_listed = listed(step.parent) || listed(step.number);
        if let Some(place) = step.number.and_then(|number| places.at_mut(number)) {
            match (stat, &place.seen) {
                (None, _) => place.seen = Seen::Nothing,
                (Some(stat), Seen::Unknown | Seen::Kind(_)) if is_listed => {
                    place.seen = Seen::Stat(Box::new(stat));
                }
                _ => {}
            }
        }
        Ok(stat)
    }

    /// Returns what stood at `path` before anything was planned.
    pub fn was(&self, path: &Path) -> Result<Option<Stat>> {
        self.view.stat(path)
    }

    /// Returns where the view holds what will stand at `path`, if `path` has no node of its own.
    fn backing(&self, step: Step, path: &Path) -> Option<PathBuf> {
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
                    Node::Directory { backing: Some(at), .. } | Node::Kept { at, .. } if rest.is_empty() => {
                        Some(at.clone())
                    }
                    Node::Directory { backing: Some(at), .. } | Node::Kept { at, .. } => Some(at.join(rest)),
                    _ => None,
                }
            }
            Base::Nowhere => None,
        }
    }

    /// Returns the target of the symbolic link that will stand at `path`.
    pub fn read_link(&self, path: &Path) -> Result<PathBuf> {
        let step = self.walk(path);
        match self.planned(step) {
            Some(Node::Symlink { target, .. }) => return Ok(target),
            Some(Node::Kept { at, .. }) => return self.view.read_link(&at),
            _ => {}
        }
        let places = self.places.borrow();
        if let Some(Place { seen: Seen::Link(target), .. }) = step.number.and_then(|number| places.at(number))
        {
            return Ok(target.clone());
        }
        drop(places);
        self.view.read_link(&self.backing(step, path).unwrap_or_else(|| path.to_owned()))
    }

    /// Lists the directory at `path`, so that the view need not be asked for each name in it.
    pub fn look_into(&self, path: &Path) -> Result<()> {
        let step = self.enter(path);
        let at = match self.planned(step) {
            None => self.backing(step, path),
            Some(Node::Directory { backing, .. }) => backing,
            Some(_) => return Ok(()),
        };
        let (Some(number), Some(at)) = (step.number, at) else { return Ok(()) };
        if self.places.borrow().at(number).is_none_or(|place| place.is_listed) {
            return Ok(());
        }
        if self.view.stat(&at)?.is_none_or(|stat| stat.kind != Kind::Directory) {
            return Ok(());
        }
        self.list_view(number, Some(&at))
    }

    /// Returns the names that will stand in the directory at `path`, sorted.
    pub fn list(&self, path: &Path) -> Result<Vec<OsString>> {
        let step = self.enter(path);
        let Some(number) = step.number else { return Ok(Vec::new()) };
        let at = match self.planned(step) {
            None => self.backing(step, path),
            Some(Node::Directory { backing, .. }) => backing,
            Some(Node::Kept { at, .. }) => Some(at),
            Some(_) => None,
        };
        self.list_view(number, at.as_deref())?;
        let places = self.places.borrow();
        let stands = |number: usize| {
            places.at(number).is_some_and(|place| match &place.planned {
                Some(Node::Gone) => false,
                Some(_) => true,
                None => !matches!(place.seen, Seen::Nothing),
            })
        };
        let prefix = key(number, b"");
        let children = places.beginning_with(&prefix).filter(|(_, number)| stands(*number));
        let name =
            |(key, _): (&[u8], usize)| key.get(prefix.len()..).map(|name| OsStr::from_bytes(name).to_owned());
        Ok(children.filter_map(name).collect())
    }

    /// Adds a place for each name that the view has in the directory `at`. Place `number` has the contents of `at`.
    fn list_view(&self, number: usize, at: Option<&Path>) -> Result<()> {
        if self.places.borrow().at(number).is_none_or(|place| place.is_listed) {
            return Ok(());
        }
        let mut names = Vec::new();
        if let Some(at) = at {
            if self.view.stat(at)?.is_some() {
                names = self.view.list(at)?;
            }
        }
        let mut places = self.places.borrow_mut();
        // A name that has a place but is not in the list does not exist.
        let prefix = key(number, b"");
        let known: Vec<usize> = places.beginning_with(&prefix).map(|(_, number)| number).collect();
        for child in known {
            if let Some(place) = places.at_mut(child).filter(|place| matches!(place.seen, Seen::Unknown)) {
                place.seen = Seen::Nothing;
            }
        }
        for name in names {
            let key = key(number, name.as_bytes());
            match places.get_mut(&key) {
                Some(place) if matches!(place.seen, Seen::Nothing) => place.seen = Seen::Unknown,
                Some(_) => {}
                None => drop(places.insert(&key, Place::default())),
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
        let from_view = |at: &Path| -> Result<Option<Cow<'_, [u8]>>> {
            match self.view.stat(at)? {
                Some(stat) if stat.kind == Kind::File => {
                    self.view.read(at, READ_LIMIT).map(|bytes| Some(Cow::Owned(bytes)))
                }
                _ => Ok(None),
            }
        };
        let step = self.walk(path);
        match self.planned(step) {
            Some(Node::File { op, .. }) => match self.ops.get(op) {
                Some(Op::File { contents, .. }) => self.join(contents).map(Some),
                _ => Ok(None),
            },
            Some(Node::Kept { at, .. }) => from_view(&at),
            Some(_) => Ok(None),
            None => match self.backing(step, path) {
                Some(at) => from_view(&at),
                None => Ok(None),
            },
        }
    }

    /// Returns the contents of the file that will stand at `path`, as pieces of another file. Appending needs them.
    pub fn contents(&self, path: &Path) -> Result<Contents<'a>> {
        let step = self.walk(path);
        match self.planned(step) {
            Some(Node::File { op, .. }) => match self.ops.get(op) {
                Some(Op::File { contents, .. }) => contents.iter().map(|piece| copied(piece, path)).collect(),
                _ => Ok(Vec::new()),
            },
            Some(Node::Kept { at, .. }) => Ok(vec![Piece::Existing(at)]),
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

    /// Follows the links in all components of `path` but the last, as a process inside the root would. From the first
    /// missing component on, the path is taken as it is.
    pub fn resolve_parent(&self, path: &Path) -> Result<PathBuf> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok(self.resolve(parent)?.join(name)),
            _ => Ok(PathBuf::from("/")),
        }
    }

    /// Follows the links in all components of `path`.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf> {
        let mut links: usize = 0;
        let mut resolved: Vec<u8> = Vec::new();
        // The root and each directory in `resolved`, with the length of `resolved` before that directory.
        let mut steps = vec![(start(&self.places.borrow()), 0)];
        let mut rest: Cow<'_, [u8]> = Cow::Borrowed(bytes(path));
        refuse_depth(path, &rest)?;
        let mut at = 0;
        loop {
            let next = components(rest.get(at..).unwrap_or_default()).next();
            let Some((name, length)) = next.map(|(name, length)| (name.to_vec(), length)) else { break };
            at = at.saturating_add(length);
            if name == b".." {
                // `..` in the root is the root itself.
                if steps.len() > 1 {
                    resolved.truncate(steps.pop().map_or(0, |(_, length)| length));
                }
                continue;
            }
            let before = resolved.len();
            resolved.push(b'/');
            resolved.extend_from_slice(&name);
            let above = steps.last().map_or_else(|| start(&self.places.borrow()), |(step, _)| *step);
            let step = enter(&mut self.places.borrow_mut(), above, &name, resolved.len());
            let Found::Link(target) = self.find(step, &resolved)? else {
                steps.push((step, before));
                continue;
            };
            links = links.saturating_add(1);
            if links > MAX_LINKS {
                return Err(Error::new(
                    Reason::Conflict,
                    format!("resolve {} in the root: too many levels of symbolic links", path.display()),
                ));
            }
            resolved.truncate(if target.is_absolute() { 0 } else { before });
            if target.is_absolute() {
                steps.truncate(1);
            }
            rest = Cow::Owned([bytes(&target), b"/", rest.get(at..).unwrap_or_default()].concat());
            at = 0;
            refuse_depth(path, &rest)?;
        }
        if resolved.is_empty() {
            resolved.push(b'/');
        }
        Ok(PathBuf::from(OsString::from_vec(resolved)))
    }

    /// Returns what will stand at `path`, to which `step` leads. The view is asked at most once.
    fn find(&self, step: Step, path: &[u8]) -> Result<Found> {
        match self.planned(step) {
            Some(Node::Gone) => return Ok(Found::Nothing),
            Some(Node::Directory { .. }) => return Ok(Found::Kind(Kind::Directory)),
            Some(Node::File { .. }) => return Ok(Found::Kind(Kind::File)),
            Some(Node::Symlink { target, .. }) => return Ok(Found::Link(target)),
            Some(Node::Kept { at, .. }) => return Ok(self.look(&at)?.found()),
            None => {}
        }
        let Some(number) = step.number else { return Ok(Found::Nothing) };
        if let Some(found) = self.places.borrow().at(number).and_then(|place| place.seen.known()) {
            return Ok(found);
        }
        let seen = match self.backing_of(step.base, path) {
            Some(at) => self.look(&at)?,
            None => Seen::Nothing,
        };
        let found = seen.found();
        if let Some(place) = self.places.borrow_mut().at_mut(number) {
            place.seen = seen;
        }
        Ok(found)
    }

    /// Asks the view what stands at `at`.
    fn look(&self, at: &Path) -> Result<Seen> {
        Ok(match self.view.stat(at)?.map(|stat| stat.kind) {
            None => Seen::Nothing,
            Some(Kind::Symlink) => Seen::Link(self.view.read_link(at)?),
            Some(kind) => Seen::Kind(kind),
        })
    }

    /// Plans the missing directories above `path`, with owner root and mode 0755.
    pub fn make_parents(&mut self, path: &Path) -> Result<()> {
        let Some(parent) = path.parent().map(bytes) else { return Ok(()) };
        let mut step = start(self.places.get_mut());
        for (name, length) in components(parent) {
            step = enter(self.places.get_mut(), step, name, length);
            let above = parent.get(..length).unwrap_or_default();
            let kind = match self.find(step, above)? {
                Found::Kind(Kind::Directory) => continue,
                Found::Nothing => None,
                Found::Kind(kind) => Some(kind),
                Found::Link(_) => Some(Kind::Symlink),
            };
            let above = Path::new(OsStr::from_bytes(above));
            if let Some(kind) = kind {
                let what =
                    format!("make directory {} in the root: {} stands there", above.display(), kind.word());
                return Err(Error::new(Reason::Conflict, what));
            }
            let attributes = Attributes::root(0o755);
            if let Some(place) = step.number.and_then(|number| self.places.get_mut().at_mut(number)) {
                place.planned = Some(Node::Directory { attributes, backing: None });
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
            Some(Node::Directory { backing, .. }) => backing,
            Some(_) => None,
            // The view is known to have nothing here, so it need not be asked for names below.
            None => {
                let places = self.places.get_mut();
                let place = step.number.and_then(|number| places.at(number));
                let nothing = place.is_some_and(|place| matches!(place.seen, Seen::Nothing));
                if nothing { None } else { self.backing(step, &path) }
            }
        };
        self.set_node(&path, Node::Directory { attributes, backing });
        self.ops.push(Op::Directory { path, attributes });
    }

    /// Plans a file. It replaces anything but a directory.
    pub fn put_file(&mut self, path: PathBuf, contents: Contents<'a>, attributes: Attributes) {
        self.set_node(&path, Node::File { attributes, op: self.ops.len() });
        self.ops.push(Op::File { path, contents, attributes });
    }

    /// Plans a symbolic link. It replaces anything but a directory.
    pub fn put_symlink(&mut self, path: PathBuf, target: PathBuf, uid: u32, gid: u32) {
        self.set_node(&path, Node::Symlink { target: target.clone(), uid, gid });
        self.ops.push(Op::Symlink { path, target, uid, gid });
    }

    /// Plans a second name for the file at `target`.
    pub fn put_hard_link(&mut self, path: PathBuf, target: PathBuf) -> Result<()> {
        let step = self.walk(&target);
        let node = match self.planned(step) {
            Some(node) => node,
            None => match (self.stat(&target)?, self.backing(step, &target)) {
                (Some(stat), Some(at)) => Node::Kept { at, attributes: stat.attributes },
                _ => Node::Gone,
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
            Some(Node::Directory { backing, .. }) => Node::Directory { attributes, backing },
            Some(Node::File { op, .. }) => Node::File { attributes, op },
            Some(Node::Symlink { target, .. }) => {
                Node::Symlink { target, uid: attributes.uid, gid: attributes.gid }
            }
            Some(Node::Kept { at, .. }) => Node::Kept { at, attributes },
            Some(Node::Gone) => Node::Gone,
            None => match (self.stat(&path)?, self.backing(step, &path)) {
                (Some(stat), Some(at)) if stat.kind == Kind::Directory => {
                    Node::Directory { attributes, backing: Some(at) }
                }
                (Some(_), Some(at)) => Node::Kept { at, attributes },
                _ => Node::Gone,
            },
        };
        if let Node::Kept { at, .. } = &node {
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
        self.set_node(&path, Node::Gone);
        self.ops.push(Op::Remove { path });
    }

    /// Plans a new name for the directory or file at `from`. It must come from the root and not be planned itself.
    pub fn rename(&mut self, from: PathBuf, to: PathBuf) -> Result<()> {
        let step = self.walk(&from);
        if let (Some(stat), Some(at)) = (self.stat(&from)?, self.backing(step, &from)) {
            let attributes = stat.attributes;
            let node = match stat.kind {
                Kind::Directory => Node::Directory { attributes, backing: Some(at) },
                _ => Node::Kept { at, attributes },
            };
            // Nothing stood at `to`. What the tree knows of names below `to` is outdated now.
            self.forget_below(&to);
            self.set_node(&to, node);
        }
        self.forget_below(&from);
        self.set_node(&from, Node::Gone);
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
            let prefix = key(directory, b"");
            let below: Vec<usize> = places.beginning_with(&prefix).map(|(_, number)| number).collect();
            for number in below {
                if let Some(place) = places.at_mut(number) {
                    *place = Place::default();
                }
                directories.push(number);
            }
        }
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

fn refuse_depth(path: &Path, rest: &[u8]) -> Result<()> {
    if components(rest).nth(MAX_STEPS.saturating_add(1)).is_none() {
        return Ok(());
    }
    let length = path.as_os_str().len();
    let what = format!("a path of {length} bytes is more than {MAX_STEPS} directories deep");
    Err(Error::new(Reason::ConfigInvalid, what))
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
