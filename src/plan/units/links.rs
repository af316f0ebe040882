//! The links among the units, each found by its name and by what it points at. They are looked up once: every unit that
//! is to be disabled asks for them.

use std::path::{Path, PathBuf};

use super::load::{self, CONFIG};
use super::names::Name;
use crate::change::Kind;
use crate::error::Result;
use crate::plan::Tree;
use crate::plan::map::Map;

/// By what a link is found. The first four are for links right in a directory of units or in one of its `.wants` and the
/// like, the others for all links below the configuration.
#[derive(Clone, Copy)]
enum By {
    /// Its name, for one in `.wants` and the like.
    WantedName,
    /// The template of that name.
    WantedTemplate,
    /// Its name, for one right in the directory.
    TopName,
    /// The last component of its target, for one right in the directory.
    TopTarget,
    /// Its name.
    Name,
    /// The template of its name.
    Template,
    /// The last component of what it leads to in the end.
    EndName,
    /// The path of what it leads to in the end.
    End,
    /// The path of its target, which may be a link as well.
    Target,
}

struct Link {
    path: PathBuf,
    name: String,
    /// The last component of its target.
    target_name: String,
    is_gone: bool,
}

/// What tells that a link is to go.
enum Mark {
    /// The name of a unit that is to be disabled.
    Unit(String),
    /// The path of a link that went.
    Path(PathBuf),
}

/// All links among the units of a root.
pub(super) struct Links {
    /// Where systemd looks for units, first match first.
    pub directories: Vec<&'static Path>,
    all: Vec<Link>,
    found: Map<Vec<usize>>,
    /// How many names each directory below the configuration holds, by its path.
    names: Map<usize>,
    config: PathBuf,
}

impl Links {
    /// Looks them up.
    pub fn read(tree: &Tree) -> Result<Self> {
        let directories = load::directories(tree)?;
        let config = tree.resolve(Path::new(CONFIG))?;
        let mut links =
            Self { directories, all: Vec::new(), found: Map::default(), names: Map::default(), config };
        for number in 0..links.directories.len() {
            links.read_directory(number, tree)?;
        }
        links.read_config(tree)?;
        Ok(links)
    }

    /// Takes in what is right in a directory of units and in its `.wants` and the like.
    fn read_directory(&mut self, number: usize, tree: &Tree) -> Result<()> {
        let Some(directory) = self.directories.get(number) else { return Ok(()) };
        let at = tree.resolve(directory)?;
        for (name, kind) in entries(&at, tree)?.into_iter().filter(|(name, _)| !name.is_empty()) {
            let path = at.join(&name);
            let wants = [".wants", ".requires", ".upholds"].iter().any(|suffix| name.ends_with(suffix));
            if kind == Kind::Directory && wants {
                for (name, kind) in entries(&path, tree)? {
                    if kind != Kind::Symlink {
                        continue;
                    }
                    let link = self.add(path.join(&name), &name, String::new());
                    self.find_by(number, By::WantedName, name.as_bytes(), link);
                    if let Some(template) = Name::parse(&name).and_then(Name::template) {
                        self.find_by(number, By::WantedTemplate, template.as_bytes(), link);
                    }
                }
            } else if kind == Kind::Symlink {
                let target = tree.read_link(&path)?;
                let target = load::file_name(&target).to_owned();
                let link = self.add(path, &name, target.clone());
                self.find_by(number, By::TopName, name.as_bytes(), link);
                self.find_by(number, By::TopTarget, target.as_bytes(), link);
            }
        }
        Ok(())
    }

