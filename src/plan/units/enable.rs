//! Makes the links that `systemctl enable` makes.

use std::path::Path;

use super::load::{self, CONFIG, Known, UnitFault, UnitResult, Units};
use super::names::UnitName;
use super::section::{Unit, UnitState};
use crate::change::FileKind;
use crate::error::Result;
use crate::plan::Tree;

/// Plans the links that enable the unit `name`. A unit or link that cannot be enabled causes a warning only.
pub(super) fn enable(name: &str, known: &mut Known, tree: &mut Tree) -> Result<()> {
    match enable_all(name, known, tree) {
        Ok(true) => {}
        Ok(false) => log::warn!("unit {name}: enabling it does nothing, it has no [Install] section"),
        Err(fault) => {
            // Not as an argument of the macro, which does not look at its arguments where nothing is logged.
            let why = fault.words()?;
            log::warn!("unit {name}: not enabled: {why}");
        }
    }
    Ok(())
}

/// Plans the links for the unit `name` and the units in its `Also=`. Returns whether any link was asked for.
fn enable_all(name: &str, known: &mut Known, tree: &mut Tree) -> UnitResult<bool> {
    let mut units = Units::default();
    let start = units.add(name, false)?;
    let end = units.follow(start, true, known, tree)?;
    if units.get(end).is_some_and(|unit| unit.state == UnitState::Masked) {
        return Err(UnitFault::Refused("it is masked"));
    }
    let mut asked = false;
    let mut at = 0;
    while let Some((unit, auxiliary)) = units.name(at).map(|(name, auxiliary)| (name.to_owned(), auxiliary)) {
        let followed = units.follow(at, false, known, tree);
        match (followed, units.get(at)) {
            (Err(fault), _) if auxiliary => {
                let why = fault.words()?;
                log::warn!("unit {name}: {unit}, which its Also= names, is not enabled: {why}");
            }
            (Err(fault), _) => return Err(fault),
            (Ok(_), Some(found)) if found.state == UnitState::File => {
                asked |= found.has_rules() || !found.also.is_empty();
                if !known.is_done(&unit) {
                    put_links(&found, known, tree)?;
                    known.set_done(&unit);
                    // A name that was not found before may exist now.
                    found.alias.iter().chain([&unit]).for_each(|name| known.forget(name));
                }
            }
            (Ok(_), Some(found)) if found.state == UnitState::Masked => {
                log::warn!("unit {name}: {unit}, which its Also= names, is not enabled: it is masked");
                asked = true;
            }
            _ => {}
        }
        at = at.saturating_add(1);
    }
    Ok(asked)
}

/// Plans the links of one unit.
fn put_links(unit: &Unit, known: &mut Known, tree: &mut Tree) -> UnitResult<()> {
    let Some(name) = UnitName::parse(&unit.name) else { return Ok(()) };
    unit.warn_of_ignored_lines();
    // A link needs a target in systemd's directories, even if the unit's file lies elsewhere.
    let mut target = unit.path.clone();
    if !load::is_searched(&unit.path) {
        target = Path::new(CONFIG).join(&unit.name);
        if !put(unit, &target, &unit.path, false, tree)? {
            return Ok(());
        }
    }
    for alias in &unit.alias {
        let Some(alias) = expand(unit, "Alias", alias) else { continue };
        match alias_name(name, &unit.name, &alias) {
            Some(alias) if alias == unit.name => {}
            Some(alias) => put_alias(unit, &Path::new(CONFIG).join(alias), &target, tree)?,
            None => log::warn!("unit {}: its Alias= has a name that this unit may not have", unit.name),
        }
    }
    if !unit.wanted_by.is_empty() || !unit.required_by.is_empty() || !unit.upheld_by.is_empty() {
        let Some(link) = link_name(unit, name, known, tree)? else {
            log::warn!("unit {}: its default instance is masked or missing", unit.name);
            return Ok(());
        };
        put_dependencies(unit, &link, ("WantedBy", "wants"), &unit.wanted_by, tree)?;
        put_dependencies(unit, &link, ("RequiredBy", "requires"), &unit.required_by, tree)?;
        put_dependencies(unit, &link, ("UpheldBy", "upholds"), &unit.upheld_by, tree)?;
    }
    Ok(())
}

fn put_alias(unit: &Unit, at: &Path, target: &Path, tree: &mut Tree) -> UnitResult<()> {
    match load::unless_loop(tree.resolve(at))? {
        Some(there) => {
            // Only a dangling link is replaced.
            let force = tree.kind(&there)?.is_none();
            put(unit, at, target, force, tree)?;
        }
        None => {
            log::warn!(
                "unit {}: the links at {} form a loop and are left unchanged",
                unit.name,
                at.display()
            );
        }
    }
    Ok(())
}

