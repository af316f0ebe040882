//! The ranges of subordinate ids: finding free space, as the shadow tools do.

use super::Table;
use crate::map::Map;
use crate::plan::accounts::entry::{AccountEntry, Range};
use crate::plan::accounts::ids::{Runs, key, numbers};

/// The ranges of `subuid` and `subgid`.
#[derive(Default)]
pub(super) struct Ranges {
    /// The start and the line number of each range.
    pub(super) starts: Map<()>,
    pub(super) used: Runs,
    /// The most ids in one range.
    pub(super) largest: u64,
    /// No free space before this number is large enough.
    pub(super) next: u64,
    /// The number of lines that are sorted when the file is written.
    pub(super) sorted: usize,
}

impl Table {
    /// Adds a range of `count` ids for `owner` between `min` and `max`, unless the owner has a range. `None` if there
    /// is no free space for it. `min` and `count` must be the same in each call.
    pub(in crate::plan::accounts) fn add_range(
        &mut self,
        owner: &[u8],
        min: u64,
        max: u64,
        count: u64,
    ) -> Option<()> {
        // The shadow tools sort the ranges at this point, and write the file sorted.
        self.ranges.sorted = if self.nis.is_empty() { self.lines.len() } else { self.nis.start };
        let start = self.free_range(min, max, count)?;
        if self.find(owner).is_none() {
            self.ended = true;
            self.add(None, Some(AccountEntry::Range(Range { start, count, owner: owner.into() })));
        }
        Some(())
    }

    /// Returns the start of the first free space for `count` ids.
    fn free_range(&mut self, min: u64, max: u64, count: u64) -> Option<u64> {
        let end = max.checked_add(1)?;
        let mut low = min.max(self.ranges.next);
        loop {
            if let Some((_, behind)) = self.ranges.used.around(low) {
                low = behind;
            }
            let high = self.ranges.used.from(low).map_or(end, |(start, _)| start.min(end));
            if high.checked_sub(low)? >= count {
                self.ranges.next = low;
                return Some(low);
            }
            low = high;
            if low >= end {
                return None;
            }
        }
    }

    /// Frees the ids of a removed range, except those that another range also contains.
    pub(super) fn free(&mut self, range: &Range, number: usize) {
        let Ranges { starts, used, largest, next, .. } = &mut self.ranges;
        let end = range.start.saturating_add(range.count);
        starts.remove(&key(range.start, number as u64));
        used.cut(range.start, end);
        let first = key(range.start.saturating_sub(*largest), 0);
        let mut from = first.to_vec();
        while let Some((start, line)) = starts.first_from(&from).and_then(|(key, ())| numbers(key)) {
            if start >= end {
                break;
            }
            let other = usize::try_from(line).ok().and_then(|line| self.lines.get(line));
            if let Some(AccountEntry::Range(other)) = other.and_then(|line| line.entry.as_ref()) {
                used.add(other.start, other.start.saturating_add(other.count));
            }
            from = key(start, line.saturating_add(1)).to_vec();
        }
        // The free space begins where the range before it ends.
        *next = (*next).min(used.up_to(range.start).map_or(0, |(_, end)| end));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
