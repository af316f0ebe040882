//! The units that one call reaches: through links, and through `Also=`.

use std::path::Path;
use std::rc::Rc;

use super::search::{UnitPlace, look};
use super::{CONFIG, Known, UnitFault, UnitResult, unless_loop};
use crate::map::Map;
use crate::plan::Tree;
use crate::plan::units::names::UnitName;
use crate::plan::units::section::{Unit, UnitState};

/// The most links that systemd follows from one unit to another.
const MAX_LINKS: usize = 64;
/// The most units that one call may reach through `Also=`. Real units name far fewer.
const MAX_UNITS: usize = 1024;

/// A unit that one call concerns.
struct Item {
    name: String,
    unit: Option<Rc<Unit>>,
    /// Whether only the `Also=` of another unit names it.
    auxiliary: bool,
}

/// The units that one call concerns, in the order in which they were reached.
#[derive(Default)]
pub struct Units {
    list: Vec<Item>,
    numbers: Map<()>,
}

impl Units {
    /// Returns the name of the unit `at`, and whether only the `Also=` of another unit names it.
    pub fn name(&self, at: usize) -> Option<(&str, bool)> {
        self.list.get(at).map(|item| (item.name.as_str(), item.auxiliary))
    }

    /// Returns the unit `at` if it has been looked up.
    pub fn get(&self, at: usize) -> Option<Rc<Unit>> {
        self.list.get(at)?.unit.clone()
    }

    /// Returns the number of the unit `name`, and adds the unit if it is new.
    pub fn add(&mut self, name: &str, auxiliary: bool) -> UnitResult<usize> {
        if let Some(at) = self.numbers.number(name.as_bytes()) {
            if let Some(item) = self.list.get_mut(at) {
                item.auxiliary &= auxiliary;
            }
            return Ok(at);
        }
        if UnitName::parse(name).is_none() {
            return Err(UnitFault::Refused("systemd does not accept this as a unit name"));
        }
        if self.list.len() >= MAX_UNITS {
            return Err(UnitFault::Refused("its Also= leads to too many units"));
        }
        self.numbers.insert(name.as_bytes(), ());
        self.list.push(Item { name: name.to_owned(), unit: None, auxiliary });
        Ok(self.list.len().saturating_sub(1))
    }

    /// Looks up a unit and follows its links. Returns the number of the unit at the end. Links in the administrator's
    /// directory are followed only with `through_config`.
    pub fn follow(
        &mut self,
        start: usize,
        through_config: bool,
        known: &mut Known,
        tree: &Tree,
    ) -> UnitResult<usize> {
        let mut at = start;
        self.read(at, None, known, tree)?;
        for _ in 0..MAX_LINKS {
            let Some(unit) = self.get(at) else { return Err(UnitFault::Missing) };
            if !matches!(unit.state, UnitState::Alias | UnitState::Linked) {
                return Ok(at);
            }
            if !through_config && unit.path.parent() == Some(Path::new(CONFIG)) {
                return Err(UnitFault::Refused("it is only an alias, or a link to a file elsewhere"));
            }
            let next = unit.target_name();
            if unit.state == UnitState::Linked || next == unit.name {
                self.read(at, Some(&unit.target), known, tree)?;
            } else {
                at = self.add(&next, false)?;
                self.read(at, None, known, tree).map_err(|fault| match fault {
                    UnitFault::Missing => UnitFault::Dangling,
                    fault => fault,
                })?;
            }
        }
        Err(UnitFault::Refused("its aliases form a loop"))
    }

    /// Looks up the unit `at`, by its name or at `path`, and adds the units in its `Also=`.
    fn read(&mut self, at: usize, path: Option<&Path>, known: &mut Known, tree: &Tree) -> UnitResult<()> {
        let Some(item) = self.list.get_mut(at) else { return Err(UnitFault::Missing) };
        let unit = match (path, &item.unit) {
            (None, Some(_)) => return Ok(()),
            (None, None) => known.search(tree, &item.name)?,
            (Some(path), before) => {
                let mut unit = before.as_deref().cloned().unwrap_or_default();
                let at = unless_loop(tree.resolve_parent(path))?.ok_or(UnitFault::Missing)?;
                let place = UnitPlace { path: path.to_owned(), at };
                if !look(known, tree, &mut unit, &place, true)? {
                    return Err(UnitFault::Missing);
                }
                Rc::new(unit)
            }
        };
        item.unit = Some(Rc::clone(&unit));
        if known.is_done(&unit.name) {
            return Ok(());
        }
        for name in unit.also.iter().filter(|name| !known.is_done(name)) {
            self.add(name, true)?;
        }
        Ok(())
    }
}
