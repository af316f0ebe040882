//! Looks up what stands at a unit's name.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::{DropIns, Known, UnitFault, UnitResult, is_below_searched, unless_loop};
use crate::change::FileKind;
use crate::error::Result;
use crate::map::Map;
use crate::plan::Tree;
use crate::plan::units::names::{self, UnitName};
use crate::plan::units::section::{Unit, UnitState};

/// Looks up `unit` by its name, for an instance also by its template's name, with its drop-ins. Without `load` the
/// files are not read.
pub fn search(known: &mut Known, tree: &Tree, unit: &mut Unit, load: bool) -> UnitResult<()> {
    if unit.state != UnitState::Unknown {
        return Ok(());
    }
    let Some(name) = UnitName::parse(&unit.name) else { return Err(UnitFault::Missing) };
    if name.instance.is_some() && !name.may_template() {
        return Err(UnitFault::Refused("units of this type cannot be templates"));
    }
    let template = if name.is_instance() { name.template() } else { None };
    let names: Vec<String> = std::iter::once(unit.name.clone()).chain(template).collect();
    if !look_in(known, tree, unit, &names, load)? {
        return Err(UnitFault::Missing);
    }
    if load && unit.state != UnitState::Masked {
        load_drop_ins(known, tree, unit, &names)?;
    }
    Ok(())
}

fn look_in(
    known: &mut Known,
    tree: &Tree,
    unit: &mut Unit,
    names: &[String],
    load: bool,
) -> UnitResult<bool> {
    let directories = Rc::clone(&known.directories);
    for name in names {
        for directory in directories.iter().filter(|directory| directory.may_hold(name, tree)) {
            let place = UnitPlace { path: directory.path.join(name), at: directory.at.join(name) };
            if look(known, tree, unit, &place, load)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Where a unit may stand.
pub(super) struct UnitPlace {
    pub path: PathBuf,
    /// The path with the links in its parents resolved.
    pub at: PathBuf,
}

/// Looks up `unit` at `place`. Returns whether anything stands there.
pub(super) fn look(
    known: &mut Known,
    tree: &Tree,
    unit: &mut Unit,
    place: &UnitPlace,
    load: bool,
) -> UnitResult<bool> {
    let UnitPlace { path, at } = place;
    let Some(kind) = tree.kind(at)? else { return Ok(false) };
    unit.state = match kind {
        FileKind::Directory => return Err(UnitFault::Refused("a directory has its name")),
        FileKind::Special => UnitState::Masked,
        FileKind::File if known.file(at, tree)?.is_empty => UnitState::Masked,
        FileKind::File => {
            if load {
                known.load(unit, at, tree)?;
            }
            UnitState::File
        }
        FileKind::Symlink => {
            let link = path.parent().unwrap_or(Path::new("/")).join(tree.read_link(at)?);
            let Some(target) = unless_loop(tree.resolve_parent(&link))? else {
                return Err(UnitFault::Refused("its links form a loop"));
            };
            let alias = is_below_searched(&target);
            let names = (UnitName::parse(names::file_name(path)), UnitName::parse(names::file_name(&target)));
            let fits = names::file_name(path) != names::file_name(&target)
                && matches!(names, (Some(name), Some(target)) if name.may_stand_for(target));
            if alias && !fits {
                return Err(UnitFault::Refused("it is a link to a unit of another type or instance"));
            }
            let masked = is_null(tree, &target)?;
            unit.target = target;
            match (masked, alias) {
                (true, _) => UnitState::Masked,
                (false, true) => UnitState::Alias,
                (false, false) => UnitState::Linked,
            }
        }
    };
    unit.path.clone_from(path);
    Ok(true)
}

/// Returns whether a link to `target` masks a unit.
fn is_null(tree: &Tree, target: &Path) -> Result<bool> {
    let null = Path::new("/dev/null");
    let Some(at) = unless_loop(tree.resolve(target))? else { return Ok(false) };
    // The root's own `/dev` may be empty, so the path is compared.
    if target == null || at == null {
        return Ok(true);
    }
    Ok(match tree.kind(&at)? {
        Some(FileKind::Special) => true,
        Some(FileKind::File) => tree.read(&at)?.is_none_or(|bytes| bytes.is_empty()),
        _ => false,
    })
}

/// Reads the drop-ins of all `names`: of two files of one name the first found counts, in the order of names.
fn load_drop_ins(known: &mut Known, tree: &Tree, unit: &mut Unit, names: &[String]) -> UnitResult<()> {
    let mut files: DropIns = Rc::default();
    for name in names {
        let more = known.drop_ins(name, tree)?;
        if files.is_empty() {
            files = more;
        } else if !more.is_empty() {
            known.spend(more.len().saturating_add(files.len()))?;
            let mut merged: Map<PathBuf> = Map::default();
            // The ones found first are inserted last and so replace the others.
            for (name, path) in more.iter().chain(files.iter()) {
                merged.insert(name, path.clone());
            }
            files = Rc::new(merged.iter().map(|(name, path)| (name.to_owned(), path.clone())).collect());
        }
    }
    known.spend(files.len())?;
    for (_, path) in files.iter() {
        let at = unless_loop(tree.resolve(path))?.unwrap_or_default();
        match tree.kind(&at)? {
            Some(FileKind::File) => known.load(unit, &at, tree)?,
            Some(FileKind::Special) => {}
            // A link to `/dev/null` hides a drop-in, even if the root's `/dev` is empty.
            _ if at == Path::new("/dev/null") => {}
            _ => return Err(UnitFault::Refused("one of its drop-ins cannot be read")),
        }
    }
    Ok(())
}
