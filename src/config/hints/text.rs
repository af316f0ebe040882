//! Recognises what a text is that is not JSON, by its first bytes and lines.

/// The largest number of bytes that are looked at.
const LOOKED_AT: usize = 16 << 10;

/// The first bytes of a kind of file, and the hint for it.
const STARTS: &[(&[u8], &str)] = &[
    (b"\x1f\x8b", "the config is compressed with gzip: serve it uncompressed"),
    (b"\x28\xb5\x2f\xfd", "the config is compressed with zstd: serve it uncompressed"),
    (b"\xfd7zXZ", "the config is compressed with xz: serve it uncompressed"),
    (b"BZh", "the config is compressed with bzip2: serve it uncompressed"),
    (b"PK\x03\x04", "the config is a zip archive: serve the JSON text itself"),
    (b"\xff\xfe", UTF_16),
    (b"\xfe\xff", UTF_16),
    (b"\xef\xbb\xbf", "save the file without a byte order mark"),
    (b"H4sI", "the config is base64 of a compressed text: serve the JSON text itself"),
    (b"eyJ", BASE64),
    (b"ewo", BASE64),
    (b"data:", "the config is a data URL: serve the JSON text itself"),
    (b"http://", URL),
    (b"https://", URL),
    (b"-----BEGIN", "the config is a key or a certificate: serve an Ignition config"),
    (b"<", "the config is HTML or XML, perhaps an error page of its server: serve the JSON text itself"),
    (b"#cloud-config", CLOUD_INIT),
    (b"## template:", CLOUD_INIT),
    (b"#include", CLOUD_INIT),
    (b"#cloud-boothook", CLOUD_INIT),
    (b"Content-Type:", CLOUD_INIT),
    (b"MIME-Version:", CLOUD_INIT),
    (b"#!", "the config is a script: glowplug takes Ignition configs, which are JSON"),
];

/// A key that begins a line of YAML, and the hint for it.
const YAML_KEYS: &[(&str, &str)] = &[
    ("variant", "the config is Butane's YAML: translate it with the program butane first"),
    ("kind", MANIFEST),
    ("apiVersion", MANIFEST),
    ("#cloud-config", CLOUD_INIT),
];

const UTF_16: &str = "the config is UTF-16: save it as UTF-8";
const BASE64: &str = "the config is encoded as base64: serve the JSON text itself";
const URL: &str = "the config is a URL: serve the JSON text that the URL leads to";
const CLOUD_INIT: &str = "the config is cloud-init's: glowplug takes Ignition configs, which are JSON";
const MANIFEST: &str = "the config is a MachineConfig or another manifest of Kubernetes: serve the Ignition config \
                        inside it, as JSON";
const YAML: &str =
    "the config is YAML, but Ignition configs are JSON: translate Butane's YAML with the program butane";

/// Returns the hint that says what `text`, which is not JSON, seems to be; `None` if it may be JSON with a mistake.
pub(super) fn kind_of(text: &[u8]) -> Option<&'static str> {
    let text = text.get(..LOOKED_AT).unwrap_or(text);
    let start = text.trim_ascii_start();
    if start.is_empty() {
        return Some("the config holds nothing but white space");
    }
    if let Some((_, hint)) = STARTS.iter().find(|(bytes, _)| start.starts_with(bytes)) {
        return Some(hint);
    }
    match text {
        [0, 0, ..] => {
            return Some("the config begins with zero bytes: it is a binary file, or its transfer failed");
        }
        [0, _, ..] | [_, 0, ..] => return Some(UTF_16),
        _ => {}
    }
    if matches!(start, [b'{' | b'[' | b'"' | b'\'' | b'/', ..]) {
        return None;
    }
    yaml(std::str::from_utf8(start).unwrap_or_else(|error| {
        let valid = start.get(..error.valid_up_to()).unwrap_or_default();
        std::str::from_utf8(valid).unwrap_or_default()
    }))
}

/// Returns the hint for YAML. After its comments it begins with a key, or with `---` or `%YAML`.
fn yaml(text: &str) -> Option<&'static str> {
    for line in text.lines() {
        let key = line.split(':').next().unwrap_or_default();
        if let Some((_, hint)) = YAML_KEYS.iter().find(|(known, _)| *known == key.trim_end()) {
            return Some(hint);
        }
    }
    let mut lines = text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines.next()?;
    let is_key = |key: &str| {
        let key = key.trim_matches('"').trim_start_matches("- ");
        !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    let (key, rest) = first.split_once(':').unwrap_or(("", first));
    let is_yaml = first == "---" || first.starts_with("%YAML") || (is_key(key) && !rest.starts_with('/'));
    is_yaml.then_some(YAML)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_are_not_json_are_told_apart() {
        let utf16 = |text: &str, low_first: bool| -> Vec<u8> {
            let bytes = |unit: u16| if low_first { unit.to_le_bytes() } else { unit.to_be_bytes() };
            text.encode_utf16().flat_map(bytes).collect()
        };
        let table: [(&[u8], &str); 24] = [
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\x28\xb5\x2f\xfd\0", "zstd"),
            (b"\xef\xbb\xbf{}", "byte order mark"),
            (&utf16("\u{feff}{}", true), "UTF-16"),
            (&utf16("\u{feff}{}", false), "UTF-16"),
            (&utf16("{\"ignition\":{}}", true), "UTF-16"),
            (&utf16("{\"ignition\":{}}", false), "UTF-16"),
            (b"\0\0\0\0", "zero bytes"),
            (b"<!DOCTYPE html>\n<html>", "HTML"),
            (b"\n  <html>", "HTML"),
            (b"variant: fcos\nversion: 1.5.0\n", "Butane"),
            (b"# mine\n---\nvariant: flatcar\n", "Butane"),
            (b"version: 1.5.0\nvariant: fcos\n", "Butane"),
            (b"#cloud-config\nusers: []\n", "cloud-init"),
            (b"Content-Type: multipart/mixed; boundary=x\n", "cloud-init"),
            (b"apiVersion: machineconfiguration.openshift.io/v1\nkind: MachineConfig\n", "MachineConfig"),
            (b"passwd:\n  users:\n    - name: core\n", "YAML"),
            (b"---\n- a\n", "YAML"),
            (b"#!/bin/sh\n", "script"),
            (b"eyJpZ25pdGlvbiI6e319", "base64"),
            (b"https://example.com/config.ign", "URL"),
            (b" \n\t", "white space"),
            (b"{'ignition': {}}", ""),
            (b"// a comment\n{}", ""),
        ];
        for (text, word) in table {
            let kind = kind_of(text);
            assert_eq!(kind.is_some(), !word.is_empty(), "{text:?}: {kind:?}");
            assert!(kind.unwrap_or_default().contains(word), "{text:?}: {kind:?}");
        }
        assert_eq!(kind_of(b"nonsense"), None);
    }
}
