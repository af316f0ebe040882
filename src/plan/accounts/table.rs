//! An account file as lines. Lines that are not entries stay unchanged.
//!
//! Names, ids and memberships are indexed, so that no change scans all lines.

mod ranges;

use self::ranges::Ranges;
use super::entry::{AccountEntry, MEMBERS, Names, Parse};
use super::ids::{Ids, key};
use crate::map::Map;
use crate::plan::numbers::Numbers;
use crate::sort::order;

struct TableLine {
    /// The text of the line as it was read; `None` if the entry has changed.
    text: Option<Box<[u8]>>,
    /// The entry of the line. A line with neither text nor entry has been removed.
    entry: Option<AccountEntry>,
}

/// The error for a name with more than one entry in the file: it is unclear which one is meant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ambiguous;

/// The position of a name among the members or administrators of a group.
#[derive(Clone, Copy)]
struct Membership {
    line: usize,
    list: usize,
    place: usize,
}

/// The lines of an account file.
#[derive(Default)]
pub(super) struct Table {
    /// The lines of the file, followed by new lines.
    lines: Vec<TableLine>,
    /// The lines of the file from the first NIS line on. New lines are written before these.
    nis: std::ops::Range<usize>,
    /// Whether the last line ends in a newline.
    ended: bool,
    /// The numbers of the lines of each name.
    names: Map<Numbers>,
    /// The lines of users by uid in `passwd`, those of groups by gid in `group`.
    pub(super) ids: Ids,
    /// The lines of users by the id of their primary group.
    pub(super) primary: Ids,
    /// The groups in which each name is listed. Removed memberships may still be listed here: see [`Table::holds`].
    memberships: Map<Vec<Membership>>,
    ranges: Ranges,
}

impl Table {
    /// Splits `bytes` into lines and parses each line by `parse`.
    pub(super) fn parse(bytes: &[u8], parse: Parse) -> Self {
        let mut table = Self { ended: bytes.last().is_none_or(|last| *last == b'\n'), ..Self::default() };
        let whole = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let mut first_nis = None;
        for text in whole.split(|byte| *byte == b'\n').filter(|_| !bytes.is_empty()) {
            // These lines include entries of a network database. They are the last lines of a file.
            let is_nis = matches!(text.first(), Some(b'+' | b'-'));
            if is_nis && first_nis.is_none() {
                first_nis = Some(table.lines.len());
            }
            let entry = if is_nis { None } else { parse(text) };
            table.add(Some(text.into()), entry);
        }
        table.nis = first_nis.unwrap_or(table.lines.len())..table.lines.len();
        table
    }

    /// Appends a line.
    fn add(&mut self, text: Option<Box<[u8]>>, entry: Option<AccountEntry>) {
        let number = self.lines.len();
        if let Some(entry) = &entry {
            match self.names.get_mut(entry.name()) {
                Some(lines) => lines.push(number),
                None => drop(self.names.insert(entry.name(), Numbers::one(number))),
            }
            for (list, names) in entry.lists().into_iter().enumerate() {
                for (place, name) in names.into_iter().flat_map(Names::iter) {
                    note(&mut self.memberships, name, Membership { line: number, list, place });
                }
            }
        }
        self.lines.push(TableLine { text, entry });
        self.note_numbers(number, true);
    }

    /// Adds the ids of a line to the indexes if `is_there`; removes them otherwise.
    fn note_numbers(&mut self, number: usize, is_there: bool) {
        let Some(entry) = self.lines.get(number).and_then(|line| line.entry.as_ref()) else { return };
        let set = |ids: &mut Ids, id| if is_there { ids.add(id, number) } else { ids.remove(id, number) };
        match entry {
            AccountEntry::Passwd(user) => {
                let (uid, gid) = (user.uid, user.gid);
                set(&mut self.ids, uid);
                set(&mut self.primary, gid);
            }
            AccountEntry::Group(group) => set(&mut self.ids, group.gid),
            AccountEntry::Range(range) if is_there => {
                let end = range.start.saturating_add(range.count);
                self.ranges.starts.insert(&key(range.start, number as u64), ());
                self.ranges.used.add(range.start, end);
                self.ranges.largest = self.ranges.largest.max(range.count);
            }
            AccountEntry::Range(range) => {
                let range = range.clone();
                self.free(&range, number);
            }
            AccountEntry::Shadow(_) | AccountEntry::Gshadow(_) => {}
        }
    }

