//! The preset file: which units systemd enables and disables when it applies presets at the first boot.

use std::borrow::Cow;
use std::path::Path;

use crate::change::{Attributes, Piece};
use crate::error::Result;
use crate::map::Map;
use crate::plan::Tree;

/// The path of the reference's preset file.
const PATH: &str = "/etc/systemd/system-preset/20-ignition.preset";

/// The lines, by the key that the reference sorts them by.
#[derive(Default)]
pub(super) struct Preset {
    lines: Map<String>,
}

impl Preset {
    /// Adds a unit. The instances of one template share a line.
    pub fn add(&mut self, name: &str, enabled: bool) {
        let (verb, state) = if enabled { ("enable", "enabled") } else { ("disable", "disabled") };
        let parts = name.split_once('@').and_then(|(prefix, rest)| Some((prefix, rest.rsplit_once('.')?)));
        let (unit, instance) = match parts {
            Some((prefix, (instance, suffix))) => (format!("{prefix}@.{suffix}"), instance),
            None => (name.to_owned(), ""),
        };
        let key = format!("{unit}-{state}");
        if self.lines.get(key.as_bytes()).is_none() {
            self.lines.insert(key.as_bytes(), format!("{verb} {unit}"));
        }
        if let Some(line) = self.lines.get_mut(key.as_bytes()).filter(|_| !instance.is_empty()) {
            line.push(' ');
            line.push_str(instance);
        }
    }

    /// Adds a "disable" line for exactly `name`, unless the config enables it. systemd compares the name as a pattern, so
    /// that the line of [`Self::add`] for an instance, which is the reference's, has no effect. A template gets no line if
    /// an instance is enabled: the line would disable the instance as well.
    pub fn disable_exactly(&mut self, name: &str) {
        let is_enabled = self.lines.get(format!("{name}-enabled").as_bytes()).is_some();
        if !is_enabled {
            self.lines.insert(format!("{name}-disabled exactly").as_bytes(), format!("disable {name}"));
        }
    }

    /// Plans the file. New lines are appended to the existing ones, and a line that exists already is not repeated.
    pub fn put(self, tree: &mut Tree) -> Result<()> {
        if self.lines.iter().next().is_none() {
            return Ok(());
        }
        let path = tree.resolve(Path::new(PATH))?;
        super::refuse_directory(&path, tree)?;
        let mut text = tree.read(&path)?.map(Cow::into_owned).unwrap_or_default();
        let attributes = tree.stat(&path)?.map_or(Attributes::root(0o644), |stat| stat.attributes);
        let mut there: Map<String> = Map::default();
        for line in text.split(|byte| *byte == b'\n') {
            there.insert(line, String::new());
        }
        for (_, line) in self.lines.iter() {
            if there.get(line.as_bytes()).is_some() {
                continue;
            }
            if text.last().is_some_and(|byte| *byte != b'\n') {
                text.push(b'\n');
            }
            there.insert(line.as_bytes(), String::new());
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        tree.make_parents(&path)?;
        tree.put_file(path, vec![Piece::Bytes(Cow::Owned(text))], attributes);
        Ok(())
    }
}
