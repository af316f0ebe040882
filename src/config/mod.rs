//! The language: what an Ignition config says, as types. No I/O happens here.

mod decode;
mod json;
mod path;
mod types;
mod version;

pub use decode::UnusedKey;
pub use json::Position;
pub use path::path_fault;
pub use types::*;
pub use version::Version;

use crate::error::{Error, Reason, Result};

/// A config as it was parsed: its contents, the spec version that it names, and what it says in vain.
#[derive(Debug)]
pub struct Parsed<'a> {
    /// The contents.
    pub config: Config<'a>,
    /// The spec version that the config names.
    pub version: Version,
    /// The first keys that this version does not know, twenty at most. They have no effect.
    pub unused: Vec<UnusedKey>,
}

/// Parses a config of any supported version.
///
/// # Errors
/// [`Reason::ConfigSyntax`] for what is not JSON or of the wrong type, with place, line and column;
/// [`Reason::ConfigVersion`] for a version that is missing or not supported.
pub fn parse(text: &[u8]) -> Result<Parsed<'_>> {
    if text.is_empty() {
        return Err(Error::new(Reason::ConfigSyntax, "not a config (empty)"));
    }
    let version = Version::of(text)?;
    let mut config = Config::default();
    let unused = decode::decode(text, version, &mut config)?;
    mask_special_bits(&mut config, version);
    Ok(Parsed { config, version, unused })
}