    /// Takes in all links below the configuration that may have to go.
    fn read_config(&mut self, tree: &Tree) -> Result<()> {
        let mut directories = vec![self.config.clone()];
        while let Some(directory) = directories.pop() {
            let entries = entries(&directory, tree)?;
            self.names.insert(directory.as_os_str().as_encoded_bytes(), entries.len());
            for (name, kind) in entries.into_iter().filter(|(name, _)| !name.is_empty()) {
                let path = directory.join(&name);
                match (kind, Name::parse(&name)) {
                    (Kind::Directory, _) => directories.push(path),
                    (Kind::Symlink, Some(parts)) => self.add_to_config(path, &name, parts, tree)?,
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn add_to_config(&mut self, path: PathBuf, name: &str, parts: Name, tree: &Tree) -> Result<()> {
        let target = path.parent().unwrap_or(Path::new("/")).join(tree.read_link(&path)?);
        let end = load::unless_loop(tree.resolve(&path))?;
        let target = load::unless_loop(tree.resolve_parent(&target))?;
        // The same link may be known from its directory: both are marked as gone.
        let link = self.add(path, name, String::new());
        self.find_by(0, By::Name, name.as_bytes(), link);
        if let Some(template) = parts.template() {
            self.find_by(0, By::Template, template.as_bytes(), link);
        }
        if let Some(end) = end {
            self.find_by(0, By::EndName, load::file_name(&end).as_bytes(), link);
            self.find_by(0, By::End, end.as_os_str().as_encoded_bytes(), link);
        }
        if let Some(target) = target {
            self.find_by(0, By::Target, target.as_os_str().as_encoded_bytes(), link);
        }
        Ok(())
    }

    /// Adds a link, or finds it if it is there, and returns its number.
    fn add(&mut self, path: PathBuf, name: &str, target_name: String) -> usize {
        let number = self.all.len();
        let key = [b"/", path.as_os_str().as_encoded_bytes()].concat();
        if let Some([known]) = self.found.get(&key).map(Vec::as_slice) {
            return *known;
        }
        self.found.insert(&key, vec![number]);
        self.all.push(Link { path, name: name.to_owned(), target_name, is_gone: false });
        number
    }

    fn find_by(&mut self, directory: usize, by: By, text: &[u8], link: usize) {
        let key = key(directory, by, text);
        match self.found.get_mut(&key) {
            Some(links) => links.push(link),
            None => drop(self.found.insert(&key, vec![link])),
        }
    }

    fn find(&self, directory: usize, by: By, text: &[u8]) -> impl Iterator<Item = &Link> {
        let links = self.found.get(&key(directory, by, text)).into_iter().flatten();
        links.filter_map(|link| self.all.get(*link)).filter(|link| !link.is_gone)
    }

    /// Whether a link in `.wants` and the like of directory number `directory` is called `name`.
    pub fn is_wanted(&self, directory: usize, name: &str) -> bool {
        self.find(directory, By::WantedName, name.as_bytes()).next().is_some()
    }

    /// The same for an instance of the template `name`.
    pub fn is_wanted_as_instance(&self, directory: usize, name: &str) -> bool {
        self.find(directory, By::WantedTemplate, name.as_bytes()).next().is_some()
    }

    /// The last component of the target of the link `name` in directory number `directory`.
    pub fn target(&self, directory: usize, name: &str) -> Option<&str> {
        self.find(directory, By::TopName, name.as_bytes()).next().map(|link| link.target_name.as_str())
    }

    /// The names of the links in directory number `directory` whose targets have `name` as their last component.
    pub fn pointing_at(&self, directory: usize, name: &str) -> impl Iterator<Item = &str> {
        self.find(directory, By::TopTarget, name.as_bytes()).map(|link| link.name.as_str())
    }

    /// Plans that the links below the configuration are gone that have a name of `units`, or lead to one of them. A link
    /// to a link that went goes too. Returns the names of the links.
    pub fn remove(&mut self, units: Vec<String>, tree: &mut Tree) -> Vec<String> {
        let mut marks: Vec<Mark> = units.into_iter().map(Mark::Unit).collect();
        let mut removed = Vec::new();
        while let Some(mark) = marks.pop() {
            let (text, all): (&[u8], &[By]) = match &mark {
                Mark::Unit(name) => (name.as_bytes(), &[By::Name, By::Template, By::EndName]),
                Mark::Path(path) => (path.as_os_str().as_encoded_bytes(), &[By::End, By::Target]),
            };
            for by in all {
                // Taken out: what is gone need not be looked at again.
                let links = self.found.get_mut(&key(0, *by, text)).map(std::mem::take).unwrap_or_default();
                for number in links {
                    let Some(link) = self.all.get_mut(number) else { continue };
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

/// Counts one name less in the directory of `path`, and plans that the directory is gone if that was the last one.
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

fn key(directory: usize, by: By, text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(directory).unwrap_or(u8::MAX), by as u8], text].concat()
}

/// What is in the directory at `at`, which may be absent. Names that are not text cannot be units, and are empty here.
fn entries(at: &Path, tree: &Tree) -> Result<Vec<(String, Kind)>> {
    let mut entries = Vec::new();
    if tree.stat(at)?.is_some_and(|stat| stat.kind == Kind::Directory) {
        for name in tree.list(at)? {
            if let Some(stat) = tree.stat(&at.join(&name))? {
                entries.push((name.into_string().unwrap_or_default(), stat.kind));
            }
        }
    }
    Ok(entries)
}
