//! An account file as lines: those that are entries, and those that nobody understands and that stay as they are.

use super::entry::{Entry, Parse, Range};
use crate::sort::sort;

#[derive(Default)]
struct Line {
    text: Vec<u8>,
    entry: Option<Entry>,
}

/// The file has more than one entry of the name: nobody can tell which one is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// The lines of an account file.
pub(super) struct Table {
    lines: Vec<Line>,
    /// Whether the last line ends in a newline.
    ended: bool,
}

impl Table {
    /// The lines of a file that holds `bytes`, each read by `parse`.
    pub(super) fn parse(bytes: &[u8], parse: Parse) -> Self {
        let ended = bytes.last().is_none_or(|last| *last == b'\n');
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let lines = if bytes.is_empty() {
            Vec::new()
        } else {
            let line = |text: &[u8]| {
                let entry = if is_nis(text) { None } else { parse(text) };
                Line { text: text.to_vec(), entry }
            };
            whole.split(|byte| *byte == b'\n').map(line).collect()
        };
        Self { lines, ended }
    }

    /// What the file will hold.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.lines {
            bytes.extend_from_slice(&line.text);
            bytes.push(b'\n');
        }
        if !self.ended {
            bytes.pop();
        }
        bytes
    }

    /// The entries in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.lines.iter().filter_map(|line| line.entry.as_ref())
    }

    /// The first entry of `name`.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Entry> {
        self.entries().find(|entry| entry.name() == name)
    }

    /// Puts `entry` in place of the one of the same name; a new one goes before the first NIS line, else to the end.
    pub(super) fn update(&mut self, entry: Entry) -> Result<(), Ambiguous> {
        let text = entry.format();
        let mut same = self.lines.iter_mut().filter(|line| is_of(line, entry.name()));
        match (same.next(), same.next()) {
            (Some(_), Some(_)) => Err(Ambiguous),
            (Some(line), None) => {
                *line = Line { text, entry: Some(entry) };
                Ok(())
            }
            (None, _) => {
                let at = self.before_nis();
                if at == self.lines.len() {
                    self.ended = true;
                }
                self.lines.insert(at, Line { text, entry: Some(entry) });
                Ok(())
            }
        }
    }

    /// Changes every entry for which `change` says that it did; entries of one name must not be ambiguous then.
    pub(super) fn update_all(&mut self, change: &mut dyn FnMut(&mut Entry) -> bool) -> Result<(), Ambiguous> {
        let mut changed = Vec::new();
        for entry in self.entries() {
            let mut entry = entry.clone();
            if change(&mut entry) {
                changed.push(entry);
            }
        }
        changed.into_iter().try_for_each(|entry| self.update(entry))
    }

    /// Takes the entry of `name` out, if there is one.
    pub(super) fn remove(&mut self, name: &[u8]) -> Result<(), Ambiguous> {
        if self.lines.iter().filter(|line| is_of(line, name)).count() > 1 {
            return Err(Ambiguous);
        }
        self.remove_all(name);
        Ok(())
    }

    /// Takes all entries of `name` out.
    pub(super) fn remove_all(&mut self, name: &[u8]) {
        if self.lines.last().is_some_and(|line| is_of(line, name)) {
            self.ended = true;
        }
        self.lines.retain(|line| !is_of(line, name));
    }

    fn before_nis(&self) -> usize {
        self.lines.iter().position(|line| is_nis(&line.text)).unwrap_or(self.lines.len())
    }

    /// Adds a range of `count` ids for `owner` between `min` and `max`, unless they have one. `None` if there is no
    /// room for it.
    pub(super) fn add_range(&mut self, owner: &[u8], min: u64, max: u64, count: u64) -> Option<()> {
        // The shadow tools sort here, and leave the file sorted.
        let nis = self.before_nis();
        if let Some(lines) = self.lines.get_mut(..nis) {
            sort(lines, &|one, other| match (&one.entry, &other.entry) {
                (Some(Entry::Range(one)), Some(Entry::Range(other))) => one.cmp(other),
                (one, other) => one.is_none().cmp(&other.is_none()),
            });
        }
        let start = self.free_range(min, max, count)?;
        if self.find(owner).is_none() {
            let entry = Entry::Range(Range { start, count, owner: owner.to_vec() });
            self.ended = true;
            self.lines.push(Line { text: entry.format(), entry: Some(entry) });
        }
        Some(())
    }

    /// The first hole of `count` ids between the sorted ranges.
    fn free_range(&self, min: u64, max: u64, count: u64) -> Option<u64> {
        let end = max.checked_add(1)?;
        let mut low = min;
        for entry in self.entries() {
            let Entry::Range(range) = entry else { continue };
            let high = range.start.min(end);
            if high.checked_sub(low).is_some_and(|room| room > 0 && room >= count) {
                return Some(low);
            }
            low = low.max(range.start.saturating_add(range.count));
            if low > max {
                return None;
            }
        }
        (end.checked_sub(low)? >= count).then_some(low)
    }
}

