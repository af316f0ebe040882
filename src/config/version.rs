//! The spec versions that are supported, and the errors for all others.

use crate::error::{Error, Reason};
use crate::json::{JsonKind, JsonReader};

/// A supported version of the Ignition spec, by its minor number: 3.0.0 to 3.6.0 and 3.7.0-experimental.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u8);

/// The names of the supported versions, by minor number.
const KNOWN: [&str; 8] =
    ["3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0", "3.6.0", "3.7.0-experimental"];

impl Version {
    /// The newest version.
    pub const NEWEST: Self = Self(7);

    /// Returns the minor number: 2 for 3.2.0.
    pub fn minor(self) -> u8 {
        self.0
    }

    /// Returns the version as `ignition.version` names it.
    pub fn text(self) -> &'static str {
        KNOWN.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// Parses the value of `ignition.version`; `None` if it is not a supported version.
    pub(super) fn named(text: &str) -> Option<Self> {
        let version = semantic(text)?;
        let known = (0..).zip(KNOWN).find(|(_, known)| semantic(known) == Some(version));
        known.map(|(minor, _)| Self(minor))
    }
}

/// The supported versions, for messages.
const RANGE: &str = "3.0.0 to 3.6.0 and 3.7.0-experimental";

/// Returns the error for a config whose `ignition.version` is `found`: empty if it is missing, else not supported.
/// `text` is the config, and must be JSON.
pub(super) fn refusal(found: &str, text: &[u8]) -> Error {
    let words = match semantic(found) {
        _ if found.is_empty() => {
            let hint = foreign(text).unwrap_or("write \"ignition\": {\"version\": \"3.6.0\"}");
            format!("invalid config version (couldn't parse): ignition.version is missing: {hint}")
        }
        Some(version) => {
            let (found, hint) = (shown(found), for_unknown(version));
            format!("unsupported config version: ignition.version is {found}, none of {RANGE}: {hint}")
        }
        None => {
            let (found, hint) = (shown(found), for_malformed(found));
            format!("invalid config version (couldn't parse): ignition.version is {found}: {hint}")
        }
    };
    Error::new(Reason::ConfigVersion, words)
}

/// Returns `found` in quotes, if it looks like a version and is short enough for a log; else words that replace it.
fn shown(found: &str) -> String {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric() || b".-+_ ".contains(&byte);
    if found.len() <= 32 && found.bytes().all(is_sign) {
        format!("\"{found}\"")
    } else {
        "a text that is not a version".to_owned()
    }
}

/// Returns the advice for a version that has the right form but is not supported.
fn for_unknown((numbers, label, _): Semantic<'_>) -> String {
    let same = KNOWN.iter().find(|known| semantic(known).is_some_and(|(known, ..)| known == numbers));
    match (same, numbers) {
        (Some(known), _) if known.contains('-') && label.is_empty() => {
            format!("that version is not final, write {known} or 3.6.0")
        }
        (Some(known), _) => format!("write {known}"),
        (None, [0..=2, ..]) => {
            "specs 1 and 2 have other keys, so translate the config to spec 3 (the program ign-converter does)"
                .to_owned()
        }
        (None, [3, minor @ 0..=7, _]) => {
            let known = usize::try_from(minor).ok().and_then(|minor| KNOWN.get(minor)).copied();
            format!("write {}", known.unwrap_or_default())
        }
        (None, [3..=i64::MAX, ..]) => "the config is newer than this program, so lower the version if the config uses nothing \
                              that is newer than 3.6.0, or update glowplug"
            .to_owned(),
        _ => "write 3.6.0".to_owned(),
    }
}

/// Returns the advice for a version that does not have the form 3.6.0.
fn for_malformed(found: &str) -> String {
    let core = found.trim().trim_start_matches(['v', 'V', '=', ' ']);
    let candidates = [core.to_owned(), format!("{core}.0"), format!("{core}.0.0")];
    match candidates.iter().find_map(|text| Version::named(text)) {
        Some(version) => format!("write {}", version.text()),
        None => "write a version of the form 3.6.0".to_owned(),
    }
}

