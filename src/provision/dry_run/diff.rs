//! A small unified diff of two texts.
//!
//! Lines that occur exactly once in each text are matched first. The gaps between them are compared in the same way, a few
//! levels deep. This takes n log n steps, whereas finding the shortest diff can take n².

use std::path::Path;

use crate::sort::order;

/// How many unchanged lines are shown around a change.
const CONTEXT: usize = 3;
/// The most lines that are shown of one file.
const MOST_LINES: usize = 200;
/// The most characters that are shown of one line.
const MOST_CHARACTERS: usize = 200;
/// How many levels deep gaps are searched for lines that are unique in them.
const MOST_LEVELS: u32 = 8;
/// What is shown instead of a password hash.
const HIDDEN: &str = "(hidden)";

/// A line with its sign: `-` if only the old text has it, `+` if only the new one has it, a blank if both have it.
type DiffLine<'t> = (char, &'t str);

/// Returns the diff of the file at `path`, from `old` to `new`. The first character of each line is its sign, or `@` on a line
/// that gives the position of the lines after it. Returns `None` if either is not text.
///
/// Password hashes are hidden: those in account files, and everything that looks like one in other files.
pub(super) fn unified(path: &Path, old: &[u8], new: &[u8]) -> Option<Vec<String>> {
    let (old, new) = (text(old)?, text(new)?);
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let mut changes = Vec::new();
    compare(&old, &new, MOST_LEVELS, &mut changes);
    Some(hunks(&changes, is_account_file(path)))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

fn compare<'t>(old: &[&'t str], new: &[&'t str], levels: u32, changes: &mut Vec<DiffLine<'t>>) {
    let is_same = |(one, other): &(&&str, &&str)| one == other;
    let head = old.iter().zip(new).take_while(is_same).count();
    let (same, old) = old.split_at_checked(head).unwrap_or_default();
    let new = new.get(head..).unwrap_or_default();
    changes.extend(same.iter().map(|line| (' ', *line)));

    let tail = old.iter().rev().zip(new.iter().rev()).take_while(is_same).count();
    let (old, same) = old.split_at_checked(old.len().saturating_sub(tail)).unwrap_or_default();
    let new = new.get(..new.len().saturating_sub(tail)).unwrap_or_default();

    let mut from = (0, 0);
    let pairs = if levels > 0 { pairs(old, new) } else { Vec::new() };
    if pairs.is_empty() {
        changes.extend(old.iter().map(|line| ('-', *line)));
        changes.extend(new.iter().map(|line| ('+', *line)));
    } else {
        let ends = pairs.into_iter().map(Some).chain([None]);
        for end in ends {
            let to = end.unwrap_or((old.len(), new.len()));
            let gap = (old.get(from.0..to.0), new.get(from.1..to.1));
            compare(gap.0.unwrap_or_default(), gap.1.unwrap_or_default(), levels.saturating_sub(1), changes);
            changes.extend(old.get(to.0).filter(|_| end.is_some()).map(|line| (' ', *line)));
            from = (to.0.saturating_add(1), to.1.saturating_add(1));
        }
    }
    changes.extend(same.iter().map(|line| (' ', *line)));
}

/// Returns the places of the lines that stand once in `old` and once in `new`. Of these lines, keeps the most that come in
/// the same order in both texts.
fn pairs(old: &[&str], new: &[&str]) -> Vec<(usize, usize)> {
    let line = |index: usize| match index.checked_sub(old.len()) {
        None => old.get(index),
        Some(index) => new.get(index),
    };
    let count = old.len().saturating_add(new.len());
    let sorted = order(count, &|one, other| line(one).cmp(&line(other)));
    // The place in `new` of each line of `old` that has one.
    let mut matches = vec![None; old.len()];
    for group in sorted.chunk_by(|one, other| line(*one) == line(*other)) {
        if let [one, other] = group {
            if let (Some(place), Some(other)) = (matches.get_mut(*one), other.checked_sub(old.len())) {
                *place = Some(other);
            }
        }
    }
    let matches: Vec<(usize, usize)> =
        matches.into_iter().enumerate().filter_map(|(one, other)| Some((one, other?))).collect();
    rising(&matches)
}

