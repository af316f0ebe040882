//! The parts of a valid config that glowplug does not carry out. This is the only list of them: the plan, the sources
//! of contents and `glowplug validate` use it.

use std::borrow::Cow;
use std::fmt;

use super::locate::locate;
use super::report::{Finding, JsonPath, Severity, Step};
use super::types::Config;
use crate::error::{Error, Problems, Reason, Result};

/// One part of a config that is not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsupported {
    /// What the part asks for: `partitioning disks`.
    what: Cow<'static, str>,
    /// The part's place in the config.
    pub(super) path: Vec<Step>,
}

impl Unsupported {
    /// Returns the part's place in the config: `$.storage.disks`.
    pub fn place(&self) -> String {
        JsonPath(&self.path).to_string()
    }

    /// Returns what cannot be done, without the place: `partitioning disks is not supported`.
    pub fn words(&self) -> String {
        format!("{} is not supported", self.what)
    }
}

/// Writes what cannot be done, and where: `partitioning disks is not supported, at $.storage.disks`
impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at {}", self.words(), JsonPath(&self.path))
    }
}

impl From<&Unsupported> for Error {
    fn from(part: &Unsupported) -> Self {
        Self::new(Reason::Unsupported, part.to_string())
    }
}

/// Returns every unsupported part of a config that was not merged with others yet: what [`unsupported_changes`] finds. If
/// the config names its replacement, nothing else in it counts.
pub fn unsupported(config: &Config<'_>) -> Vec<Unsupported> {
    match config.ignition.config.replace.source {
        Some(_) => Vec::new(),
        None => unsupported_changes(config),
    }
}

/// Returns every unsupported change to the machine that `config` asks for, in a fixed order. A list such as
/// `storage.luks[].cex` is one part.
pub fn unsupported_changes(config: &Config<'_>) -> Vec<Unsupported> {
    let mut found = Vec::new();
    for (index, luks) in config.storage.luks.iter().enumerate() {
        if luks.cex.enabled == Some(true) {
            let path = vec![Step::Key("storage"), Step::Key("luks"), Step::Index(index), Step::Key("cex")];
            found.push(Unsupported { what: Cow::Borrowed("encrypting disks with a crypto adapter"), path });
        }
    }
    found
}

/// Returns the changes of disks that `config` asks for, each as an unsupported part, for a caller that changes only a
/// directory tree. `wherever` says where that is so, after the words for the change: " in a container".
pub fn disk_changes(config: &Config<'_>, wherever: &str) -> Vec<Unsupported> {
    let storage = &config.storage;
    let mut parts = parts_of(&[
        (storage.disks.is_empty(), "partitioning disks", ["storage", "disks"]),
        (storage.raid.is_empty(), "creating RAID arrays", ["storage", "raid"]),
        (storage.luks.is_empty(), "encrypting disks", ["storage", "luks"]),
        (storage.filesystems.is_empty(), "creating file systems", ["storage", "filesystems"]),
    ]);
    for part in &mut parts {
        part.what.to_mut().push_str(wherever);
    }
    parts
}

/// Returns the parts of a list that are not empty.
fn parts_of(parts: &[(bool, &'static str, [&'static str; 2])]) -> Vec<Unsupported> {
    let asked = parts.iter().filter(|(is_empty, ..)| !is_empty);
    asked
        .map(|(_, what, path)| Unsupported { what: Cow::Borrowed(what), path: path.map(Step::Key).into() })
        .collect()
}

/// Returns a finding for each of `parts`, sorted by their places in `text`, the config that they were found in.
pub fn locate_unsupported(text: &[u8], parts: &[Unsupported]) -> Vec<Finding> {
    let finding = |part: &Unsupported| Finding {
        severity: Severity::Unsupported,
        message: Cow::Owned(part.words()),
        path: part.path.clone(),
        ..Finding::default()
    };
    let mut findings: Vec<Finding> = parts.iter().map(finding).collect();
    locate(text, &mut findings);
    findings
}

/// Returns an error that names `parts`, unless there are none.
///
/// # Errors
/// [`Reason::Unsupported`]. The first parts are named and the others counted, as [`Problems`] does.
pub fn refuse_unsupported(parts: &[Unsupported]) -> Result<()> {
    let mut problems = Problems::default();
    for part in parts {
        problems.add(part.into());
    }
    problems.finish()
}

#[cfg(test)]
mod tests {
    use super::super::{Report, parse};
    use super::*;

    fn found(rest: &str) -> Vec<String> {
        let text = format!(r#"{{"ignition":{{"version":"3.5.0"{rest}}}"#);
        let parsed = parse(text.as_bytes(), &mut Report::default()).unwrap();
        let parts = unsupported(&parsed.config);
        let error = refuse_unsupported(&parts).err();
        let parts: Vec<String> = parts.iter().map(Unsupported::to_string).collect();
        let words = error.map(|error| error.lines(false)).unwrap_or_default();
        assert_eq!(words, parts);
        parts
    }

    #[test]
    fn every_unsupported_part_is_found_at_once() {
        let rest = r#"},
            "storage":{"disks":[{"device":"/dev/vdb"}],"filesystems":[{"device":"/dev/vdc","format":"ext4"}],
            "raid":[{"name":"md","level":"raid1","devices":["/dev/vdd"]}],
            "luks":[{"name":"x","device":"/dev/vde","cex":{"enabled":true}}]}"#;
        assert_eq!(
            found(rest),
            ["encrypting disks with a crypto adapter is not supported, at $.storage.luks.0.cex"]
        );
        let text = format!(r#"{{"ignition":{{"version":"3.5.0"{rest}}}"#);
        let parsed = parse(text.as_bytes(), &mut Report::default()).unwrap();
        let parts: Vec<String> =
            disk_changes(&parsed.config, " here").iter().map(Unsupported::to_string).collect();
        assert_eq!(
            parts,
            [
                "partitioning disks here is not supported, at $.storage.disks",
                "creating RAID arrays here is not supported, at $.storage.raid",
                "encrypting disks here is not supported, at $.storage.luks",
                "creating file systems here is not supported, at $.storage.filesystems",
            ]
        );
    }

    #[test]
    fn a_replaced_config_asks_for_nothing_itself() {
        let rest = r#","config":{"replace":{"source":"data:,x"}}},"storage":{"luks":[{"name":"x","device":"/dev/vdb","cex":{"enabled":true}}]}"#;
        assert_eq!(found(rest), [""; 0]);
        assert_eq!(found(r#"},"storage":{"files":[{"path":"/a"}]}"#), [""; 0]);
    }
}
