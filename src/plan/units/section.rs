//! A unit and the contents of its `[Install]` section.

use std::path::PathBuf;

use super::names::{self, UnitName};
use super::parse;

/// What stands at a unit's name.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum UnitState {
    /// Not looked up yet.
    #[default]
    Unknown,
    /// A unit file.
    File,
    /// A unit that cannot run: an empty file or a link to `/dev/null`.
    Masked,
    /// A link to another unit name.
    Alias,
    /// A link to a file outside of systemd's directories.
    Linked,
}

/// A unit, as far as it has been read.
#[derive(Clone, Default)]
pub(super) struct Unit {
    pub name: String,
    pub state: UnitState,
    /// Where the unit was found, as systemd names the path.
    pub path: PathBuf,
    /// The target of its link.
    pub target: PathBuf,
    /// Why systemd would refuse it.
    pub refused: Option<&'static str>,
    pub alias: Vec<String>,
    pub wanted_by: Vec<String>,
    pub required_by: Vec<String>,
    pub upheld_by: Vec<String>,
    pub also: Vec<String>,
    pub default_instance: Option<String>,
    /// The keys that have an ignored line: one with a quote that is not closed. Each key is listed once.
    pub unclosed: Vec<&'static str>,
}

impl Unit {
    /// The keys that [`Unit::assign`] handles.
    pub const KEYS: [&str; 6] = ["WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also", "DefaultInstance"];

    /// Applies one assignment, as systemd does.
    pub fn assign(&mut self, key: &str, value: &str) -> parse::Read {
        let (key, list) = match key {
            "WantedBy" => ("WantedBy", &mut self.wanted_by),
            "RequiredBy" => ("RequiredBy", &mut self.required_by),
            "UpheldBy" => ("UpheldBy", &mut self.upheld_by),
            "Alias" if UnitName::parse(&self.name).is_some_and(UnitName::may_alias) => {
                ("Alias", &mut self.alias)
            }
            "Also" => return self.assign_also(value),
            "DefaultInstance" => return self.assign_default_instance(value),
            _ => return Ok(()),
        };
        if value.is_empty() {
            list.clear();
        } else if let Some(words) = parse::words(value) {
            list.extend(words);
        } else if !self.unclosed.contains(&key) {
            self.unclosed.push(key);
        }
        Ok(())
    }

    /// Logs a warning for each key that has an ignored line. Reading a unit logs nothing, because units that have nothing to
    /// do with the config are read too.
    pub fn warn_of_ignored_lines(&self) {
        for key in &self.unclosed {
            log::warn!("unit {}: its {key}= has a quote that is not closed; the line is ignored", self.name);
        }
    }

    fn assign_also(&mut self, value: &str) -> parse::Read {
        let invalid = "its Also= has a word that is not a valid unit name";
        for word in parse::bare_words(value).ok_or(invalid)? {
            let name =
                self.expand(&word).ok_or("its Also= has a specifier that depends on the running system")?;
            UnitName::parse(&name).ok_or(invalid)?;
            self.also.push(name);
        }
        Ok(())
    }

    fn assign_default_instance(&mut self, value: &str) -> parse::Read {
        // `DefaultInstance=` only has a meaning in a template.
        if UnitName::parse(&self.name).is_some_and(UnitName::is_template) {
            let instance = self
                .expand(value)
                .ok_or("its DefaultInstance= has a specifier that depends on the running system")?;
            if !instance.is_empty() && !names::valid_instance(&instance) {
                return Err("its DefaultInstance= is not valid");
            }
            self.default_instance = (!instance.is_empty()).then_some(instance);
        }
        Ok(())
    }

    /// Expands the specifiers in `text`; `None` if one depends on the running system.
    pub fn expand(&self, text: &str) -> Option<String> {
        names::expand(text, &self.name, self.default_instance.as_deref())
    }

    /// Returns the name that an alias stands for. If an instance's link leads to a template, this is the template's
    /// instance.
    pub fn target_name(&self) -> String {
        let target = names::file_name(&self.target);
        let instance =
            UnitName::parse(&self.name).filter(|name| name.is_instance()).and_then(|name| name.instance);
        let template = UnitName::parse(target).filter(|name| name.is_template());
        let name = template.zip(instance).and_then(|(template, instance)| template.with_instance(instance));
        name.unwrap_or_else(|| target.to_owned())
    }

    /// Returns whether `[Install]` asks for any link.
    pub fn has_rules(&self) -> bool {
        [&self.alias, &self.wanted_by, &self.required_by, &self.upheld_by].iter().any(|list| !list.is_empty())
    }
}
