//! The entries of systemd-boot: one file each (Boot Loader Specification, type 1).

use std::ops::Range;

use super::Wanted;
use super::wanted::{Edit, apply, words};
use crate::error::Result;

/// Returns the entry in `text` with the wanted words; `None` if it has them already.
///
/// # Errors
/// Those of [`Wanted::edit`].
pub(super) fn edit(text: &[u8], wanted: &Wanted<'_>) -> Result<Option<Vec<u8>>> {
    let mut list: Vec<Range<usize>> = Vec::new();
    let mut first = None;
    for value in values(text, "options") {
        first = first.or(Some(value.start));
        list.extend(words(text, value));
    }
    if let Some(before) = first {
        let mut edits: Vec<Edit> = Vec::new();
        wanted.edit(text, before, &list, &mut edits)?;
        return Ok(apply(text, &edits));
    }
    let newline = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
    let options = wanted.edit_line(b"")?;
    Ok(options.map(|words| [text, newline.as_bytes(), b"options", &words, b"\n"].concat()))
}

/// Returns the words after the key `options`, joined by blanks.
pub(super) fn options(text: &[u8]) -> Vec<u8> {
    let lists: Vec<&[u8]> = values(text, "options").filter_map(|value| text.get(value)).collect();
    lists.join(&b' ').trim_ascii().to_vec()
}

/// Returns whether the entry in `text` starts a kernel. Other entries start a program of UEFI.
pub(super) fn starts_kernel(text: &[u8]) -> bool {
    values(text, "linux").next().is_some()
}

/// Returns the part of each line with `key` that follows the key. Letter case of the key is ignored.
pub(super) fn values<'t>(text: &'t [u8], key: &'t str) -> impl Iterator<Item = Range<usize>> + 't {
    let mut start: usize = 0;
    text.split(|byte| *byte == b'\n').filter_map(move |line| {
        let end = start.saturating_add(line.len());
        start = end.saturating_add(1);
        let line = line.trim_ascii_start();
        let (name, rest) = line.split_at_checked(key.len())?;
        let is_key =
            name.eq_ignore_ascii_case(key.as_bytes()) && rest.first().is_none_or(u8::is_ascii_whitespace);
        is_key.then(|| end.saturating_sub(rest.len())..end)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(text: &str) -> Option<String> {
        let edited = edit(text.as_bytes(), &Wanted::parse("+a +b -quiet")).unwrap()?;
        Some(String::from_utf8(edited).unwrap())
    }

    #[test]
    fn options_are_edited_on_all_their_lines() {
        for (before, after) in [
            (
                "title Debian\noptions root=UUID=x ro quiet\nlinux /k\n",
                "title Debian\noptions root=UUID=x ro a b\nlinux /k\n",
            ),
            ("options quiet\noptions\tro a\n", "options\noptions\tro a b\n"),
            ("linux /k\noptions\n", "linux /k\noptions a b\n"),
            ("linux /k\noptions", "linux /k\noptions a b"),
            ("linux /k", "linux /k\noptions a b\n"),
            ("title quiet options\nOPTIONS ro\r\n", "title quiet options\nOPTIONS ro a b\r\n"),
        ] {
            assert_eq!(edited(before).as_deref(), Some(after), "{before:?}");
            assert_eq!(edited(after), None, "{after:?}");
        }
    }

    #[test]
    fn an_entry_tells_its_options() {
        let text = b"title x\nlinux /m/6.12/linux\ninitrd /m/ucode\ninitrd  /m/6.12/initrd \noptions ro\noptions quiet \n";
        assert_eq!(options(text), b"ro  quiet");
        assert!(starts_kernel(text) && !starts_kernel(b"efi /x"));
    }
}
