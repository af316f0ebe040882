//! The links among the units, indexed by name and by target. They are read once, because every unit that is to be
//! disabled asks for them.

use std::path::{Path, PathBuf};

use super::load::{self, CONFIG};
use super::names::{self, UnitName};
use crate::change::FileKind;
use crate::error::Result;
use crate::map::Map;
use crate::plan::Tree;
use crate::plan::numbers::Numbers;

/// The keys of the index. The first four are for links directly in a unit directory or in its `.wants` and similar
/// directories. The others are for all links below the configuration directory.
#[derive(Clone, Copy)]
enum By {
    /// The name of a link in `.wants` or a similar directory.
    WantedName,
    /// The template of such a name.
    WantedTemplate,
    /// The name of a link directly in a unit directory.
    TopName,
    /// The last component of the target of a link directly in a unit directory.
    TopTarget,
    /// The name of a link, and the last component of the path to which it finally leads.
    Name,
    /// The template of a link's name.
    Template,
    /// The path of a link's target, which may be a link as well, and the path to which it finally leads.
    Leads,
    /// Its own path.
    Path,
}

struct Link {
    path: PathBuf,
    name: String,
    /// The last component of the link's target.
    target_name: String,
    is_gone: bool,
}

/// What marks links for removal.
enum Mark {
    /// The name of a unit that is to be disabled.
    Unit(String),
    /// The path of a link that is removed.
    Path(PathBuf),
}

/// All links among the units of a root.
pub(super) struct Links {
    /// The directories in which systemd looks for units; the first match counts.
    pub directories: Vec<load::UnitDirectory>,
    all: Vec<Link>,
    found: Map<Numbers>,
    /// Whether each of the directories has any link, directly or in `.wants` and the like.
    filled: Vec<bool>,
    /// The number of names in each directory below the configuration directory, by its path.
    names: Map<usize>,
    config: PathBuf,
}

impl Links {
    /// Reads all links.
    pub fn read(tree: &Tree) -> Result<Self> {
        let directories = load::directories(tree)?;
        let config = tree.resolve(Path::new(CONFIG))?;
        let mut links = Self {
            filled: vec![false; directories.len()],
            directories,
            all: Vec::new(),
            found: Map::default(),
            names: Map::default(),
            config,
        };
        for number in 0..links.directories.len() {
            links.read_directory(number, tree)?;
        }
        links.read_config(tree)?;
        Ok(links)
    }

    /// Reads the links directly in a unit directory, and in its `.wants` and similar directories.
    fn read_directory(&mut self, number: usize, tree: &Tree) -> Result<()> {
        let Some(at) = self.directories.get(number).map(|directory| directory.at.clone()) else {
            return Ok(());
        };
        for (name, kind) in entries(&at, tree)?.into_iter().filter(|(name, _)| !name.is_empty()) {
            let path = at.join(&name);
            let wants = [".wants", ".requires", ".upholds"].iter().any(|suffix| name.ends_with(suffix));
            if kind == FileKind::Directory && wants {
                for (name, kind) in entries(&path, tree)? {
                    if kind != FileKind::Symlink {
                        continue;
                    }
                    self.note_links(number);
                    let link = self.add(path.join(&name), &name, String::new());
                    self.find_by(number, By::WantedName, name.as_bytes(), link);
                    if let Some(template) = UnitName::parse(&name).and_then(UnitName::template) {
                        self.find_by(number, By::WantedTemplate, template.as_bytes(), link);
                    }
                }
            } else if kind == FileKind::Symlink {
                let target = tree.read_link(&path)?;
                let target = names::file_name(&target).to_owned();
                self.note_links(number);
                let link = self.add(path, &name, target.clone());
                self.find_by(number, By::TopName, name.as_bytes(), link);
                self.find_by(number, By::TopTarget, target.as_bytes(), link);
            }
        }
        Ok(())
    }

