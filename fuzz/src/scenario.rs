//! A config and a root in one readable text, for the targets where both are hostile.
//!
//! ```text
//! user name=core groups=[adm;games uid=7
//! --- /etc/passwd
//! root:x:0:0:root:/root:/bin/bash
//! --- /etc/systemd/system/a.service -> /dev/null
//! ```
//!
//! The newline before a `---` is not part of the file above it; a path with a slash at its end is a directory.
//! Above the first `---` each line is an entry of the config: its kind, then `KEY=VALUE` words. A value is a boolean,
//! a number, a list (`[a;b`), or else text, which a `'` in front keeps from being the others. `\s` is a blank, `\n` a
//! newline.

use serde_json::{Map, Value, json};

use crate::Memory;

/// A config and the root that it is for.
pub struct Scenario {
    /// The config's text.
    pub config: String,
    /// The root.
    pub root: Memory,
}

impl Scenario {
    /// Reads `data` over a root that has something already.
    pub fn read(data: &[u8], mut root: Memory) -> Self {
        let mut parts = split(data, b"\n--- ");
        let config = config(parts.next().unwrap_or_default());
        for part in parts {
            let line = part.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let contents = part.get(line.len() + 1..).unwrap_or_default();
            let line = String::from_utf8_lossy(line);
            match line.split_once(" -> ") {
                Some((path, target)) if !target.is_empty() && !target.contains('\0') => {
                    root.link(path, target);
                }
                Some(_) => {}
                None if line.ends_with('/') => root.directory(&line, 0, 0, 0o755),
                None => root.file(&line, contents),
            }
        }
        Self { config, root }
    }
}

fn split<'d>(data: &'d [u8], mark: &'static [u8]) -> impl Iterator<Item = &'d [u8]> {
    let mut rest = Some(data);
    std::iter::from_fn(move || {
        let all = rest?;
        let end = all.windows(mark.len()).position(|window| window == mark);
        rest = end.map(|end| &all[end + mark.len()..]);
        Some(&all[..end.unwrap_or(all.len())])
    })
}

fn config(lines: &[u8]) -> String {
    let (mut users, mut groups, mut units) = (Vec::new(), Vec::new(), Vec::new());
    for line in String::from_utf8_lossy(lines).lines() {
        let mut words = line.split(' ');
        let list = match words.next() {
            Some("user") => &mut users,
            Some("group") => &mut groups,
            Some("unit") => &mut units,
            _ => continue,
        };
        let pair = |word: &str| word.split_once('=').map(|(key, text)| (key.to_owned(), value(text)));
        list.push(Value::Object(words.filter_map(pair).collect::<Map<_, _>>()));
    }
    let config = json!({
        "ignition": {"version": "3.6.0"},
        "passwd": {"users": users, "groups": groups},
        "systemd": {"units": units},
    });
    config.to_string()
}

fn value(text: &str) -> Value {
    let plain = |text: &str| text.replace("\\s", " ").replace("\\n", "\n");
    if let Some(list) = text.strip_prefix('[') {
        return list.split(';').map(plain).collect();
    }
    if let Some(text) = text.strip_prefix('\'') {
        return plain(text).into();
    }
    match (text, text.parse::<i64>()) {
        ("true", _) => true.into(),
        ("false", _) => false.into(),
        (_, Ok(number)) => number.into(),
        _ => plain(text).into(),
    }
}
