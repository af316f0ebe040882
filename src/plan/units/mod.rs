//! Plans units: their files and drop-ins, masks, enabling, and the preset file.
//!
//! The reference leaves enabling to the presets, which systemd applies at a first boot only if the image has no
//! machine ID. Here the links are made at once, as `systemctl enable` makes them, and the presets are written as
//! well. At a first boot systemd enables every unit that no preset names. So more units get a "disable" line than
//! with the reference: a unit with `"enabled": false` even if it is not enabled now, and a new unit that the config
//! brings without `enabled`.

mod disable;
mod enable;
mod links;
mod load;
mod named_by;
mod names;
mod parse;
mod preset;
mod section;

use std::fmt::Display;
use std::path::{Path, PathBuf};

use self::links::Links;
use self::load::{Known, UnitDirectory};
use self::named_by::NamedBy;
use self::preset::Preset;
use super::Part;
use super::tree::Tree;
use crate::change::Piece;
use crate::change::{Attributes, FileKind};
use crate::config::{DROPPED_UNIT_SUFFIX, Systemd, UNIT_SUFFIXES, Unit};
use crate::error::{Error, Problems, Reason, Result};
use crate::map::Map;

const NULL: &str = "/dev/null";

/// Plans units, drop-ins, masks, enabling and the preset file of `systemd` into `tree`.
pub(super) fn plan<'a>(systemd: &'a Systemd<'a>, tree: &mut Tree<'a, '_>) -> Result<()> {
    if systemd.units.is_empty() {
        return Ok(());
    }
    // Each directory is listed once, so that its names need not be looked up one by one.
    let directories = load::directories(tree)?;
    for directory in &directories {
        tree.look_into(&directory.at)?;
    }
    let mut problems = Problems::default();
    let mut failed = Map::default();
    let mut new = Vec::new();
    for (number, unit) in systemd.units.iter().enumerate() {
        tree.begin(Part::Unit(number));
        let is_new = problems.take(is_new(unit, &directories, tree)) == Some(true);
        if problems.take(put_unit(number, unit, &directories, tree)).is_none() {
            failed.insert(unit.name.as_bytes(), ());
        } else if is_new {
            new.push(unit.name.as_ref());
        }
        if tree.is_full() {
            break;
        }
    }
    let named = |enabled| -> Vec<(usize, &str)> {
        let units = systemd.units.iter().enumerate().filter(|(_, unit)| unit.enabled == Some(enabled));
        let names = units.map(|(number, unit)| (number, unit.name.as_ref()));
        names.filter(|(_, name)| failed.get(name.as_bytes()).is_none()).collect()
    };
    let mut preset = Preset::default();
    let mut known = Known::new(tree)?;
    // Disabling comes before enabling, as when systemd applies presets: a unit that one entry disables may be enabled
    // again by another.
    let again = problems.take(disable_all(&named(false), &mut known, &mut preset, tree)).unwrap_or_default();
    known.begin();
    for (number, name) in named(true) {
        tree.begin(Part::Unit(number));
        problems.take(enable::enable(name, &mut known, tree));
        preset.add(name, true);
        if tree.is_full() {
            break;
        }
    }
    for name in &again {
        preset.disable_exactly(name);
    }
    problems.take(disable_new(&new, &mut known, &mut preset, tree));
    tree.begin(Part::Presets);
    problems.take(preset.put(tree));
    problems.finish()
}

/// Disables the units and adds their "disable" lines to the preset. Returns the other names by which presets could
/// enable them again.
fn disable_all(
    units: &[(usize, &str)],
    known: &mut Known,
    preset: &mut Preset,
    tree: &mut Tree,
) -> Result<Vec<String>> {
    let mut again = Vec::new();
    if units.is_empty() {
        return Ok(again);
    }
    let mut links = Links::read(tree)?;
    let mut problems = Problems::default();
    // Before any link goes: an alias may be one of them.
    for (number, name) in units {
        tree.begin(Part::Unit(*number));
        again.extend(problems.take(disable::preset_names(name, known, tree)).unwrap_or_default());
        // Beside the reference's line, which has no effect once it names an instance: see `Preset::disable_exactly`.
        if names::UnitName::parse(name).is_some_and(|name| name.instance.is_some()) {
            again.push((*name).to_owned());
        }
    }
    again.extend(problems.take(naming(units, &again, known, tree)).unwrap_or_default());
    for (number, name) in units {
        tree.begin(Part::Unit(*number));
        if problems.take(disable::is_enabled(name, known, &links, tree)) == Some(true) {
            problems.take(disable::disable(name, known, &mut links, tree));
        }
        preset.add(name, false);
    }
    problems.finish().map(|()| again)
}

/// Returns the other units that would bring one of the disabled `units` back at a first boot. `others` are more names of
/// these units.
fn naming(units: &[(usize, &str)], others: &[String], known: &mut Known, tree: &Tree) -> Result<Vec<String>> {
    let named = NamedBy::read(known, tree)?;
    let mut found = Vec::new();
    for (_, name) in units {
        // A unit of this name hides what asks for the name as an alias.
        if !named.with_alias(name).is_empty() && disable::find(name, known, tree)?.is_none() {
            found.extend(named.with_alias(name).iter().cloned());
        }
    }
    let all = units.iter().map(|(_, name)| *name).chain(others.iter().chain(&found).map(String::as_str));
    let leading = named.leading_to(all);
    found.extend(leading);
    Ok(found)
}