    /// Reads all links below the configuration directory that may have to be removed.
    fn read_config(&mut self, tree: &Tree) -> Result<()> {
        let mut directories = vec![self.config.clone()];
        let mut targets = Targets::default();
        while let Some(directory) = directories.pop() {
            let entries = entries(&directory, tree)?;
            self.names.insert(directory.as_os_str().as_encoded_bytes(), entries.len());
            for (name, kind) in entries.into_iter().filter(|(name, _)| !name.is_empty()) {
                let path = directory.join(&name);
                match (kind, UnitName::parse(&name)) {
                    (FileKind::Directory, _) => directories.push(path),
                    (FileKind::Symlink, Some(parts)) => {
                        let leads = targets.of(&path, tree)?;
                        self.add_to_config(path, &name, parts, &leads);
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Adds the link at `path` below the configuration directory, which leads to the paths `leads`.
    fn add_to_config(&mut self, path: PathBuf, name: &str, parts: UnitName, leads: &[Option<PathBuf>; 2]) {
        // A link may already be known from its directory. Then both entries are marked as removed.
        let link = self.add(path, name, String::new());
        self.find_by(0, By::Name, name.as_bytes(), link);
        if let Some(template) = parts.template() {
            self.find_by(0, By::Template, template.as_bytes(), link);
        }
        let [target, end] = leads;
        for path in leads.iter().flatten() {
            self.find_by(0, By::Leads, path.as_os_str().as_encoded_bytes(), link);
        }
        if let Some(end) = end.as_ref().or(target.as_ref()).map(|end| names::file_name(end)) {
            if end != name {
                self.find_by(0, By::Name, end.as_bytes(), link);
            }
        }
    }

    /// Adds a link if it is new, and returns its number.
    fn add(&mut self, path: PathBuf, name: &str, target_name: String) -> usize {
        let number = self.all.len();
        let key = key(0, By::Path, path.as_os_str().as_encoded_bytes());
        if let Some([known]) = self.found.get(&key).map(Numbers::as_slice) {
            return *known;
        }
        self.found.insert(&key, Numbers::one(number));
        self.all.push(Link { path, name: name.to_owned(), target_name, is_gone: false });
        number
    }

    fn find_by(&mut self, directory: usize, by: By, text: &[u8], link: usize) {
        let key = key(directory, by, text);
        match self.found.get_mut(&key) {
            Some(links) => links.push(link),
            None => drop(self.found.insert(&key, Numbers::one(link))),
        }
    }

    fn find(&self, directory: usize, by: By, text: &[u8]) -> impl Iterator<Item = &Link> {
        let links = self.found.get(&key(directory, by, text)).map(Numbers::as_slice).into_iter().flatten();
        links.filter_map(|link| self.all.get(*link)).filter(|link| !link.is_gone)
    }

    fn note_links(&mut self, directory: usize) {
        if let Some(filled) = self.filled.get_mut(directory) {
            *filled = true;
        }
    }

    /// Returns whether the directory number `directory` has any link, directly or in `.wants` or a similar directory.
    pub fn has_links(&self, directory: usize) -> bool {
        self.filled.get(directory).is_some_and(|filled| *filled)
    }

    /// Returns whether `.wants` or a similar directory of the directory number `directory` has a link called `name`.
    pub fn is_wanted(&self, directory: usize, name: &str) -> bool {
        self.find(directory, By::WantedName, name.as_bytes()).next().is_some()
    }

    /// Returns the same for an instance of the template `name`.
    pub fn is_wanted_as_instance(&self, directory: usize, name: &str) -> bool {
        self.find(directory, By::WantedTemplate, name.as_bytes()).next().is_some()
    }

    /// Returns the last component of the target of the link `name` in the directory number `directory`.
    pub fn target(&self, directory: usize, name: &str) -> Option<&str> {
        self.find(directory, By::TopName, name.as_bytes()).next().map(|link| link.target_name.as_str())
    }

    /// Returns the names of the links in the directory number `directory` whose targets have `name` as their last
    /// component.
    pub fn pointing_at(&self, directory: usize, name: &str) -> impl Iterator<Item = &str> {
        self.find(directory, By::TopTarget, name.as_bytes()).map(|link| link.name.as_str())
    }

    /// Plans the removal of the links below the configuration directory that have a name of `units` or lead to one of
    /// them. A link to a removed link is removed too. Returns the names of the removed links.
    pub fn remove(&mut self, units: Vec<String>, tree: &mut Tree) -> Vec<String> {
        let mut marks: Vec<Mark> = units.into_iter().map(Mark::Unit).collect();
        let mut removed = Vec::new();
        while let Some(mark) = marks.pop() {
            let (text, all): (&[u8], &[By]) = match &mark {
                Mark::Unit(name) => (name.as_bytes(), &[By::Name, By::Template]),
                Mark::Path(path) => (path.as_os_str().as_encoded_bytes(), &[By::Leads]),
            };
            for by in all {
                // Each entry is taken out, so that it is not looked at again.
                let Some(links) = self.found.get_mut(&key(0, *by, text)).map(Numbers::take) else { continue };
                for number in links.as_slice() {
                    let Some(link) = self.all.get_mut(*number) else { continue };
                    if std::mem::replace(&mut link.is_gone, true) {
                        continue;
                    }
                    tree.remove(link.path.clone());
                    removed.push(link.name.clone());
                    leave(&mut self.names, &link.path, &self.config, tree);
                    marks.push(Mark::Path(link.path.clone()));
                }
            }
        }
        removed
    }
}

/// Where links lead.
#[derive(Default)]
struct Targets {
    /// The directory of the last target, and the same with its links resolved. Most links of a directory lead to one other
    /// directory.
    directory: PathBuf,
    resolved: Option<PathBuf>,
}

impl Targets {
    /// Returns the path of the target of the link at `path`, and the path to which it finally leads. What is behind a loop of
    /// links is left out.
    fn of(&mut self, path: &Path, tree: &Tree) -> Result<[Option<PathBuf>; 2]> {
        let link = path.parent().unwrap_or(Path::new("/")).join(tree.read_link(path)?);
        let target = match (link.parent(), link.file_name()) {
            (Some(parent), Some(name)) => {
                if self.directory.as_os_str() != parent.as_os_str() {
                    self.resolved = load::unless_loop(tree.resolve(parent))?;
                    parent.clone_into(&mut self.directory);
                }
                self.resolved.as_ref().map(|directory| directory.join(name))
            }
            _ => load::unless_loop(tree.resolve_parent(&link))?,
        };
        if let Some(target) = &target {
            if tree.kind(target)? != Some(FileKind::Symlink) {
                return Ok([Some(target.clone()), None]);
            }
        }
        Ok([target, load::unless_loop(tree.resolve(path))?])
    }
}

/// Counts one name less in the directory of `path`. Plans the directory's removal if that was the last name.
fn leave(names: &mut Map<usize>, path: &Path, config: &Path, tree: &mut Tree) {
    let mut path = path;
    while let Some(directory) = path.parent().filter(|directory| *directory != config) {
        let Some(count) = names.get_mut(directory.as_os_str().as_encoded_bytes()) else { return };
        *count = count.saturating_sub(1);
        if *count > 0 {
            return;
        }
        tree.remove(directory.to_owned());
        path = directory;
    }
}

/// The last component of a path comes first: most paths have the same directory, which would be compared each time.
fn key(directory: usize, by: By, text: &[u8]) -> Vec<u8> {
    let name = text.rsplit(|byte| *byte == b'/').next().unwrap_or(text);
    [&[u8::try_from(directory).unwrap_or(u8::MAX), by as u8], name, b"/", text].concat()
}

/// Returns the entries of the directory at `at`; none if it does not exist. A name that is not UTF-8 cannot be a unit
/// and becomes an empty name.
pub(super) fn entries(at: &Path, tree: &Tree) -> Result<Vec<(String, FileKind)>> {
    if tree.kind(at)? != Some(FileKind::Directory) {
        return Ok(Vec::new());
    }
    let entries = tree.entries(at)?.into_iter();
    Ok(entries.map(|(name, kind)| (name.into_string().unwrap_or_default(), kind)).collect())
}
