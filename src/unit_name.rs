//! The names of units that systemd derives from paths.

use std::fmt::Write as _;

/// Returns the name, without its suffix, of the unit for `path`: that of the `.mount` unit of a directory, or of the `.swap`
/// unit of a device. systemd.unit(5) has the rules.
pub(crate) fn unit_name(path: &str) -> String {
    let mut name = String::new();
    for (index, byte) in path.trim_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => name.push_str("\\x2e"),
            b':' | b'_' | b'.' => name.push(byte.into()),
            _ if byte.is_ascii_alphanumeric() => name.push(byte.into()),
            // Writing into a string cannot fail.
            _ => drop(write!(name, "\\x{byte:02x}")),
        }
    }
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `systemd-escape --path` prints.
    #[test]
    fn names_are_those_of_systemd() {
        for (path, name) in [
            ("/", "-"),
            ("/var/lib/data", "var-lib-data"),
            ("/dev/disk/by-partlabel/my swap", "dev-disk-by\\x2dpartlabel-my\\x20swap"),
            ("/.snapshots/a.b", "\\x2esnapshots-a.b"),
            ("/srv/ä", "srv-\\xc3\\xa4"),
        ] {
            assert_eq!(unit_name(path), name, "{path}");
        }
    }
}
