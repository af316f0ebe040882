//! Finds the units that would bring a disabled unit back at a first boot, because they name it in `Also=` or `Alias=`.

use super::disable::find;
use super::enable::alias_name;
use super::links::entries;
use super::load::{self, Known};
use super::names::UnitName;
use super::section::UnitState;
use crate::change::FileKind;
use crate::error::Result;
use crate::map::Map;
use crate::plan::Tree;

/// The units of a root, by the names in their `[Install]` sections. To find them, all unit files are read once. Nothing is
/// logged of a unit, because most of them have nothing to do with the config.
#[derive(Default)]
pub(super) struct NamedBy {
    /// For each unit, the units whose `Also=` names it.
    also: Map<Vec<String>>,
    /// For each name, the units whose `Alias=` asks for it.
    alias: Map<Vec<String>>,
}

impl NamedBy {
    /// Reads all units. Units that systemd refuses are left out, since systemd does not enable them either.
    pub fn read(known: &mut Known, tree: &Tree) -> Result<Self> {
        let (mut named, mut seen) = (Self::default(), Map::default());
        for directory in load::directories(tree)? {
            for (name, kind) in entries(&directory.at, tree)? {
                let Some(parts) = UnitName::parse(&name).filter(|_| kind == FileKind::File) else { continue };
                if seen.get(name.as_bytes()).is_some() {
                    continue;
                }
                seen.insert(name.as_bytes(), ());
                if !known.may_name_units(&name, &directory.at.join(&name), tree)? {
                    continue;
                }
                let unit = find(&name, known, tree)?.filter(|unit| unit.state == UnitState::File);
                let Some(unit) = unit else { continue };
                for other in &unit.also {
                    // A name that is an alias stands for its unit.
                    let end = find(other, known, tree)?;
                    note(&mut named.also, end.as_ref().map_or(other, |end| &end.name), &name);
                }
                for alias in unit.alias.iter().filter_map(|alias| unit.expand(alias)) {
                    if let Some(alias) = alias_name(parts, &name, &alias) {
                        note(&mut named.alias, &alias, &name);
                    }
                }
            }
        }
        Ok(named)
    }

    /// Returns the units that ask for the alias `name`.
    pub fn with_alias(&self, name: &str) -> &[String] {
        self.alias.get(name.as_bytes()).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the units whose `Also=` leads to one of `names`, over any number of other units. Each is returned once, and
    /// none of `names`.
    pub fn leading_to<'n>(&'n self, names: impl Iterator<Item = &'n str>) -> Vec<String> {
        let (mut waiting, mut seen) = (Vec::new(), Map::default());
        for name in names {
            seen.insert(name.as_bytes(), ());
            waiting.push(name);
        }
        let mut found = Vec::new();
        while let Some(name) = waiting.pop() {
            for unit in self.also.get(name.as_bytes()).into_iter().flatten() {
                if seen.get(unit.as_bytes()).is_none() {
                    seen.insert(unit.as_bytes(), ());
                    found.push(unit.clone());
                    waiting.push(unit);
                }
            }
        }
        found
    }
}

fn note(units: &mut Map<Vec<String>>, name: &str, unit: &str) {
    match units.get_mut(name.as_bytes()) {
        Some(known) => known.push(unit.to_owned()),
        None => drop(units.insert(name.as_bytes(), vec![unit.to_owned()])),
    }
}
