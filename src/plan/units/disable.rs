//! Disabling: whether a unit is enabled, and the links that `systemctl disable` removes.

use std::path::{Path, PathBuf};

use super::load::{self, CONFIG, Fault, Outcome, Units};
use super::names::Name;
use super::section::{State, Unit};
use crate::change::Kind;
use crate::error::Result;
use crate::plan::Tree;

/// Whether `systemctl is-enabled` would succeed for `name`: it has links, is known by another name, or needs none.
pub(super) fn is_enabled(name: &str, tree: &Tree) -> Result<bool> {
    let mut units = Units::default();
    let found = units.add(name, false).and_then(|start| units.follow(start, true, tree));
    let unit = match found {
        Ok(at) => units.get(at),
        Err(Fault::Missing) => None,
        Err(fault) => {
            log::warn!("unit {name}: not disabled: {}", fault.words()?);
            None
        }
    };
    let Some(unit) = unit.filter(|unit| unit.state == State::File) else { return Ok(false) };
    let is_instance = Name::parse(&unit.name).is_some_and(Name::is_instance);
    if name != load::file_name(&unit.path) && !is_instance {
        return Ok(true);
    }
    Ok(match find_links(unit, true, tree)? {
        Found::Enabled => true,
        Found::Linked => false,
        Found::Nothing => find_links(unit, false, tree)? != Found::Nothing || !unit.has_rules(),
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Nothing,
    /// Only the link that brings the unit among the others.
    Linked,
    Enabled,
}

/// Looks for links that enable `unit`; with `known`, only those of names that its `[Install]` asks for.
fn find_links(unit: &Unit, known: bool, tree: &Tree) -> Result<Found> {
    let is_instance = Name::parse(&unit.name).is_some_and(Name::is_instance);
    let mut found = Found::Nothing;
    let mut elsewhere = false;
    // What is in the directories after the unit's own has no effect under the same name.
    let mut hidden = false;
    for directory in load::directories(tree)? {
        let config = directory == Path::new(CONFIG);
        match links_in(unit, known, hidden, directory, tree)? {
            Found::Enabled if config => return Ok(Found::Enabled),
            Found::Enabled => elsewhere = true,
            Found::Linked if config => found = Found::Linked,
            _ => {}
        }
        hidden |= unit.path.starts_with(directory);
    }
    Ok(if elsewhere && is_instance { Found::Enabled } else { found })
}

fn links_in(unit: &Unit, known: bool, hidden: bool, directory: &Path, tree: &Tree) -> Result<Found> {
    let counts = |name: &str| !known || is_known(unit, name);
    let at = tree.resolve(directory)?;
    let mut found = Found::Nothing;
    for (name, kind) in entries(&at, tree)? {
        let path = at.join(&name);
        let by = [".wants", ".requires", ".upholds"].iter().any(|suffix| name.ends_with(suffix));
        if kind == Kind::Directory && by {
            for (name, kind) in entries(&path, tree)? {
                let template = Name::parse(&name).and_then(Name::template);
                let is_it = name == unit.name || template.as_ref() == Some(&unit.name);
                if kind == Kind::Symlink && is_it && counts(&name) {
                    return Ok(Found::Enabled);
                }
            }
        } else if kind == Kind::Symlink {
            let points = load::file_name(&tree.read_link(&path)?) == unit.name;
            let named = !hidden && name == unit.name;
            if points && named {
                found = Found::Linked;
            } else if (points || named) && counts(&name) {
                return Ok(Found::Enabled);
            }
        }
    }
    Ok(found)
}

/// Whether the `[Install]` section of `unit` can ask for a link of this name.
fn is_known(unit: &Unit, name: &str) -> bool {
    let default = unit.default_instance.as_deref();
    let parts = Name::parse(&unit.name).filter(|parts| parts.is_template());
    name == unit.name
        || unit.alias.iter().any(|alias| alias == name)
        || parts.zip(default).and_then(|(parts, default)| parts.with_instance(default)).as_deref()
            == Some(name)
}

/// Plans that the links are gone which enable the unit `name` and those it names in `Also=`.
pub(super) fn disable(name: &str, tree: &mut Tree) -> Result<()> {
    let mut marked = match marks(name, tree) {
        Ok(marked) => marked,
        Err(fault) => {
            log::warn!("unit {name}: not disabled: {}", fault.words()?);
            return Ok(());
        }
    };
    let config = tree.resolve(Path::new(CONFIG))?;
    // A link to a link that went goes too.
    while remove_marked(&mut marked, &config, Path::new(CONFIG), tree)? {}
    Ok(())
}

/// The names whose links go.
fn marks(name: &str, tree: &Tree) -> Outcome<Vec<PathBuf>> {
    let mut units = Units::default();
    let start = units.add(name, false)?;
    units.follow(start, true, tree)?;
    let mut marked = Vec::new();
    let mut at = 0;
    while units.get(at).is_some() {
        let gone = match units.follow(at, true, tree) {
            Ok(_) => false,
            Err(Fault::Root(error)) => return Err(error.into()),
            Err(_) => true,
        };
        if let Some(unit) = units.get(at) {
            if gone || unit.state == State::File {
                marked.push(PathBuf::from(&unit.name));
            }
        }
        at = at.saturating_add(1);
    }
    Ok(marked)
}

/// Removes the marked links in the directory at `at`, which systemd names `directory`, and marks their paths.
/// Tells whether there were any.
fn remove_marked(marked: &mut Vec<PathBuf>, at: &Path, directory: &Path, tree: &mut Tree) -> Result<bool> {
    let mut removed = false;
    for (name, kind) in entries(at, tree)? {
        let path = directory.join(&name);
        if kind == Kind::Directory {
            removed |= remove_marked(marked, &at.join(&name), &path, tree)?;
        } else if kind == Kind::Symlink && is_marked(marked, &name, &path, tree)? {
            tree.remove(at.join(&name));
            removed = true;
            if !marked.contains(&path) {
                marked.push(path);
            }
        }
    }
    if removed && directory != Path::new(CONFIG) && tree.list(at)?.is_empty() {
        tree.remove(at.to_owned());
    }
    Ok(removed)
}

fn is_marked(marked: &[PathBuf], name: &str, path: &Path, tree: &Tree) -> Result<bool> {
    let Some(parts) = Name::parse(name) else { return Ok(false) };
    let has = |name: &Path| marked.iter().any(|mark| mark == name);
    if has(Path::new(name)) || parts.template().is_some_and(|template| has(Path::new(&template))) {
        return Ok(true);
    }
    let Some(target) = load::unless_loop(tree.resolve(path))? else { return Ok(false) };
    Ok(has(&target) || has(Path::new(load::file_name(&target))))
}

/// What is in the directory at `at`, which may be absent. Names that are not text cannot be units.
fn entries(at: &Path, tree: &Tree) -> Result<Vec<(String, Kind)>> {
    let mut entries = Vec::new();
    if tree.stat(at)?.is_some_and(|stat| stat.kind == Kind::Directory) {
        for name in tree.list(at)? {
            if let (Some(stat), Ok(name)) = (tree.stat(&at.join(&name))?, name.into_string()) {
                entries.push((name, stat.kind));
            }
        }
    }
    Ok(entries)
}
