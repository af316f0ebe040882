//! Rules for units and drop-ins.

use super::super::checker::{Checker, Rules};
use super::super::keys::Keys;
use super::super::report::Step;
use super::super::types::{DROPPED_UNIT_SUFFIX, Dropin, Systemd, UNIT_SUFFIXES, Unit};
use super::unit_file;
use crate::go::Quoted;

impl Rules for Systemd<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        // Enabling an instance has no effect if its template, which the config brings, has no [Install] section.
        let units = Keys::of(&[&self.units]);
        for (index, unit) in self.units.iter().enumerate().filter(|(_, unit)| unit.enabled == Some(true)) {
            let Some(template) = template_of(&unit.name) else { continue };
            let last = units.places(&template).last().and_then(|last| self.units.get(*last));
            let contents = last.and_then(|unit| unit.contents.as_deref());
            let Some(contents) = contents.filter(|contents| !contents.is_empty()) else { continue };
            if unit_file::has_install_options(contents).is_ok_and(|has_options| !has_options) {
                let (template, name) = (Quoted(template.as_bytes()), Quoted(unit.name.as_bytes()));
                let what = format!("template unit {template} for {name} doesn't have Install section");
                checker.warning(&[Step::Key("units"), Step::Index(index), Step::Key("contents")], what);
            }
        }
    }
}

/// Returns the template of an instance: `a@.service` for `a@b.service`; `None` for any other name.
fn template_of(name: &str) -> Option<String> {
    let stem = name.strip_suffix(".service").filter(|_| !name.contains('\n'))?;
    // The prefix ends at the first @ that has something before it.
    let mut characters = stem.char_indices();
    characters.next()?;
    let at = characters.find(|(_, c)| *c == '@').map(|(at, _)| at)?;
    let (prefix, instance) = (stem.get(..at)?, stem.get(at..)?.strip_prefix('@')?);
    (!instance.is_empty()).then(|| format!("{prefix}@.service"))
}

impl Rules for Unit<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let suffix = extension(&self.name);
        if !UNIT_SUFFIXES.contains(&suffix) && suffix != DROPPED_UNIT_SUFFIX {
            checker.fault("name", Some("invalid systemd unit extension"));
        }
        let Some(contents) = self.contents.as_deref() else { return };
        match unit_file::has_install_options(contents) {
            Err(fault) => checker.fault("contents", Some(format!("invalid unit content: {fault}"))),
            Ok(false) if self.enabled == Some(true) && !contents.is_empty() => {
                let name = Quoted(self.name.as_bytes());
                let what =
                    format!("unit {name} is enabled, but has no install section so enable does nothing");
                checker.warning(&[Step::Key("contents")], what);
            }
            Ok(_) => {}
        }
    }
}

impl Rules for Dropin<'_> {
    fn check(&self, checker: &mut Checker<'_>) {
        let fault =
            self.contents.as_deref().and_then(|contents| unit_file::has_install_options(contents).err());
        checker.fault("contents", fault.map(|fault| format!("invalid unit content: {fault}")));
        if extension(&self.name) != ".conf" {
            checker.fault("name", Some("invalid systemd drop-in extension"));
        }
    }
}

/// Returns the extension of a file name with its dot, as Go's `path.Ext` does; empty if it has none.
fn extension(name: &str) -> &str {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.rfind('.').and_then(|dot| last.get(dot..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_of_instances() {
        for (name, template) in [
            ("a@b.service", Some("a@.service")),
            ("a@b@c.service", Some("a@.service")),
            ("@@b.service", Some("@@.service")),
            ("a@.service", None),
            ("@b.service", None),
            ("a.service", None),
            ("a@b.socket", None),
        ] {
            assert_eq!(template_of(name).as_deref(), template, "{name}");
        }
        assert_eq!(extension("a/b.c/d"), "");
        assert_eq!(extension("a.service.d"), ".d");
    }
}