/// Returns what kind of file a JSON text without `ignition.version` is, judged by its top-level keys; `None` if they
/// tell nothing.
fn foreign(text: &[u8]) -> Option<&'static str> {
    const KNOWN: &[(&str, &str)] = &[
        ("variant", "this is a Butane config, so translate it with the program butane first"),
        ("kind", MANIFEST),
        ("apiVersion", MANIFEST),
        ("ignitionVersion", "this is a config of spec 1, which has other keys: translate it to spec 3"),
        ("write_files", CLOUD_INIT),
        ("runcmd", CLOUD_INIT),
        ("bootcmd", CLOUD_INIT),
        ("packages", CLOUD_INIT),
        ("version", "the key version at the top belongs in the object ignition"),
    ];
    const MANIFEST: &str = "this is a MachineConfig or another manifest of Kubernetes, so serve the Ignition config \
                            inside it (spec.config)";
    const CLOUD_INIT: &str = "this is a config of cloud-init, and glowplug takes Ignition configs";
    let mut reader = JsonReader::new(text);
    if reader.peek() != Ok(JsonKind::Object) || reader.enter().is_err() {
        return None;
    }
    // If several keys are known, the one that comes first in the table decides, wherever it stands in the text.
    let mut best: Option<usize> = None;
    let mut is_first = true;
    while let Ok(Some((key, _))) = reader.next_key(is_first) {
        is_first = false;
        let index = KNOWN.iter().position(|(known, _)| *known == key);
        best = best.into_iter().chain(index).min();
        if reader.skip().is_err() {
            break;
        }
    }
    best.and_then(|best| KNOWN.get(best)).map(|(_, hint)| *hint)
}

/// The three numbers, the pre-release label and the build metadata of a version.
type Semantic<'t> = ([i64; 3], &'t str, &'t str);

/// Parses a version such as `1.2.3-pre+build` (semver.org); `None` for any other text. As in the reference, a number
/// may begin with zeroes or a sign, and the text may end in the hyphen or the plus.
fn semantic(text: &str) -> Option<Semantic<'_>> {
    let (rest, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (core, label) = rest.split_once('-').unwrap_or((rest, ""));
    let mut numbers = core.split('.').map(str::parse);
    let parsed = [numbers.next()?.ok()?, numbers.next()?.ok()?, numbers.next()?.ok()?];
    let is_version = numbers.next().is_none() && are_identifiers(label) && are_identifiers(metadata);
    is_version.then_some((parsed, label, metadata))
}

/// Returns whether `text` is empty, or a list of identifiers with dots between them.
fn are_identifiers(text: &str) -> bool {
    let is_identifier = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    text.is_empty() || text.split('.').all(is_identifier)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_is_not_known_is_named_with_a_remedy() {
        for (found, remedy) in [
            ("2.2.0", "ign-converter"),
            ("1.0.0", "ign-converter"),
            ("3.7.0", "write 3.7.0-experimental or 3.6.0"),
            ("3.6.0-experimental", "write 3.6.0"),
            ("3.3.1", "write 3.3.0"),
            ("3.3.0+b1", "write 3.3.0"),
            ("3.8.0-experimental", "newer than this program"),
            ("3.99.0", "newer than this program"),
            ("4.0.0", "newer than this program"),
        ] {
            let text = refusal(found, b"{}").text().to_owned();
            assert!(text.starts_with("unsupported config version: "), "{text}");
            assert!(text.contains(&format!("ignition.version is \"{found}\"")), "{text}");
            assert!(text.contains(remedy), "{found}: {text}");
        }
    }

    #[test]
    fn a_version_that_is_malformed_is_told_from_none_at_all() {
        for (found, remedy) in [
            ("3.4", "is \"3.4\": write 3.4.0"),
            ("3", "is \"3\": write 3.0.0"),
            ("v3.4.0", "is \"v3.4.0\": write 3.4.0"),
            ("3.4.0 ", "is \"3.4.0 \": write 3.4.0"),
            ("latest", "is \"latest\": write a version of the form 3.6.0"),
            ("a\nsecret", "is a text that is not a version: write"),
        ] {
            let text = refusal(found, b"{}").text().to_owned();
            assert!(text.starts_with("invalid config version (couldn't parse): ignition.version "), "{text}");
            assert!(text.contains(remedy), "{found}: {text}");
        }
        for (json, remedy) in [
            ("{}", "write \"ignition\": {\"version\": \"3.6.0\"}"),
            (r#"{"ignition":{"config":{}}}"#, "write \"ignition\""),
            (r#"{"version":"1.5.0","variant":"fcos"}"#, "Butane"),
            (r#"{"apiVersion":"x","kind":"MachineConfig","spec":{"config":{}}}"#, "MachineConfig"),
            (r#"{"write_files":[]}"#, "cloud-init"),
            (r#"{"ignitionVersion":1}"#, "spec 1"),
            (r#"{"version":"3.4.0"}"#, "belongs in the object ignition"),
        ] {
            let text = refusal("", json.as_bytes()).text().to_owned();
            assert!(
                text.contains("ignition.version is missing: ") && text.contains(remedy),
                "{json}: {text}"
            );
        }
    }
}
