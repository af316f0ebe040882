//! Command line flags, parsed as by the two Go packages that the reference uses: `flag` and `pflag`.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// The package whose rules hold.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// `flag`: `-x v`, `--x v`, `-x=v` or `--x=v`, all before the operands.
    Go,
    /// `pflag`: `--x v` or `--x=v`, also after operands.
    Pflag,
}

/// A flag. A flag with an empty kind is a boolean.
#[derive(Clone, Copy)]
struct Flag {
    name: &'static str,
    kind: &'static str,
    default: &'static str,
    about: &'static str,
}

/// Parses a table of flags: one a line, with the fields of [`Flag`] separated by `|`.
fn flags(table: &'static str) -> impl Iterator<Item = Flag> {
    table.lines().map(|line| {
        let mut fields = line.split('|');
        let mut field = || fields.next().unwrap_or_default();
        Flag { name: field(), kind: field(), default: field(), about: field() }
    })
}

fn find(table: &'static str, name: &str) -> Option<Flag> {
    flags(table).find(|flag| flag.name == name)
}

/// Why the arguments call for nothing to be done.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum CallRefused {
    /// They ask for help.
    Help,
    /// They are wrong. The text says why, in the words of the Go package.
    Wrong(String),
}

/// The parsed arguments.
#[derive(Debug)]
pub(super) struct Given {
    known: &'static str,
    values: Vec<(&'static str, OsString)>,
    pub operands: Vec<OsString>,
}

impl Given {
    /// Returns whether the arguments have the flag.
    pub fn has(&self, name: &str) -> bool {
        self.values.iter().any(|(own, _)| *own == name)
    }

    /// Returns the flag's value: the last one that was given, or else its default.
    pub fn value(&self, name: &str) -> &OsStr {
        let last = self.values.iter().rev().find(|(own, _)| *own == name);
        let default = find(self.known, name).map_or("", |flag| flag.default);
        last.map_or(OsStr::new(default), |(_, value)| value)
    }

    /// Returns whether a boolean flag is true.
    pub fn is_set(&self, name: &str) -> bool {
        boolean(self.value(name)) == Some(true)
    }
}

pub(super) fn text(value: &OsStr) -> Cow<'_, str> {
    value.to_string_lossy()
}

/// Splits a flag into its name and its value after `=`, if it has one. Returns `None` for an operand and for `--`.
pub(super) fn name(argument: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    let flag = argument.strip_prefix(b"-").filter(|rest| !rest.is_empty())?;
    let flag = flag.strip_prefix(b"-").unwrap_or(flag);
    if flag.is_empty() {
        return None;
    }
    // As in Go, an `=` in the first place is part of the name, which is then refused.
    match flag.iter().skip(1).position(|byte| *byte == b'=') {
        Some(at) => {
            let (name, value) = flag.split_at_checked(at.saturating_add(1))?;
            Some((name, value.get(1..)))
        }
        None => Some((flag, None)),
    }
}

/// Parses `arguments`, without the program's name.
///
/// # Errors
/// [`CallRefused`] if they ask for help, or are wrong.
pub(super) fn read(
    dialect: Dialect,
    known: &'static str,
    arguments: &[OsString],
) -> Result<Given, CallRefused> {
    let mut given = Given { known, values: Vec::new(), operands: Vec::new() };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            break;
        }
        let Some((name, value)) = name(argument.as_bytes()) else {
            given.operands.push(argument.clone());
            if dialect == Dialect::Go {
                break;
            }
            continue;
        };
        let flag = known_flag(dialect, known, &text(argument), &String::from_utf8_lossy(name))?;
        let value = match value {
            Some(value) => Some(OsString::from_vec(value.to_owned())),
            None if flag.kind.is_empty() => Some("true".into()),
            None => rest.next().cloned(),
        };
        given.values.push((flag.name, checked(dialect, flag, value)?));
    }
    given.operands.extend(rest.cloned());
    Ok(given)
}

/// Finds the flag `name` of the argument `whole`.
fn known_flag(dialect: Dialect, known: &'static str, whole: &str, name: &str) -> Result<Flag, CallRefused> {
    let wrong = |what: String| Err(CallRefused::Wrong(what));
    if dialect == Dialect::Pflag && !whole.starts_with("--") {
        return match whole.chars().nth(1) {
            Some('h') => Err(CallRefused::Help),
            first => wrong(format!("unknown shorthand flag: {:?} in {whole}", first.unwrap_or_default())),
        };
    }
    if name.starts_with(['-', '=']) {
        return wrong(format!("bad flag syntax: {whole}"));
    }
    match (find(known, name), name, dialect) {
        (Some(flag), ..) => Ok(flag),
        (None, "help", _) | (None, "h", Dialect::Go) => Err(CallRefused::Help),
        (None, _, Dialect::Go) => wrong(format!("flag provided but not defined: -{name}")),
        (None, _, Dialect::Pflag) => wrong(format!("unknown flag: --{name}")),
    }
}