/// Returns the longest part of `pairs` in which the second numbers rise.
fn rising(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    let second = |index: usize| pairs.get(index).map(|pair| pair.1);
    // For each length, the pair with the lowest number that ends a rising part of this length. For each pair, the pair before
    // it in such a part.
    let mut ends: Vec<usize> = Vec::new();
    let mut before = Vec::new();
    for index in 0..pairs.len() {
        let length = ends.partition_point(|end| second(*end) < second(index));
        before.push(length.checked_sub(1).and_then(|shorter| ends.get(shorter)).copied());
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut rising = Vec::new();
    let mut next = ends.last().copied();
    while let Some(index) = next {
        rising.extend(pairs.get(index));
        next = before.get(index).copied().flatten();
    }
    rising.reverse();
    rising
}

/// Returns the changes with a few unchanged lines around each, and a line with the position before each group.
fn hunks(changes: &[DiffLine<'_>], is_account_file: bool) -> Vec<String> {
    let mut shown = Vec::new();
    let (mut old, mut new): (usize, usize) = (1, 1);
    // The number of the first line that is not near any change so far.
    let mut near: usize = 0;
    let mut is_open = false;
    let mut left_off: usize = 0;
    let mut next_change: usize = 0;
    for (index, (sign, line)) in changes.iter().enumerate() {
        if next_change <= index {
            let rest = changes.get(index..).unwrap_or_default();
            let distance = rest.iter().position(|(sign, _)| *sign != ' ');
            next_change = distance.map_or(usize::MAX, |distance| index.saturating_add(distance));
            if next_change == index {
                near = index.saturating_add(CONTEXT).saturating_add(1);
                next_change = index.saturating_add(1);
            }
        }
        let is_shown = index < near || next_change.saturating_sub(index) <= CONTEXT;
        if is_shown && shown.len() >= MOST_LINES {
            left_off = left_off.saturating_add(1);
        } else if is_shown {
            if !is_open {
                shown.push(format!("@@ -{old} +{new} @@"));
            }
            shown.push(format!("{sign}{}", showable(line, is_account_file)));
            if !line.ends_with('\n') {
                shown.push("\\ no newline at the end".to_owned());
            }
        }
        is_open = is_shown;
        old = old.saturating_add(usize::from(*sign != '+'));
        new = new.saturating_add(usize::from(*sign != '-'));
    }
    if left_off > 0 {
        shown.push(format!("@@ {left_off} more lines @@"));
    }
    shown
}

/// Returns a line as it may be shown: hashes hidden, not too long, without control characters.
fn showable(line: &str, is_account_file: bool) -> String {
    let line = line.strip_suffix('\n').unwrap_or(line);
    let fields = line.split(':').enumerate().map(|(index, field)| {
        let is_password = is_account_file && index == 1;
        if is_password && !matches!(field, "" | "x" | "*" | "!" | "!!" | "!*") { HIDDEN } else { field }
    });
    let line = hide_hashes(&fields.collect::<Vec<_>>().join(":"));
    let mut characters = line.chars();
    let mut shown: String = characters.by_ref().take(MOST_CHARACTERS).map(visible).collect();
    if characters.next().is_some() {
        shown.push_str("[...]");
    }
    shown
}

fn visible(character: char) -> char {
    if character.is_control() && character != '\t' { char::REPLACEMENT_CHARACTER } else { character }
}

/// Hides what has the form of a password hash (`crypt(5)`): `$`, a short name, `$`, and then what belongs to it.
fn hide_hashes(line: &str) -> String {
    let mut hidden = String::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once('$') {
        hidden.push_str(before);
        hidden.push('$');
        rest = after;
        let Some((name, hash)) = after.split_once('$') else { continue };
        let is_name = (1..=10).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let length = hash
            .bytes()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"./$=,+-_".contains(byte))
            .count();
        if is_name && length >= 8 {
            hidden.push_str(name);
            hidden.push('$');
            hidden.push_str(HIDDEN);
            rest = hash.get(length..).unwrap_or_default();
        }
    }
    hidden.push_str(rest);
    hidden
}

/// Returns whether the second field of the file's lines is a password. The copies that the shadow tools leave, with `-` at
/// the end of the name, count as well.
fn is_account_file(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    matches!(name.trim_end_matches('-'), "passwd" | "shadow" | "group" | "gshadow")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn diff(path: &str, old: &str, new: &str) -> Vec<String> {
        unified(Path::new(path), old.as_bytes(), new.as_bytes()).unwrap()
    }

    #[test]
    fn changed_lines_are_shown_with_those_around_them() {
        let lines =
            |range: std::ops::Range<u32>| range.map(|line| format!("{line}\n")).collect::<Vec<_>>().concat();
        let old = lines(0..40);
        let new = old.replace("\n10\n", "\nten\n").replace("\n30\n", "\n30\n30 and a half\n");
        assert_eq!(
            diff("/a", &old, &new),
            [
                "@@ -8 +8 @@",
                " 7",
                " 8",
                " 9",
                "-10",
                "+ten",
                " 11",
                " 12",
                " 13",
                "@@ -29 +29 @@",
                " 28",
                " 29",
                " 30",
                "+30 and a half",
                " 31",
                " 32",
                " 33",
            ]
        );
        assert_eq!(diff("/a", &old, &old), [""; 0]);
        assert_eq!(diff("/a", "", "a\nb"), ["@@ -1 +1 @@", "+a", "+b", "\\ no newline at the end"]);
        assert_eq!(diff("/a", "a\n", ""), ["@@ -1 +1 @@", "-a"]);
        let moved = diff("/a", "a\n\nb\n\nc\n", "c\n\na\n\nb\n");
        assert_eq!(moved, ["@@ -1 +1 @@", "+c", "+", " a", " ", " b", "-", "-c"]);
    }

    /// The shown diff turns the old text into the new one.
    #[test]
    fn nothing_is_lost() {
        let mut seed: u32 = 7;
        let mut random = |most: u32| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 16) % most
        };
        for _ in 0..500 {
            let kinds = random(12) + 1;
            let texts: Vec<String> = (0..2)
                .map(|_| (0..random(30)).map(|_| format!("{}\n", random(kinds))).collect::<Vec<_>>().concat())
                .collect();
            let old: Vec<&str> = texts[0].split_inclusive('\n').collect();
            let new: Vec<&str> = texts[1].split_inclusive('\n').collect();
            let mut changes = Vec::new();
            compare(&old, &new, MOST_LEVELS, &mut changes);
            let side = |without: char| -> Vec<&str> {
                changes.iter().filter(|(sign, _)| *sign != without).map(|(_, line)| *line).collect()
            };
            assert_eq!((side('+'), side('-')), (old, new));
        }
    }

    #[test]
    fn what_is_not_text_has_no_lines() {
        assert_eq!(unified(Path::new("/a"), b"a\n", b"a\0b"), None);
        assert_eq!(unified(Path::new("/a"), b"\xff", b"a"), None);
    }

    #[test]
    fn password_hashes_are_hidden() {
        let old =
            "ann:$y$j9T$secretsalt$secrethash:1:0:99999:7:::\nben:!abcdefghijklm:1::::::\nroot:*:1::::::\n";
        let new = "ann:$6$othersalt$otherhash12:1:0:99999:7:::\nben:!:1::::::\nroot:*:1::::::\n";
        for path in ["/etc/shadow", "/etc/gshadow-", "/etc/passwd"] {
            let shown = diff(path, old, new);
            assert_eq!(
                shown[1..],
                [
                    "-ann:(hidden):1:0:99999:7:::",
                    "-ben:(hidden):1::::::",
                    "+ann:(hidden):1:0:99999:7:::",
                    "+ben:!:1::::::",
                    " root:*:1::::::",
                ]
            );
        }
        for hash in [
            "$6$saltsalt$hash/hash.hash",
            "$2b$12$abcdefghijklmnopqrstuv",
            "$y$j9T$F5Jx5fExrKuPp53x",
            "$argon2id$v=19$m=65536,t=2",
        ] {
            let shown = diff("/etc/app.json", "", &format!("\"hash\": \"{hash}\", cost $5 or $HOME\n"));
            let id = hash.split('$').nth(1).unwrap();
            assert_eq!(shown[1], format!("+\"hash\": \"${id}$(hidden)\", cost $5 or $HOME"));
        }
    }

    #[test]
    fn large_and_hostile_texts_are_bounded() {
        let started = std::time::Instant::now();
        let repeated = "x\ny\n".repeat(60_000);
        let other = "y\nz\n".repeat(60_000);
        let numbered = |step: usize| {
            (0..40_000).map(|line| format!("{}\n", line * step % 40_009)).collect::<Vec<_>>().concat()
        };
        for (old, new) in [(repeated.clone(), other), (numbered(7), numbered(11)), (String::new(), repeated)]
        {
            let shown = diff("/a", &old, &new);
            assert!(shown.len() <= MOST_LINES + 2, "{}", shown.len());
        }
        assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
        let shown = diff("/a", "", &format!("\u{1b}[31m{}\n", "x".repeat(10_000)));
        assert!(shown[1].starts_with("+\u{fffd}[31mxxx") && shown[1].ends_with("x[...]"), "{}", shown[1]);
    }
}
