//! Tells whether a unit is enabled, and removes the links that `systemctl disable` removes.

use std::path::Path;
use std::rc::Rc;

use super::links::Links;
use super::load::{CONFIG, Known, UnitFault, UnitResult, Units};
use super::names::{self, UnitName};
use super::section::{Unit, UnitState};
use crate::error::Result;
use crate::plan::Tree;

/// Returns whether `systemctl is-enabled` would succeed for `name`: the unit has links, is an alias, or needs no
/// links.
pub(super) fn is_enabled(name: &str, known: &mut Known, links: &Links, tree: &Tree) -> Result<bool> {
    let mut units = Units::default();
    let found = units.add(name, false).and_then(|start| units.follow(start, true, known, tree));
    let unit = match found {
        Ok(at) => units.get(at),
        Err(UnitFault::Missing) => None,
        Err(fault) => {
            let why = fault.words()?;
            log::warn!("unit {name}: not disabled: {why}");
            None
        }
    };
    let Some(unit) = unit.filter(|unit| unit.state == UnitState::File) else { return Ok(false) };
    unit.warn_of_ignored_lines();
    let is_instance = UnitName::parse(&unit.name).is_some_and(UnitName::is_instance);
    if name != names::file_name(&unit.path) && !is_instance {
        return Ok(true);
    }
    Ok(match find_links(&unit, true, links) {
        Enablement::Enabled => true,
        Enablement::Linked => false,
        Enablement::Nothing => find_links(&unit, false, links) != Enablement::Nothing || !unit.has_rules(),
    })
}

/// Returns the names by which presets can enable the unit `name` again, beside `name` itself. An alias goes by the name
/// of its unit. For an instance whose file is that of its template it is the template, if that names the instance in
/// `DefaultInstance=`. systemd has no line that disables one instance of a template, and needs none: at a first boot it
/// enables only the instances that a line names, or else the default one.
pub(super) fn preset_names(name: &str, known: &mut Known, tree: &Tree) -> Result<Vec<String>> {
    let Some(unit) = find(name, known, tree)? else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    if unit.name != name {
        names.push(unit.name.clone());
    }
    let parts = UnitName::parse(&unit.name).filter(|parts| parts.is_instance());
    let template = parts.and_then(UnitName::template);
    if let (Some(parts), Some(template)) = (parts, template) {
        // systemd reads DefaultInstance= for the template alone.
        let found = find(&template, known, tree)?;
        if found.is_some_and(|found| found.default_instance.as_deref() == parts.instance) {
            names.push(template);
        }
    }
    Ok(names)
}

/// Finds the unit that `name` leads to; `None` where systemd finds none or refuses it.
pub(super) fn find(name: &str, known: &mut Known, tree: &Tree) -> Result<Option<Rc<Unit>>> {
    let mut units = Units::default();
    match units.add(name, false).and_then(|start| units.follow(start, true, known, tree)) {
        Ok(at) => Ok(units.get(at)),
        Err(UnitFault::Root(error)) => Err(error),
        Err(_) => Ok(None),
    }
}

/// What the links of a unit make of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Enablement {
    Nothing,
    /// Only a link that makes the unit known to systemd.
    Linked,
    Enabled,
}

/// Looks for links that enable `unit`. With `known`, only names that its `[Install]` asks for count.
fn find_links(unit: &Unit, known: bool, links: &Links) -> Enablement {
    let is_instance = UnitName::parse(&unit.name).is_some_and(UnitName::is_instance);
    let names = known.then(|| known_names(unit));
    let mut found = Enablement::Nothing;
    let mut elsewhere = false;
    // In the directories after the unit's own, a link of the same name has no effect.
    let mut hidden = false;
    for (number, directory) in links.directories.iter().enumerate() {
        let config = directory.path == Path::new(CONFIG);
        match links_in(unit, names.as_deref(), hidden, number, links) {
            Enablement::Enabled if config => return Enablement::Enabled,
            Enablement::Enabled => elsewhere = true,
            Enablement::Linked if config => found = Enablement::Linked,
            _ => {}
        }
        hidden |= unit.path.starts_with(directory.path);
    }
    if elsewhere && is_instance { Enablement::Enabled } else { found }
}

fn links_in(
    unit: &Unit,
    known: Option<&[String]>,
    hidden: bool,
    directory: usize,
    links: &Links,
) -> Enablement {
    if !links.has_links(directory) {
        return Enablement::Nothing;
    }
    let name = unit.name.as_str();
    let is_instance =
        |other: &str| UnitName::parse(other).and_then(UnitName::template).as_deref() == Some(name);
    let is_wanted = if let Some(names) = known {
        let mut fit = names.iter().filter(|other| *other == name || is_instance(other));
        fit.any(|other| links.is_wanted(directory, other))
    } else {
        links.is_wanted(directory, name) || links.is_wanted_as_instance(directory, name)
    };
    if is_wanted {
        return Enablement::Enabled;
    }
    let mut found = Enablement::Nothing;
    let mut look = |other: &str, target: &str| {
        let (points, has_name) = (target == name, !hidden && other == name);
        match (points, has_name) {
            (true, true) if found == Enablement::Nothing => found = Enablement::Linked,
            (true, true) | (false, false) => {}
            _ => found = Enablement::Enabled,
        }
    };
    if let Some(target) = links.target(directory, name) {
        look(name, target);
    }
    if let Some(names) = known {
        for other in names.iter().filter(|other| *other != name) {
            if let Some(target) = links.target(directory, other) {
                look(other, target);
            }
        }
    } else if let Some(other) = links.pointing_at(directory, name).find(|other| *other != name) {
        look(other, name);
    }
    found
}

/// Returns the link names that the `[Install]` section of `unit` can ask for.
fn known_names(unit: &Unit) -> Vec<String> {
    let aliases = unit.alias.iter().cloned();
    let template = UnitName::parse(&unit.name).filter(|name| name.is_template());
    let default = template.zip(unit.default_instance.as_deref());
    let default = default.and_then(|(template, instance)| template.with_instance(instance));
    std::iter::once(unit.name.clone()).chain(default).chain(aliases).collect()
}

/// Plans the removal of the links that enable the unit `name` and the units in its `Also=`.
pub(super) fn disable(name: &str, known: &mut Known, links: &mut Links, tree: &mut Tree) -> Result<()> {
    let marked = match marks(name, known, tree) {
        Ok(marked) => marked,
        Err(fault) => {
            let why = fault.words()?;
            log::warn!("unit {name}: not disabled: {why}");
            return Ok(());
        }
    };
    for unit in &marked {
        known.set_done(unit);
    }
    for name in links.remove(marked, tree) {
        known.forget(&name);
    }
    Ok(())
}

/// Returns the names whose links are removed.
fn marks(name: &str, known: &mut Known, tree: &Tree) -> UnitResult<Vec<String>> {
    let mut units = Units::default();
    let start = units.add(name, false)?;
    units.follow(start, true, known, tree)?;
    let mut marked = Vec::new();
    let mut at = 0;
    while let Some(name) = units.name(at).map(|(name, _)| name.to_owned()) {
        let gone = match units.follow(at, true, known, tree) {
            Ok(_) => false,
            Err(UnitFault::Root(error)) => return Err(error.into()),
            Err(_) => true,
        };
        if gone || units.get(at).is_some_and(|unit| unit.state == UnitState::File) {
            marked.push(name);
        }
        at = at.saturating_add(1);
    }
    Ok(marked)
}
