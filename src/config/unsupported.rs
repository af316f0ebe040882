//! The parts of a valid config that glowplug does not carry out. This is the only list of them: the plan, the sources
//! of contents and `glowplug validate` use it.

use std::borrow::Cow;
use std::fmt;

use super::locate::locate;
use super::report::{Finding, JsonPath, Severity, Step};
use super::scheme::Scheme;
use super::types::{Config, Resource};
use crate::error::{Error, Problems, Reason, Result};

/// One part of a config that glowplug does not carry out.
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

    /// Returns whether the part is a reference to another config.
    pub fn is_reference(&self) -> bool {
        self.path.first() == Some(&Step::Key("ignition"))
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

/// Returns every unsupported part of a config that was not merged with others yet: references to other configs first,
/// then what [`unsupported_changes`] finds. If the config names its replacement, nothing else in it counts.
pub fn unsupported(config: &Config<'_>) -> Vec<Unsupported> {
    let mut found = Vec::new();
    let references = &config.ignition.config;
    let replace = &references.replace;
    add_source(replace, || steps(&["ignition", "config", "replace"], None, ""), &mut found);
    if replace.source.is_some() {
        return found;
    }
    for (index, reference) in references.merge.iter().enumerate() {
        add_source(reference, || steps(&["ignition", "config", "merge"], Some(index), ""), &mut found);
    }
    found.append(&mut unsupported_changes(config));
    found
}

/// Returns every unsupported change to the machine that `config` asks for, in a fixed order. A list such as
/// `storage.disks` is one part; each URL is one part. `config` must be rendered: its references to other configs are
/// not looked at.
pub fn unsupported_changes(config: &Config<'_>) -> Vec<Unsupported> {
    let mut found = Vec::new();
    let storage = &config.storage;
    let arguments = &config.kernel_arguments;
    let lists = [
        (storage.disks.is_empty(), "partitioning disks", ["storage", "disks"]),
        (storage.raid.is_empty(), "creating RAID arrays", ["storage", "raid"]),
        (storage.luks.is_empty(), "encrypting disks", ["storage", "luks"]),
        (storage.filesystems.is_empty(), "creating file systems", ["storage", "filesystems"]),
        (arguments.should_exist.is_empty(), "adding kernel arguments", ["kernelArguments", "shouldExist"]),
        (
            arguments.should_not_exist.is_empty(),
            "removing kernel arguments",
            ["kernelArguments", "shouldNotExist"],
        ),
    ];
    for (is_empty, what, path) in lists {
        if !is_empty {
            found.push(Unsupported { what: Cow::Borrowed(what), path: steps(&path, None, "") });
        }
    }
    for (index, file) in storage.files.iter().enumerate() {
        let of_file = |key| steps(&["storage", "files"], Some(index), key);
        add_source(&file.contents, || of_file("contents"), &mut found);
        for (number, piece) in file.append.iter().enumerate() {
            let path = || [of_file("append"), vec![Step::Index(number)]].concat();
            add_source(piece, path, &mut found);
        }
    }
    found
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

/// Returns what fetching a URL of `scheme` is called. Nothing else of the URL is named, because it can hold tokens.
fn fetching(scheme: &str) -> String {
    format!("fetching {} URLs", scheme.to_ascii_lowercase())
}

/// Returns the error for a URL of `scheme` at `place`.
pub(crate) fn scheme_error(scheme: &str, place: &dyn fmt::Display) -> Error {
    Error::new(Reason::Unsupported, format!("{} is not supported, at {place}", fetching(scheme)))
}

/// Adds the URL of `resource`, if it has one that must be fetched. `path` leads to the resource.
fn add_source(resource: &Resource<'_>, path: impl FnOnce() -> Vec<Step>, found: &mut Vec<Unsupported>) {
    if let Some(scheme) = resource.source.as_deref().and_then(Scheme::remote) {
        let mut path = path();
        path.push(Step::Key("source"));
        found.push(Unsupported { what: Cow::Owned(fetching(scheme)), path });
    }
}

/// Returns the path of `keys`, then of the item `index` of the last one, then of `key` unless it is empty.
fn steps(keys: &[&'static str], index: Option<usize>, key: &'static str) -> Vec<Step> {
    let mut path: Vec<Step> = keys.iter().map(|key| Step::Key(key)).collect();
    path.extend(index.map(Step::Index));
    if !key.is_empty() {
        path.push(Step::Key(key));
    }
    path
}

#[cfg(test)]
mod tests {
    use super::super::{Report, parse};
    use super::*;

    fn found(rest: &str) -> Vec<String> {
        let text = format!(r#"{{"ignition":{{"version":"3.4.0"{rest}}}"#);
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
        let rest = r#","config":{"merge":[{"source":"data:,"},{"source":"tftp://h/secret"}]}},
            "kernelArguments":{"shouldExist":["a"],"shouldNotExist":["b"]},
            "storage":{"disks":[{"device":"/dev/vdb"}],"filesystems":[{"device":"/dev/vdc","format":"ext4"}],
            "raid":[{"name":"md","level":"raid1","devices":["/dev/vdd"]}],
            "luks":[{"name":"x","device":"/dev/vde"}],
            "files":[{"path":"/a","contents":{"source":"HTTPS://token@h/secret"}},
            {"path":"/b","contents":{"source":"data:,x"},"append":[{"source":"data:,x"},{"source":"s3://b/secret"}]},
            {"path":"/c","contents":{"source":"arn:aws:s3:::b/secret"}}]}"#;
        assert_eq!(
            found(rest),
            [
                "fetching tftp URLs is not supported, at $.ignition.config.merge.1.source",
                "partitioning disks is not supported, at $.storage.disks",
                "creating RAID arrays is not supported, at $.storage.raid",
                "encrypting disks is not supported, at $.storage.luks",
                "creating file systems is not supported, at $.storage.filesystems",
                "adding kernel arguments is not supported, at $.kernelArguments.shouldExist",
                "removing kernel arguments is not supported, at $.kernelArguments.shouldNotExist",
                "fetching https URLs is not supported, at $.storage.files.0.contents.source",
                "fetching s3 URLs is not supported, at $.storage.files.1.append.1.source",
                "fetching arn URLs is not supported, at $.storage.files.2.contents.source",
            ]
        );
    }

    #[test]
    fn a_replaced_config_asks_for_nothing_itself() {
        let rest =
            r#","config":{"replace":{"source":"gs://b/o"}}},"storage":{"disks":[{"device":"/dev/vdb"}]}"#;
        assert_eq!(found(rest), ["fetching gs URLs is not supported, at $.ignition.config.replace.source"]);
        let rest =
            r#","config":{"replace":{"source":"data:,x"}}},"storage":{"disks":[{"device":"/dev/vdb"}]}"#;
        assert_eq!(found(rest), [""; 0]);
        assert_eq!(found(r#"},"storage":{"files":[{"path":"/a"}]}"#), [""; 0]);
    }

    #[test]
    fn an_error_names_a_bounded_number_of_parts() {
        let resource = Resource { source: Some("https://h/".into()), ..Resource::default() };
        let file = super::super::types::File { append: vec![resource; 1000], ..Default::default() };
        let mut config = Config::default();
        config.storage.files.push(file);
        let error = refuse_unsupported(&unsupported_changes(&config)).unwrap_err();
        assert_eq!(error.to_string().matches("$.storage.files.0.append").count(), 20);
        assert!(error.to_string().ends_with("\nand 980 more"), "{error}");
    }
}
