//! Users and groups of a config, in a root whose account files are hostile. Lines that the program does not understand
//! stay as they are, lines that it writes are well formed, and no id is given out twice.
#![no_main]

use std::collections::BTreeMap;

use glowplug_fuzz::{Memory, Scenario, with_plan};
use libfuzzer_sys::fuzz_target;

const FILES: [&str; 6] =
    ["/etc/passwd", "/etc/shadow", "/etc/group", "/etc/gshadow", "/etc/subuid", "/etc/subgid"];

fuzz_target!(|data: &[u8]| {
    let Scenario { config, mut root } = Scenario::read(data, Memory::default());
    let before = root.clone();
    let committed = with_plan(config.as_bytes(), false, &before, |ops| root.commit(ops));
    if committed.is_none() {
        return;
    }
    for path in FILES {
        let lines = |root: &Memory| lines(root.contents(path).unwrap_or_default());
        let (old, new) = (lines(&before), lines(&root));
        let broken = |lines: &[Vec<u8>]| -> Vec<Vec<u8>> {
            lines.iter().filter(|line| !is_entry(path, line)).cloned().collect()
        };
        assert_eq!(broken(&old), broken(&new), "{path}: lines that are no entries have changed");
        let name = |line: &Vec<u8>| line.split(|byte| *byte == b':').next().map(<[u8]>::to_vec);
        let is_new = new.last().is_some_and(|last| old.iter().all(|line| name(line) != name(last)));
        let ended = root.contents(path).is_some_and(|bytes| bytes.ends_with(b"\n"));
        assert!(!is_new || ended, "{path}: a new last line has no end");
        if let Some(id) = id_field(path) {
            let (old, new) = (ids(path, &old, id), ids(path, &new, id));
            for (id, count) in new {
                let was = old.get(&id).copied().unwrap_or_default();
                assert!(count <= was.max(1), "{path}: id {id} is given out twice");
            }
        }
    }
});

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let lines = whole.split(|byte| *byte == b'\n').map(<[u8]>::to_vec);
    if bytes.is_empty() { Vec::new() } else { lines.collect() }
}

fn id_field(path: &str) -> Option<usize> {
    ["/etc/passwd", "/etc/group"].contains(&path).then_some(2)
}

/// How many entries have each id.
fn ids(path: &str, lines: &[Vec<u8>], field: usize) -> BTreeMap<u32, usize> {
    let mut ids = BTreeMap::new();
    for line in lines.iter().filter(|line| is_entry(path, line)) {
        let text = line.split(|byte| *byte == b':').nth(field).unwrap_or_default();
        if let Some(id) = id(text) {
            *ids.entry(id).or_default() += 1;
        }
    }
    ids
}

/// Whether a line is one that the shadow tools understand.
fn is_entry(path: &str, line: &[u8]) -> bool {
    if line.starts_with(b"+") || line.starts_with(b"-") {
        return false;
    }
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b':').collect();
    let is_number = |text: &&[u8]| c_number(text).is_some();
    match (path, fields.as_slice()) {
        ("/etc/passwd", [_, _, uid, gid, _, _, _]) => id(uid).is_some() && id(gid).is_some(),
        ("/etc/group", [_, _, gid, _]) => id(gid).is_some(),
        ("/etc/gshadow", [_, _, _, _]) => true,
        ("/etc/shadow", [_, _, numbers @ ..]) if [3, 6, 7].contains(&numbers.len()) => {
            numbers.iter().filter(|text| !text.is_empty()).all(is_number)
        }
        ("/etc/subuid" | "/etc/subgid", [owner, start, count]) => {
            !owner.is_empty() && is_number(start) && is_number(count)
        }
        _ => false,
    }
}

fn id(text: &[u8]) -> Option<u32> {
    let digits = text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// A number as `strtoul(3)` reads it with base 0, to the end of the text.
fn c_number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?;
    let text = text.strip_prefix('+').unwrap_or(text);
    let (digits, base) = match text.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&text[2..], 16),
        [b'0', ..] => (text, 8),
        _ => (text, 10),
    };
    if digits.starts_with(['+', '-']) { None } else { u64::from_str_radix(digits, base).ok() }
}