/// Plans the links for the units in `list`, the value of `key`, in their directories `.suffix`.
fn put_dependencies(
    unit: &Unit,
    link: &str,
    (key, suffix): (&str, &str),
    list: &[String],
    tree: &mut Tree,
) -> UnitResult<()> {
    let needs_instance = UnitName::parse(link).is_some_and(UnitName::is_template);
    for by in list {
        let Some(by) = expand(unit, key, by) else { continue };
        match UnitName::parse(&by) {
            Some(parts) if needs_instance && parts.instance.is_none() => {
                log::warn!(
                    "unit {}: its {key}= works only if an instance of this template is named",
                    unit.name
                );
            }
            Some(_) => {
                let at = Path::new(CONFIG).join(format!("{by}.{suffix}")).join(link);
                put(unit, &at, &unit.path, true, tree)?;
            }
            None => log::warn!("unit {}: its {key}= has a word that is not a valid unit name", unit.name),
        }
    }
    Ok(())
}

/// Expands the specifiers in `text`, a word in the value of `key`. If one depends on the running system, logs a warning and
/// returns `None`.
fn expand(unit: &Unit, key: &str, text: &str) -> Option<String> {
    let text = unit.expand(text);
    if text.is_none() {
        log::warn!(
            "unit {}: its {key}= has a specifier that depends on the running system; the word is ignored",
            unit.name
        );
    }
    text
}

/// Returns the name of the links in `.wants` and similar directories; `None` if the default instance cannot be used.
fn link_name(unit: &Unit, name: UnitName, known: &mut Known, tree: &Tree) -> UnitResult<Option<String>> {
    let instance = match &unit.default_instance {
        Some(instance) if name.is_template() => name.with_instance(instance),
        _ => return Ok(Some(unit.name.clone())),
    };
    let mut instance = Unit { name: instance.unwrap_or_default(), ..Unit::default() };
    match load::search(known, tree, &mut instance, false) {
        Ok(()) => Ok((instance.state != UnitState::Masked).then_some(instance.name)),
        Err(UnitFault::Root(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

/// Returns the path below the configuration directory that `Alias=` asks for; `None` if the unit may not have it.
pub(super) fn alias_name(unit: UnitName, unit_name: &str, alias: &str) -> Option<String> {
    if let Some((directory, name)) = alias.rsplit_once('/') {
        // This is an old way to ask for a link in `.wants` or `.requires`.
        let by = directory.strip_suffix(".wants").or_else(|| directory.strip_suffix(".requires"))?;
        let by = UnitName::parse(by)?;
        let parts = UnitName::parse(name)?;
        let itself = name == unit_name && !parts.is_template();
        let instance_of = parts.is_instance() || (parts.is_template() && by.is_template());
        let stands = instance_of && unit.is_template() && parts.template().as_deref() == Some(unit_name);
        return (itself || stands).then(|| alias.to_owned());
    }
    let parts = UnitName::parse(alias)?;
    let name = match unit.instance {
        Some(instance) if parts.is_template() && !instance.is_empty() => parts.with_instance(instance)?,
        _ => alias.to_owned(),
    };
    (name == unit_name || UnitName::parse(&name)?.may_stand_for(unit)).then_some(name)
}

/// Plans one link, unless an equivalent one exists. Returns whether the link exists in the end. A different link is
/// replaced only with `force`; anything else is never replaced.
fn put(unit: &Unit, path: &Path, target: &Path, force: bool, tree: &mut Tree) -> Result<bool> {
    let at = tree.resolve_parent(path)?;
    if let Some(directory) = at.parent() {
        tree.look_into(directory)?;
    }
    if let Some(kind) = tree.kind(&at)? {
        let link = kind == FileKind::Symlink;
        if link && same(path, &tree.read_link(&at)?, target, tree)? {
            return Ok(true);
        }
        if !(link && force) {
            log::warn!(
                "unit {}: {} already exists as {} and is left unchanged",
                unit.name,
                path.display(),
                kind.word()
            );
            return Ok(false);
        }
    }
    tree.make_parents(&at)?;
    tree.imply(&at)?;
    tree.put_symlink(at, target.to_owned(), 0, 0);
    Ok(true)
}

/// Returns whether the link at `at`, which leads to `there`, is equivalent to one to `target`: both lead to the same
/// file, or to the same unit name in any of systemd's directories.
fn same(at: &Path, there: &Path, target: &Path, tree: &Tree) -> Result<bool> {
    let there = at.parent().unwrap_or(Path::new("/")).join(there);
    if load::unless_loop(tree.resolve(&there))? == Some(tree.resolve(target)?) {
        return Ok(true);
    }
    Ok(there.file_name() == target.file_name()
        && load::is_below_searched(&there)
        && load::is_below_searched(target))
}
