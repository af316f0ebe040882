//! Hints for values: modes, paths, and values of the wrong type.

use crate::json::JsonKind;

/// The modes that people usually give to files and directories, without setuid, setgid and sticky.
const USUAL: &[i64] = &[
    0o400, 0o440, 0o444, 0o500, 0o550, 0o555, 0o600, 0o640, 0o644, 0o660, 0o664, 0o666, 0o700, 0o710, 0o711,
    0o740, 0o744, 0o750, 0o751, 0o754, 0o755, 0o770, 0o774, 0o775, 0o777,
];

/// Returns the value of one to five octal digits; `None` for any other text.
pub(super) fn octal(digits: &str) -> Option<i64> {
    let is_short = (1..=5).contains(&digits.len());
    i64::from_str_radix(digits, 8).ok().filter(|_| is_short && !digits.starts_with(['+', '-']))
}

/// Returns the hint for a mode that is not usual itself, but whose decimal digits are a usual mode if read as octal.
pub(in super::super) fn for_mode(mode: i64) -> Option<String> {
    let meant = octal(&mode.to_string()).filter(|_| mode >= 100)?;
    let is_usual = |mode: i64| mode <= 0o7777 && USUAL.contains(&(mode & 0o777));
    (is_usual(meant) && !is_usual(mode))
        .then(|| format!("{mode} is 0{mode:o} in octal; is {meant} (0{meant:o}) meant?"))
}

/// Returns what to write instead of a value of the kind `found` at `key`. `wanted` says what belongs there, as in "an
/// integer". `text` is the value if it is a string.
pub(in super::super) fn for_type(
    key: &str,
    found: JsonKind,
    wanted: &str,
    text: Option<&str>,
) -> Option<String> {
    let hint = match (key, found, wanted) {
        ("mode", JsonKind::String, "an integer") => {
            let text = text.unwrap_or_default();
            let digits = text.strip_prefix("0o").unwrap_or(text);
            return Some(match octal(digits) {
                Some(value) => format!("JSON has no octal numbers: write {value} for {text}, without quotes"),
                None => "write a decimal number without quotes: 420 is 0644, 493 is 0755".to_owned(),
            });
        }
        ("version", JsonKind::Number, _) => "write the version between double quotes, as in \"3.6.0\"",
        ("contents", JsonKind::String, "an object") => "write the text as {\"source\": \"data:,text\"}",
        ("user" | "group", JsonKind::String, "an object") => "write {\"name\": \"root\"}",
        ("user" | "group", JsonKind::Number, "an object") => "write {\"id\": 0}",
        ("", JsonKind::String, _) => "the config is one quoted string: serve the JSON text itself",
        ("", JsonKind::Array, _) => "the config is one object, between braces",
        (_, JsonKind::String, "an integer") => "write the number without quotes",
        (_, JsonKind::String, "true or false") => "write true or false without quotes",
        (_, JsonKind::Number | JsonKind::Bool, "a string") => "write the value between double quotes",
        (_, _, "a list") => "put the value between [ and ]",
        (_, JsonKind::Array, _) => "remove the [ and ] around the value",
        _ => return None,
    };
    Some(hint.to_owned())
}

/// Returns the hint for a path that is relative, or that only a shell would expand.
pub(in super::super) fn for_path(path: &str) -> Option<&'static str> {
    if let Some(hint) = for_target(path) {
        return Some(hint);
    }
    if path.is_empty() || path.starts_with('/') {
        return None;
    }
    if path.split('/').next().unwrap_or_default().ends_with(':') {
        return Some("write the path as it is in the machine's root, beginning with a slash");
    }
    Some("begin the path with a slash")
}

/// Returns the hint for the target of a link that only a shell would expand. It may be relative.
pub(in super::super) fn for_target(path: &str) -> Option<&'static str> {
    let relative = path.strip_prefix('/').unwrap_or(path);
    if relative.starts_with('~') {
        return Some("write the home directory itself, as in /home/NAME: ~ is not expanded");
    }
    let is_variable = |step: &str| step.starts_with('$') || step.contains("${");
    path.split('/').any(is_variable).then_some("write the value itself: variables are not expanded")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_modes_that_look_octal_are_found() {
        for (mode, words) in [
            (644, "644 is 01204 in octal; is 420 (0644) meant?"),
            (755, "755 is 01363 in octal; is 493 (0755) meant?"),
            (600, "600 is 01130 in octal; is 384 (0600) meant?"),
            (700, "700 is 01274 in octal; is 448 (0700) meant?"),
            (640, "640 is 01200 in octal; is 416 (0640) meant?"),
            (750, "750 is 01356 in octal; is 488 (0750) meant?"),
            (400, "400 is 0620 in octal; is 256 (0400) meant?"),
            (440, "440 is 0670 in octal; is 288 (0440) meant?"),
            (444, "444 is 0674 in octal; is 292 (0444) meant?"),
            (500, "500 is 0764 in octal; is 320 (0500) meant?"),
            (555, "555 is 01053 in octal; is 365 (0555) meant?"),
            (660, "660 is 01224 in octal; is 432 (0660) meant?"),
            (664, "664 is 01230 in octal; is 436 (0664) meant?"),
            (666, "666 is 01232 in octal; is 438 (0666) meant?"),
            (711, "711 is 01307 in octal; is 457 (0711) meant?"),
            (770, "770 is 01402 in octal; is 504 (0770) meant?"),
            (775, "775 is 01407 in octal; is 509 (0775) meant?"),
            (777, "777 is 01411 in octal; is 511 (0777) meant?"),
            (1777, "1777 is 03361 in octal; is 1023 (01777) meant?"),
            (2755, "2755 is 05303 in octal; is 1517 (02755) meant?"),
            (2770, "2770 is 05322 in octal; is 1528 (02770) meant?"),
            (4755, "4755 is 011223 in octal; is 2541 (04755) meant?"),
            (6755, "6755 is 015143 in octal; is 3565 (06755) meant?"),
        ] {
            assert_eq!(for_mode(mode).as_deref(), Some(words), "{mode}");
        }
    }

    #[test]
    fn modes_that_are_meant_get_no_hint() {
        for mode in USUAL.iter().flat_map(|mode| [*mode, mode | 0o1000, mode | 0o2000, mode | 0o4000]) {
            assert_eq!(for_mode(mode), None, "0{mode:o}");
        }
        for mode in [-644, -1, 0, 7, 64, 0o620, 888, 10_644, i64::MAX, i64::MIN] {
            assert_eq!(for_mode(mode).filter(|_| mode != 0o620), None, "{mode}");
        }
    }

    #[test]
    fn paths_that_a_shell_would_change_get_a_hint() {
        for (path, word) in [
            ("~/.bashrc", "~"),
            ("~core/.bashrc", "~"),
            ("/~/.bashrc", "~"),
            ("$HOME/x", "variables"),
            ("/home/$USER/x", "variables"),
            ("/${x}", "variables"),
            ("etc/motd", "slash"),
            ("./motd", "slash"),
            ("C:/motd", "root"),
        ] {
            assert!(for_path(path).unwrap_or_default().contains(word), "{path}");
        }
        for path in ["", "/", "/etc/motd", "/etc/motd~", "/etc/a$b"] {
            assert_eq!(for_path(path), None, "{path}");
        }
    }
}
