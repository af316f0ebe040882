//! The entries of systemd-boot: one file each (Boot Loader Specification, type 1).

use std::ops::Range;

use super::Wanted;
use crate::error::Result;

/// The key of the kernel arguments. An entry may have it several times.
const OPTIONS: &str = "options";

/// Returns the entry in `text` with the wanted words; `None` if it has them already.
///
/// The old lines of options become comments, and a new one follows at the end. So only single bytes of the old text change,
/// which can be done in place and in any order: an entry often lies on a file system that cannot rename a file safely. For the
/// same reason the entry becomes no shorter, if NUL bytes follow its text.
///
/// # Errors
/// Those of [`Wanted::edit_line`].
pub(super) fn edit(entry: &[u8], wanted: &Wanted<'_>) -> Result<Option<Vec<u8>>> {
    let text = read(entry);
    let Some(words) = wanted.edit_line(&options(text))? else { return Ok(None) };
    let mut edited = text.to_vec();
    for value in values(text, OPTIONS) {
        let first = value.start.checked_sub(OPTIONS.len());
        if let Some(first) = first.and_then(|first| edited.get_mut(first)) {
            *first = b'#';
        }
    }
    let newline = if text.is_empty() || text.ends_with(b"\n") { "" } else { "\n" };
    let words = words.trim_ascii();
    if !words.is_empty() {
        edited = [&edited, newline.as_bytes(), OPTIONS.as_bytes(), b" ", words, b"\n"].concat();
    }
    if edited.len() < entry.len() {
        edited.resize(entry.len(), 0);
    }
    Ok(Some(edited))
}

/// Returns the part of an entry that systemd-boot reads: what is before the first NUL byte.
fn read(entry: &[u8]) -> &[u8] {
    entry.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Returns the words after the key `options`, joined by blanks.
pub(super) fn options(text: &[u8]) -> Vec<u8> {
    let text = read(text);
    let lists = values(text, OPTIONS).filter_map(|value| text.get(value)).map(<[u8]>::trim_ascii);
    lists.collect::<Vec<_>>().join(&b' ').trim_ascii().to_vec()
}

/// Returns whether the entry in `text` starts a kernel. Other entries start a program of UEFI.
pub(super) fn starts_kernel(text: &[u8]) -> bool {
    values(read(text), "linux").next().is_some()
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
                "title Debian\n#ptions root=UUID=x ro quiet\nlinux /k\noptions root=UUID=x ro a b\n",
            ),
            ("options quiet\noptions\tro  a\n", "#ptions quiet\n#ptions\tro  a\noptions ro  a b\n"),
            ("linux /k\noptions\n", "linux /k\n#ptions\noptions a b\n"),
            ("linux /k\noptions", "linux /k\n#ptions\noptions a b\n"),
            ("linux /k", "linux /k\noptions a b\n"),
            ("title quiet options\n OPTIONS ro\r\n", "title quiet options\n #PTIONS ro\r\noptions ro a b\n"),
        ] {
            assert_eq!(edited(before).as_deref(), Some(after), "{before:?}");
            assert_eq!(edited(after), None, "{after:?}");
        }
    }

    #[test]
    fn nobody_reads_what_is_behind_a_nul_byte() {
        for (before, after) in [
            ("options quiet\n\0\0", "#ptions quiet\noptions a b\n"),
            (
                "options ro\n\0options x\nlinux /k\n\0\0\0\0\0\0",
                "#ptions ro\noptions ro a b\n\0\0\0\0\0\0\0\0\0\0\0",
            ),
        ] {
            assert_eq!(edited(before).as_deref(), Some(after));
            assert_eq!(edited(after), None, "{after:?}");
        }
        assert!(!starts_kernel(b"title x\n\0linux /k\n"));
    }

    #[test]
    fn an_entry_can_lose_all_its_options() {
        let edited = edit(b"options quiet\n", &Wanted::parse("-quiet")).unwrap();
        assert_eq!(edited.as_deref(), Some(&b"#ptions quiet\n"[..]));
    }

    #[test]
    fn an_entry_tells_its_options() {
        let text = b"title x\nlinux /m/6.12/linux\ninitrd /m/ucode\ninitrd  /m/6.12/initrd \noptions ro\noptions quiet \n";
        assert_eq!(options(text), b"ro quiet");
        assert!(starts_kernel(text) && !starts_kernel(b"efi /x"));
    }
}