fn is_of(line: &Line, name: &[u8]) -> bool {
    line.entry.as_ref().is_some_and(|entry| entry.name() == name)
}

/// Lines that include entries of a network's database. They come last.
fn is_nis(line: &[u8]) -> bool {
    matches!(line.first(), Some(b'+' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::super::entry::Group;
    use super::*;

    fn group(name: &str, gid: u32) -> Entry {
        Entry::Group(Group { name: name.into(), password: "x".into(), gid, members: Vec::new() })
    }

    #[test]
    fn every_byte_comes_back() {
        let texts: [&[u8]; 7] =
            [b"", b"\n", b"\n\n", b"a:x:1:", b"a:x:1:\n", b"# c\r\nbroken\n\n\xff", b"+::\na:x:01:,\n"];
        for text in texts {
            assert_eq!(Table::parse(text, Group::parse).to_bytes(), text, "{text:?}");
        }
    }

    #[test]
    fn a_new_entry_ends_an_unended_file_and_stands_before_nis_lines() {
        let mut table = Table::parse(b"a:x:1:", Group::parse);
        table.update(group("b", 2)).unwrap();
        assert_eq!(table.to_bytes(), b"a:x:1:\nb:x:2:\n");
        let mut table = Table::parse(b"a:x:1:\n+:::\n# end", Group::parse);
        table.update(group("b", 2)).unwrap();
        assert_eq!(table.to_bytes(), b"a:x:1:\nb:x:2:\n+:::\n# end");
        let mut table = Table::parse(b"", Group::parse);
        table.update(group("b", 2)).unwrap();
        assert_eq!(table.to_bytes(), b"b:x:2:\n");
    }

    #[test]
    fn only_the_line_in_question_changes() {
        let mut table = Table::parse(b"# c\na:x:01:b,\nbad\nc:x:03:d,", Group::parse);
        table.update(group("a", 5)).unwrap();
        assert_eq!(table.to_bytes(), b"# c\na:x:5:\nbad\nc:x:03:d,");
        table.remove(b"c").unwrap();
        assert_eq!(table.to_bytes(), b"# c\na:x:5:\nbad\n");
        table.remove(b"c").unwrap();
        let change = &mut |entry: &mut Entry| match entry {
            Entry::Group(group) => std::mem::replace(&mut group.gid, 6) == 5,
            _ => false,
        };
        table.update_all(change).unwrap();
        assert_eq!(table.to_bytes(), b"# c\na:x:6:\nbad\n");
    }

    #[test]
    fn two_entries_of_a_name_are_not_guessed_at() {
        let mut table = Table::parse(b"a:x:1:\na:x:2:\n", Group::parse);
        assert_eq!(table.update(group("a", 3)), Err(Ambiguous));
        assert_eq!(table.remove(b"a"), Err(Ambiguous));
        assert_eq!(table.update_all(&mut |_| true), Err(Ambiguous));
        assert_eq!(table.to_bytes(), b"a:x:1:\na:x:2:\n");
    }

    #[test]
    fn a_range_takes_the_first_hole_that_is_large_enough() {
        let room = |text: &str, owner: &str| {
            let mut table = Table::parse(text.as_bytes(), Range::parse);
            let found = table.add_range(owner.as_bytes(), 100, 399, 100);
            found.map(|()| String::from_utf8(table.to_bytes()).unwrap())
        };
        assert_eq!(room("", "u").unwrap(), "u:100:100\n");
        assert_eq!(room("a:100:100", "u").unwrap(), "a:100:100\nu:200:100\n");
        assert_eq!(room("b:200:100\na:100:50\n", "u").unwrap(), "a:100:50\nb:200:100\nu:300:100\n");
        assert_eq!(room("a:0:150\n", "u").unwrap(), "a:0:150\nu:150:100\n");
        assert_eq!(room("# c\na:200:1000\n", "u").unwrap(), "a:200:1000\n# c\nu:100:100\n");
        assert_eq!(room("a:150:1000\n", "u"), None);
        assert_eq!(room("b:9000:1\nu:5000:1\n", "u").unwrap(), "u:5000:1\nb:9000:1\n");
        assert_eq!(room("a:0:18446744073709551615\n", "u"), None);
    }
}
