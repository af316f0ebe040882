//! The preset file: what systemd is to enable and disable where it applies presets at the first boot.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use crate::error::Result;
use crate::plan::{Attributes, Piece, Tree};

/// Where the reference has it.
const PATH: &str = "/etc/systemd/system-preset/20-ignition.preset";

/// Lines by the key that the reference sorts them by.
#[derive(Default)]
pub(super) struct Preset {
    lines: BTreeMap<String, String>,
}

impl Preset {
    /// Adds a unit; the instances of one template share a line.
    pub fn add(&mut self, name: &str, enabled: bool) {
        let (verb, state) = if enabled { ("enable", "enabled") } else { ("disable", "disabled") };
        let parts = name.split_once('@').and_then(|(prefix, rest)| Some((prefix, rest.rsplit_once('.')?)));
        let (unit, instance) = match parts {
            Some((prefix, (instance, suffix))) => (format!("{prefix}@.{suffix}"), instance),
            None => (name.to_owned(), ""),
        };
        let line = self.lines.entry(format!("{unit}-{state}")).or_insert_with(|| format!("{verb} {unit}"));
        if !instance.is_empty() {
            line.push(' ');
            line.push_str(instance);
        }
    }

    /// Plans the file: the lines come after those that are there, except one that stands there already.
    pub fn put(self, tree: &mut Tree) -> Result<()> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let path = tree.resolve(Path::new(PATH))?;
        let mut text = tree.read(&path)?.map(Cow::into_owned).unwrap_or_default();
        let attributes = tree.stat(&path)?.map_or(Attributes::root(0o644), |stat| stat.attributes);
        for line in self.lines.values() {
            if text.split(|byte| *byte == b'\n').any(|there| there == line.as_bytes()) {
                continue;
            }
            if text.last().is_some_and(|byte| *byte != b'\n') {
                text.push(b'\n');
            }
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        tree.make_parents(&path)?;
        tree.put_file(path, vec![Piece::Bytes(Cow::Owned(text))], attributes);
        Ok(())
    }
}