/// Adds "disable" lines for the new units that no other unit has enabled.
fn disable_new(units: &[&str], known: &mut Known, preset: &mut Preset, tree: &Tree) -> Result<()> {
    if units.is_empty() {
        return Ok(());
    }
    let links = Links::read(tree)?;
    for name in units {
        if !disable::is_enabled(name, known, &links, tree)? {
            preset.disable_exactly(name);
        }
    }
    Ok(())
}

/// Returns whether the config brings a new unit without saying whether it is enabled. A unit that the root already
/// has is not new.
fn is_new(unit: &Unit, directories: &[UnitDirectory], tree: &Tree) -> Result<bool> {
    let has_contents = unit.contents.as_deref().is_some_and(|text| !text.is_empty());
    let is_unit = names::UnitName::parse(&unit.name).is_some();
    if unit.enabled.is_some() || unit.mask == Some(true) || !has_contents || !is_unit {
        return Ok(false);
    }
    for directory in directories.iter().filter(|directory| directory.may_hold(&unit.name, tree)) {
        if tree.kind(&directory.at.join(unit.name.as_ref()))?.is_some() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Plans the files of one unit: masks, unit file and drop-ins.
fn put_unit<'a>(
    number: usize,
    unit: &'a Unit<'a>,
    directories: &[UnitDirectory],
    tree: &mut Tree<'a, '_>,
) -> Result<()> {
    let place = format!("$.systemd.units.{number}");
    let name = checked(&unit.name, &[&UNIT_SUFFIXES, &[DROPPED_UNIT_SUFFIX]], &format_args!("{place}.name"))?;
    let path = Path::new(load::CONFIG).join(name);
    let mut problems = Problems::default();
    for (number, dropin) in unit.dropins.iter().enumerate() {
        let file = checked(&dropin.name, &[&[".conf"]], &format_args!("{place}.dropins.{number}.name"));
        if let (Some(file), Some(contents)) = (problems.take(file), &dropin.contents) {
            let path = Path::new(load::CONFIG).join(format!("{name}.d")).join(file);
            problems.take(put_file(&path, contents, tree));
        }
    }
    // The unit file would be replaced by the mask, so a masked unit gets no file.
    if let Some(contents) =
        unit.contents.as_deref().filter(|text| !text.is_empty() && unit.mask != Some(true))
    {
        problems.take(put_file(&path, contents, tree));
    }
    if let Some(mask) = unit.mask {
        problems.take(warn_of_alias(name, mask, directories, tree));
        problems.take(set_mask(&path, mask, tree));
    }
    problems.finish()
}

/// Warns if `name` is only an alias of a unit. A mask hides the alias, but the unit still starts under its own name.
fn warn_of_alias(name: &str, mask: bool, directories: &[UnitDirectory], tree: &mut Tree) -> Result<()> {
    if !mask {
        return Ok(());
    }
    for directory in directories.iter().filter(|directory| directory.may_hold(name, tree)) {
        let at = directory.at.join(name);
        match tree.kind(&at)? {
            None => continue,
            Some(FileKind::Symlink) => {}
            Some(_) => return Ok(()),
        }
        let target = tree.read_link(&at)?;
        let unit = names::file_name(&target);
        if unit != name && names::UnitName::parse(unit).is_some() {
            tree.warn(format!(
                "masking {name} does not keep {unit} from starting, because {name} is an alias of {unit}: mask {unit} instead"
            ));
        }
        return Ok(());
    }
    Ok(())
}

/// Plans a mask at `path`, or the removal of one.
fn set_mask(path: &Path, mask: bool, tree: &mut Tree) -> Result<()> {
    let at = tree.resolve_parent(path)?;
    let there = tree.kind(&at)?;
    let masked = there == Some(FileKind::Symlink) && tree.read_link(&at)? == Path::new(NULL);
    if masked && !mask {
        tree.remove(at);
    } else if mask && !masked {
        if there.is_some() {
            tree.remove(at.clone());
        }
        tree.make_parents(&at)?;
        tree.put_symlink(at, PathBuf::from(NULL), 0, 0);
    }
    Ok(())
}

/// Plans a file that replaces what stands at `path`.
fn put_file<'a>(path: &Path, contents: &'a str, tree: &mut Tree<'a, '_>) -> Result<()> {
    let at = tree.resolve_parent(path)?;
    refuse_directory(&at, tree)?;
    tree.make_parents(&at)?;
    tree.put_file(at, vec![Piece::Bytes(contents.as_bytes().into())], Attributes::root(0o644));
    Ok(())
}

/// Returns an error if a directory stands at `path`, because a file cannot replace it.
fn refuse_directory(path: &Path, tree: &Tree) -> Result<()> {
    if tree.kind(path)? == Some(FileKind::Directory) {
        let what = format!("write {} in the root: a directory stands there", path.display());
        return Err(Error::new(Reason::Conflict, what));
    }
    Ok(())
}

/// Returns the name of a unit or drop-in if it is a valid file name with one of the `suffixes`.
fn checked<'n>(name: &'n str, suffixes: &[&[&str]], place: &dyn Display) -> Result<&'n str> {
    let invalid = |why: &str| Error::new(Reason::ConfigInvalid, why).at(place);
    if name.is_empty() {
        return Err(invalid("a name is required"));
    }
    if name.len() > names::MAX_LENGTH {
        return Err(invalid("the name is longer than 255 bytes"));
    }
    // A control character could also break out of its line in the preset file.
    if name.contains(|c: char| c == '/' || c.is_control()) {
        return Err(invalid("the name has a slash or a control character"));
    }
    if !suffixes.iter().copied().flatten().any(|suffix| name.ends_with(suffix)) {
        return Err(invalid(&format!("the name must end in {}", suffixes.concat().join(", "))));
    }
    Ok(name)
}

#[cfg(test)]
mod tests;