    /// Returns the new contents of the file.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in self.in_order().into_iter().filter_map(|number| self.lines.get(number)) {
            match (&line.text, &line.entry) {
                (Some(text), _) => bytes.extend_from_slice(text),
                (None, Some(entry)) => bytes.extend_from_slice(&entry.format()),
                (None, None) => continue,
            }
            bytes.push(b'\n');
        }
        if !self.ended {
            bytes.pop();
        }
        bytes
    }

    /// Returns the numbers of all lines in the order of the file.
    fn in_order(&self) -> Vec<usize> {
        let (nis, end) = (self.nis.clone(), self.lines.len());
        let is_of_ranges = self.lines.iter().any(|line| matches!(line.entry, Some(AccountEntry::Range(_))));
        if nis.is_empty() {
            let mut numbers = self.sorted(self.ranges.sorted);
            numbers.extend(self.ranges.sorted..end);
            return numbers;
        }
        let mut numbers = self.sorted(self.ranges.sorted.min(nis.start));
        numbers.extend(self.ranges.sorted.min(nis.start)..nis.start);
        // New ranges are not written before the NIS lines.
        if is_of_ranges {
            numbers.extend(nis.start..end);
        } else {
            numbers.extend(nis.end..end);
            numbers.extend(nis);
        }
        numbers
    }

    /// Returns the first `count` lines sorted by their ranges. Lines without a range come last.
    fn sorted(&self, count: usize) -> Vec<usize> {
        let entry = |number: usize| self.lines.get(number).and_then(|line| line.entry.as_ref());
        order(count, &|one, other| match (entry(one), entry(other)) {
            (Some(AccountEntry::Range(one)), Some(AccountEntry::Range(other))) => one.cmp(other),
            (one, other) => one.is_none().cmp(&other.is_none()),
        })
    }

    /// Returns the entries in the order of the file.
    pub(super) fn entries(&self) -> impl Iterator<Item = &AccountEntry> {
        self.lines.iter().filter_map(|line| line.entry.as_ref())
    }

    /// Returns the first entry of `name`.
    pub(super) fn find(&self, name: &[u8]) -> Option<&AccountEntry> {
        self.entry(*self.names.get(name)?.as_slice().first()?)
    }

    /// Returns the entry in this line.
    pub(super) fn entry(&self, number: usize) -> Option<&AccountEntry> {
        self.lines.get(number)?.entry.as_ref()
    }

    /// Returns the number of the only line of `name`; `None` if there is no such line.
    fn only_line(&self, name: &[u8]) -> Result<Option<usize>, Ambiguous> {
        match self.names.get(name).map(Numbers::as_slice) {
            None | Some([]) => Ok(None),
            Some([number]) => Ok(Some(*number)),
            Some(_) => Err(Ambiguous),
        }
    }

    /// Replaces the entry of the same name. Both must share the same lists of names. A new entry is written before
    /// the first NIS line, or at the end.
    pub(super) fn update(&mut self, entry: AccountEntry) -> Result<(), Ambiguous> {
        let Some(number) = self.only_line(entry.name())? else {
            self.ended |= self.nis.is_empty();
            self.add(None, Some(entry));
            return Ok(());
        };
        self.note_numbers(number, false);
        if let Some(line) = self.lines.get_mut(number) {
            *line = TableLine { text: None, entry: Some(entry) };
        }
        self.note_numbers(number, true);
        Ok(())
    }

    /// Changes the primary group from the id `old` to `new` for all users who have it.
    pub(super) fn change_primary(&mut self, old: u32, new: u32) -> Result<(), Ambiguous> {
        for number in self.primary.lines_of(old) {
            if let Some(AccountEntry::Passwd(user)) = self.entry(number) {
                let mut user = user.clone();
                user.gid = new;
                self.update(AccountEntry::Passwd(user))?;
            }
        }
        Ok(())
    }

    /// Makes `name` a member of those `groups` that are in the file. With `rewrite`, lines that already have the
    /// member are formatted anew, as `useradd` does.
    pub(super) fn join(&mut self, name: &[u8], groups: &[Vec<u8>], rewrite: bool) -> Result<(), Ambiguous> {
        let mut joined: Map<()> = Map::default();
        for membership in self.memberships.get(name).into_iter().flatten() {
            if membership.list == MEMBERS && self.holds(*membership, name) {
                joined.insert(&membership.line.to_be_bytes(), ());
            }
        }
        for group in groups {
            let number = match self.names.get(group).map(Numbers::as_slice) {
                None | Some([]) => continue,
                Some([number]) => *number,
                Some(lines)
                    if !rewrite && lines.iter().all(|line| joined.get(&line.to_be_bytes()).is_some()) =>
                {
                    continue;
                }
                Some(_) => return Err(Ambiguous),
            };
            let is_member = joined.get(&number.to_be_bytes()).is_some();
            joined.insert(&number.to_be_bytes(), ());
            let Some(line) = self.lines.get_mut(number).filter(|_| rewrite || !is_member) else { continue };
            line.text = None;
            if is_member {
                continue;
            }
            if let Some(names) = line.entry.as_mut().and_then(|entry| entry.list_mut(MEMBERS)) {
                let place = names.push(name);
                note(&mut self.memberships, name, Membership { line: number, list: MEMBERS, place });
            }
        }
        Ok(())
    }

    /// Removes `name` from the members of all groups that are not in `keep`; with `admins`, from their administrators
    /// too.
    pub(super) fn leave(&mut self, name: &[u8], keep: &Map<()>, admins: bool) -> Result<(), Ambiguous> {
        let Some(all) = self.memberships.get_mut(name).map(std::mem::take) else { return Ok(()) };
        let mut kept = Vec::new();
        for membership in all {
            let group = self.entry(membership.line).filter(|_| self.holds(membership, name));
            let Some(group) = group.map(|group| group.name().to_vec()) else { continue };
            if keep.get(&group).is_some() || (membership.list != MEMBERS && !admins) {
                kept.push(membership);
                continue;
            }
            self.only_line(&group)?;
            if let Some(line) = self.lines.get_mut(membership.line) {
                line.text = None;
                if let Some(names) = line.entry.as_mut().and_then(|entry| entry.list_mut(membership.list)) {
                    names.remove(membership.place);
                }
            }
        }
        self.memberships.insert(name, kept);
        Ok(())
    }

    /// Returns whether `name` is still listed at this position.
    fn holds(&self, membership: Membership, name: &[u8]) -> bool {
        let Some(entry) = self.entry(membership.line) else { return false };
        let list = entry.lists().get(membership.list).copied().flatten();
        list.and_then(|names| names.get(membership.place)) == Some(name)
    }

    /// Removes the entry of `name`, if there is one.
    pub(super) fn remove(&mut self, name: &[u8]) -> Result<(), Ambiguous> {
        self.only_line(name)?;
        self.remove_all(name);
        Ok(())
    }

    /// Removes all entries of `name`.
    pub(super) fn remove_all(&mut self, name: &[u8]) {
        let Some(lines) = self.names.get_mut(name).map(Numbers::take) else { return };
        for number in lines.as_slice().iter().copied() {
            // If the last line is removed, the line before it ends in a newline.
            let end = if self.nis.is_empty() { self.lines.len() } else { self.nis.end };
            self.ended |= number.saturating_add(1) == end;
            self.note_numbers(number, false);
            if let Some(line) = self.lines.get_mut(number) {
                *line = TableLine { text: None, entry: None };
            }
        }
    }
}

fn note(memberships: &mut Map<Vec<Membership>>, name: &[u8], membership: Membership) {
    match memberships.get_mut(name) {
        Some(known) => known.push(membership),
        None => drop(memberships.insert(name, vec![membership])),
    }
}

#[cfg(test)]
mod tests {
    use super::super::entry::Group;
    use super::*;

    fn group(name: &str, gid: u32) -> AccountEntry {
        AccountEntry::Group(Group {
            name: name.as_bytes().into(),
            password: b"x".as_slice().into(),
            gid,
            members: Names::default(),
        })
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
        table.update(group("a", 6)).unwrap();
        assert_eq!(table.to_bytes(), b"# c\na:x:6:\nbad\n");
    }

    #[test]
    fn two_entries_of_a_name_are_not_guessed_at() {
        let mut table = Table::parse(b"a:x:1:\na:x:2:\n", Group::parse);
        assert_eq!(table.update(group("a", 3)), Err(Ambiguous));
        assert_eq!(table.remove(b"a"), Err(Ambiguous));
        assert_eq!(table.join(b"u", &[b"a".to_vec()], true), Err(Ambiguous));
        assert_eq!(table.to_bytes(), b"a:x:1:\na:x:2:\n");
    }
}