/// Setuid, setgid and sticky have an effect from 3.6.0 only (reference: translation 3.5 to 3.6).
fn mask_special_bits(config: &mut Config<'_>, version: Version) {
    if version.minor() >= 6 {
        return;
    }
    let files = config.storage.files.iter_mut().map(|file| &mut file.mode);
    let directories = config.storage.directories.iter_mut().map(|directory| &mut directory.mode);
    for mode in files.chain(directories).flatten() {
        *mode &= !0o7000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> (Reason, String) {
        let error = parse(text.as_bytes()).unwrap_err();
        (error.reason(), error.text().to_owned())
    }

    #[test]
    fn every_supported_version_parses() {
        for version in ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0", "3.6.0", "3.7.0-experimental"] {
            let text = format!(r#"{{"ignition":{{"version":"{version}"}}}}"#);
            assert_eq!(parse(text.as_bytes()).unwrap().version.text(), version);
        }
    }

    #[test]
    fn other_versions_are_refused_by_name() {
        for version in ["2.3.0", "3.99.0", "3.7.0", "3.3.1", "3.6.0-experimental", "3.3.0+b1"] {
            let (reason, text) = refusal(&format!(r#"{{"ignition":{{"version":"{version}"}}}}"#));
            assert_eq!(reason, Reason::ConfigVersion);
            assert!(text.starts_with("unsupported config version"), "{version}: {text}");
        }
        for text in [r#"{"ignition":{"version":"three"}}"#, "{}", r#"{"ignitionVersion":1}"#] {
            let (reason, text) = refusal(text);
            assert_eq!(reason, Reason::ConfigVersion);
            assert!(text.starts_with("invalid config version"), "{text}");
        }
    }

    #[test]
    fn errors_name_place_line_and_column() {
        let (reason, text) =
            refusal("{\"ignition\":{\"version\":\"3.2.0\"},\n\"storage\":{\"files\":[{\"mode\":4.0}]}}");
        assert_eq!(reason, Reason::ConfigSyntax);
        assert!(text.contains("$.storage.files.0.mode, line 2"), "{text}");
        let (reason, text) = refusal("{\"ignition\":{\"version\":\"3.2.0\"}} x");
        assert_eq!(reason, Reason::ConfigSyntax);
        assert!(text.contains("something follows the config"), "{text}");
        assert_eq!(refusal("\u{feff}{}").0, Reason::ConfigSyntax);
        assert_eq!(refusal("").1, "not a config (empty)");
    }

    #[test]
    fn fields_of_a_later_version_are_unused_keys() {
        let text = br#"{"ignition":{"version":"3.1.0"},"kernelArguments":{"shouldExist":["a"]},"Passwd":{"users":null}}"#;
        let parsed = parse(text).unwrap();
        assert_eq!(parsed.config.kernel_arguments, KernelArguments::default());
        let paths: Vec<_> = parsed.unused.iter().map(|key| key.path.as_str()).collect();
        assert_eq!(paths, ["$.kernelArguments", "$.Passwd"]);
    }

    #[test]
    fn a_key_that_stands_twice_is_merged() {
        let text = br#"{"ignition":{"version":"3.0.0","proxy":1},"ignition":{"config":{}},
            "storage":{"files":[{"path":"/a"}]},"storage":{"links":[{"path":"/b"}]}}"#;
        let storage = parse(text).unwrap().config.storage;
        assert_eq!(storage.files.len(), 1);
        assert_eq!(storage.links.len(), 1);
    }

    #[test]
    fn a_small_text_cannot_ask_for_much_memory() {
        let lists = "[{}".to_owned() + &",{}".repeat(60_000) + "]";
        let files = format!(r#"{{"append":{lists}}},{{"append":{lists}}}"#);
        let text = format!(r#"{{"ignition":{{"version":"3.0.0"}},"storage":{{"files":[{files}]}}}}"#);
        assert!(refusal(&text).1.contains("100,000 items"));
        let unknown = r#""x":0,"#.repeat(1000);
        let text = format!(r#"{{{unknown}"ignition":{{"version":"3.0.0"}}}}"#);
        assert_eq!(parse(text.as_bytes()).unwrap().unused.len(), 20);
    }

    #[test]
    fn special_bits_need_3_6() {
        let mode = |version: &str| {
            let text = format!(
                r#"{{"ignition":{{"version":"{version}"}},"storage":{{"files":[{{"path":"/a","mode":2541}}]}}}}"#
            );
            parse(text.as_bytes()).unwrap().config.storage.files[0].mode
        };
        assert_eq!(mode("3.5.0"), Some(0o755));
        assert_eq!(mode("3.6.0"), Some(0o4755));
    }

    /// Every path of the reference's field list is a field here, in the version that has it first.
    #[test]
    fn every_field_of_the_reference_is_known() {
        const FIELDS: &str = include_str!("../../tests/fields.txt");
        let mut count = 0;
        for line in FIELDS.lines().filter(|line| !line.starts_with('#')) {
            let mut columns = line.split_whitespace();
            let (path, kind, minor) =
                (columns.next().unwrap(), columns.next().unwrap(), columns.next().unwrap());
            let minor: u8 = minor.parse().unwrap();
            let accepted = |minor: u8, key_is_used: bool| {
                let version = ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0"][usize::from(minor)];
                let text = config_with(path, kind, version);
                let parsed = parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
                assert_eq!(parsed.unused.is_empty(), key_is_used, "{path} in {version}: {text}");
            };
            accepted(minor, true);
            if minor > 0 {
                accepted(minor - 1, false);
            }
            count += 1;
        }
        assert_eq!(count, 176);
    }

    /// A config that holds just the field at `path`; `FILES` knows which of its steps are lists.
    fn config_with(path: &str, kind: &str, version: &str) -> String {
        const LISTS: [&str; 16] = [
            "merge",
            "certificateAuthorities",
            "httpHeaders",
            "disks",
            "partitions",
            "raid",
            "filesystems",
            "files",
            "append",
            "directories",
            "links",
            "luks",
            "tang",
            "units",
            "dropins",
            "users",
        ];
        let mut value = match kind {
            "string" => r#""x""#.to_owned(),
            "integer" => "1".to_owned(),
            "boolean" => "true".to_owned(),
            "strings" => r#"["x"]"#.to_owned(),
            "object" => "{}".to_owned(),
            _ => "[{}]".to_owned(),
        };
        let steps: Vec<&str> = path.split('.').collect();
        for (depth, step) in steps.iter().enumerate().rev() {
            let is_list = LISTS.contains(step) || steps[..=depth] == ["passwd", "groups"];
            if depth + 1 < steps.len() && is_list {
                value = format!("[{value}]");
            }
            value = format!("{{\"{step}\":{value}}}");
        }
        if path == "ignition" || path == "ignition.version" {
            return format!(r#"{{"ignition":{{"version":"{version}"}}}}"#);
        }
        let inner = value.strip_prefix('{').unwrap();
        format!(r#"{{"ignition":{{"version":"{version}"}},{inner}"#)
    }
}