/// Returns the value of `flag`, if there is one and it fits.
fn checked(dialect: Dialect, flag: Flag, value: Option<OsString>) -> Result<OsString, CallRefused> {
    let dashes = if dialect == Dialect::Go { "-" } else { "--" };
    let name = flag.name;
    match value {
        None => Err(CallRefused::Wrong(format!("flag needs an argument: {dashes}{name}"))),
        Some(value) if flag.kind.is_empty() && boolean(&value).is_none() => {
            let value = text(&value);
            let what = format!("invalid boolean value {value:?} for {dashes}{name}: parse error");
            Err(CallRefused::Wrong(what))
        }
        Some(value) => Ok(value),
    }
}

/// Parses a boolean as Go's `strconv.ParseBool` does.
fn boolean(value: &OsStr) -> Option<bool> {
    match value.as_bytes() {
        b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True" => Some(true),
        b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False" => Some(false),
        _ => None,
    }
}

/// Returns the list of flags for the usage, in the form of the dialect.
pub(super) fn usage(dialect: Dialect, known: &'static str) -> String {
    let mut lines = String::new();
    let width = flags(known).map(|flag| flag.name.len().saturating_add(flag.kind.len())).max().unwrap_or(0);
    for Flag { name, kind, default, about } in flags(known) {
        let call = format!("{name} {kind}");
        // Writing into a string cannot fail.
        let _ = match dialect {
            Dialect::Go => write!(lines, "  -{}\n    \t{about}", call.trim_end()),
            Dialect::Pflag => write!(lines, "      --{call:<0$}{about}", width.saturating_add(4)),
        };
        if !default.is_empty() {
            let _ = write!(lines, " (default {default})");
        }
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &str = "root|string|/|root\nversion|||version";

    fn read(dialect: Dialect, arguments: &str) -> Result<Given, CallRefused> {
        let arguments: Vec<OsString> = arguments.split_whitespace().map(OsString::from).collect();
        super::read(dialect, KNOWN, &arguments)
    }

    fn wrong(dialect: Dialect, arguments: &str) -> String {
        match read(dialect, arguments) {
            Err(CallRefused::Wrong(what)) => what,
            other => panic!("{arguments}: {other:?}"),
        }
    }

    #[test]
    fn go_reads_all_spellings_up_to_the_first_operand() {
        for spelling in
            ["-root /r", "--root /r", "-root=/r", "--root=/r", "-root /a -root /r", "-root /r x -root /b"]
        {
            assert_eq!(read(Dialect::Go, spelling).unwrap().value("root"), "/r", "{spelling}");
        }
        let given = read(Dialect::Go, "-version=F -- -root x").unwrap();
        assert!(given.has("version") && !given.is_set("version"));
        assert_eq!(given.value("root"), "/");
        assert_eq!(given.operands, ["-root", "x"]);
        assert_eq!(read(Dialect::Go, "- -version").unwrap().operands, ["-", "-version"]);
        assert_eq!(read(Dialect::Go, "-root=a=b").unwrap().value("root"), "a=b");
        assert_eq!(read(Dialect::Go, "-root=").unwrap().value("root"), "");
    }

    #[test]
    fn pflag_reads_flags_anywhere() {
        let given = read(Dialect::Pflag, "a --root /r b --version -").unwrap();
        assert_eq!(given.operands, ["a", "b", "-"]);
        assert_eq!(given.value("root"), "/r");
        assert!(given.is_set("version"));
    }

    #[test]
    fn wrong_calls_are_told_in_the_library_s_words() {
        for (arguments, what) in [
            ("-x", "flag provided but not defined: -x"),
            ("--x=1", "flag provided but not defined: -x"),
            ("-root", "flag needs an argument: -root"),
            ("---x", "bad flag syntax: ---x"),
            ("--=x", "bad flag syntax: --=x"),
            ("-version=maybe", "invalid boolean value \"maybe\" for -version: parse error"),
        ] {
            assert_eq!(wrong(Dialect::Go, arguments), what);
        }
        for (arguments, what) in [
            ("a --x", "unknown flag: --x"),
            ("-root x", "unknown shorthand flag: 'r' in -root"),
            ("--root", "flag needs an argument: --root"),
        ] {
            assert_eq!(wrong(Dialect::Pflag, arguments), what);
        }
        for (dialect, arguments) in [
            (Dialect::Go, "-h"),
            (Dialect::Go, "--help"),
            (Dialect::Pflag, "-h"),
            (Dialect::Pflag, "x --help"),
        ] {
            assert_eq!(read(dialect, arguments).unwrap_err(), CallRefused::Help, "{arguments}");
        }
    }

    #[test]
    fn usage_in_both_forms() {
        assert_eq!(
            usage(Dialect::Go, KNOWN),
            "  -root string\n    \troot (default /)\n  -version\n    \tversion\n"
        );
        assert_eq!(
            usage(Dialect::Pflag, KNOWN),
            "      --root string   root (default /)\n      --version       version\n"
        );
    }
}
