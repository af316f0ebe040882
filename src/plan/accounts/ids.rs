//! Chooses free user and group ids.

use super::defaults::LoginDefs;
use crate::map::Map;

/// User ids and group ids are chosen alike, but by different settings.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// User ids.
    Users,
    /// Group ids.
    Groups,
}

/// The range to choose from, `min` to `max`: ascending for normal accounts, descending for system accounts.
pub(super) struct IdRange {
    min: u32,
    max: u32,
    /// The lowest id that may be wished for. It can be lower than `min`.
    lowest_wish: u32,
    system: bool,
}

impl IdRange {
    /// Returns the range that the image sets for normal or for system accounts; `None` if the settings contradict
    /// each other.
    pub(super) fn new(defs: &LoginDefs, space: Space, system: bool) -> Option<Self> {
        let [min, max, system_min, system_max] = match space {
            Space::Users => ["UID_MIN", "UID_MAX", "SYS_UID_MIN", "SYS_UID_MAX"],
            Space::Groups => ["GID_MIN", "GID_MAX", "SYS_GID_MIN", "SYS_GID_MAX"],
        };
        let number = |name, default| u32::try_from(defs.number(name, default)).unwrap_or(u32::MAX);
        let (min, max) = if system {
            let below_people = number(min, 1000).saturating_sub(1);
            (number(system_min, 101), number(system_max, u64::from(below_people)))
        } else {
            (number(min, 1000), number(max, 60000))
        };
        if max < min {
            return None;
        }
        let lowest_wish = if system { 1 } else { min };
        // Id 0 belongs to root, whatever the settings say.
        Some(Self { min: if system { min.max(1) } else { min }, max, lowest_wish, system })
    }

    /// Returns whether the wished `id` is allowed and free.
    pub(super) fn grants(&self, id: u32, used: &Ids) -> bool {
        (self.lowest_wish..=self.max).contains(&id) && !NO_IDS.contains(&id) && used.line_of(id).is_none()
    }

    /// Returns the next id beyond those in use; if there is none, the first free id in a gap.
    pub(super) fn free(&self, used: &Ids) -> Option<u32> {
        if self.system {
            let below = match used.lowest(self.min, self.max) {
                Some(lowest) if lowest > self.min => lowest.saturating_sub(1),
                _ => self.max,
            };
            used.last_free(self.min, below).or_else(|| used.last_free(self.min, self.max))
        } else {
            let above = match used.highest(self.min, self.max) {
                Some(highest) if highest < self.max => highest.saturating_add(1),
                Some(_) | None => self.min,
            };
            used.first_free(above, self.max).or_else(|| used.first_free(self.min, self.max))
        }
    }
}

/// Ids that mean "no id" in system calls.
const NO_IDS: [u32; 2] = [u16::MAX as u32, u32::MAX];

/// Ids in use, and the lines of the account file that have them. No operation takes longer than the logarithm of
/// their number.
#[derive(Default)]
pub(super) struct Ids {
    /// Pairs of id and line, so that the lines of one id are adjacent.
    lines: Map<()>,
    runs: Runs,
}

impl Ids {
    /// Notes that the line `line` has the id `id`.
    pub(super) fn add(&mut self, id: u32, line: usize) {
        self.lines.insert(&key(id.into(), line as u64), ());
        self.runs.add(id.into(), u64::from(id).saturating_add(1));
    }

    /// Removes the note that the line `line` has the id `id`.
    pub(super) fn remove(&mut self, id: u32, line: usize) {
        self.lines.remove(&key(id.into(), line as u64));
        if self.line_of(id).is_none() {
            self.runs.cut(id.into(), u64::from(id).saturating_add(1));
        }
    }

    /// Returns the first line with this id.
    pub(super) fn line_of(&self, id: u32) -> Option<usize> {
        let (found, line) = numbers(self.lines.first_from(&key(id.into(), 0))?.0)?;
        (found == u64::from(id)).then_some(usize::try_from(line).ok()?)
    }

    /// Returns all lines with this id.
    pub(super) fn lines_of(&self, id: u32) -> Vec<usize> {
        let prefix = u64::from(id).to_be_bytes();
        let lines = self.lines.beginning_with(&prefix).filter_map(|(key, ())| numbers(key));
        lines.filter_map(|(_, line)| usize::try_from(line).ok()).collect()
    }

    fn lowest(&self, min: u32, max: u32) -> Option<u32> {
        let (id, _) = numbers(self.lines.first_from(&key(min.into(), 0))?.0)?;
        u32::try_from(id).ok().filter(|id| *id <= max)
    }

    fn highest(&self, min: u32, max: u32) -> Option<u32> {
        let (id, _) = numbers(self.lines.last_up_to(&key(max.into(), u64::MAX))?.0)?;
        u32::try_from(id).ok().filter(|id| *id >= min)
    }

    fn first_free(&self, min: u32, max: u32) -> Option<u32> {
        let mut id = u64::from(min);
        loop {
            if let Some((_, end)) = self.runs.around(id) {
                id = end;
            }
            let free = u32::try_from(id).ok().filter(|id| *id <= max)?;
            if !NO_IDS.contains(&free) {
                return Some(free);
            }
            id = id.saturating_add(1);
        }
    }

    fn last_free(&self, min: u32, max: u32) -> Option<u32> {
        let mut id = u64::from(max);
        loop {
            if let Some((start, _)) = self.runs.around(id) {
                id = start.checked_sub(1)?;
            }
            let free = u32::try_from(id).ok().filter(|id| *id >= min)?;
            if !NO_IDS.contains(&free) {
                return Some(free);
            }
            id = id.checked_sub(1)?;
        }
    }
}

/// A set of numbers as runs without gaps. A run includes its start and excludes its end.
#[derive(Default)]
pub(super) struct Runs(Map<()>);

impl Runs {
    /// Adds the numbers from `start` up to but without `end`.
    pub(super) fn add(&mut self, mut start: u64, mut end: u64) {
        if start >= end {
            return;
        }
        // The run before may reach up to `start`, and later runs may begin before `end`.
        if let Some((low, high)) = self.up_to(start).filter(|(_, high)| *high >= start) {
            (start, end) = (low, end.max(high));
            self.0.remove(&key(low, high));
        }
        while let Some((low, high)) = self.from(start).filter(|(low, _)| *low <= end) {
            end = end.max(high);
            self.0.remove(&key(low, high));
        }
        self.0.insert(&key(start, end), ());
    }

    /// Removes the numbers from `start` up to but without `end`.
    pub(super) fn cut(&mut self, start: u64, end: u64) {
        let mut touched: Vec<(u64, u64)> = self.around(start).into_iter().collect();
        let behind = touched.first().map_or(start, |(_, high)| *high);
        let mut from = behind;
        while let Some((low, high)) = self.from(from).filter(|(low, _)| *low < end) {
            touched.push((low, high));
            from = high;
        }
        for (low, high) in touched {
            self.0.remove(&key(low, high));
            self.add(low, high.min(start));
            self.add(low.max(end), high);
        }
    }

    /// Returns the run that contains `number`.
    pub(super) fn around(&self, number: u64) -> Option<(u64, u64)> {
        self.up_to(number).filter(|(_, end)| *end > number)
    }

    /// Returns the last run that begins at or before `number`.
    pub(super) fn up_to(&self, number: u64) -> Option<(u64, u64)> {
        numbers(self.0.last_up_to(&key(number, u64::MAX))?.0)
    }

    /// Returns the first run that begins at or after `number`.
    pub(super) fn from(&self, number: u64) -> Option<(u64, u64)> {
        numbers(self.0.first_from(&key(number, 0))?.0)
    }
}

/// Returns two numbers as a key. Keys sort as the pairs of numbers do.
pub(super) fn key(one: u64, other: u64) -> [u8; 16] {
    ((u128::from(one) << 64) | u128::from(other)).to_be_bytes()
}

/// Returns the two numbers in a key.
pub(super) fn numbers(key: &[u8]) -> Option<(u64, u64)> {
    let (one, other) = key.split_first_chunk()?;
    Some((u64::from_be_bytes(*one), u64::from_be_bytes(other.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(min: u32, max: u32) -> IdRange {
        IdRange { min, max, lowest_wish: min, system: false }
    }

    fn system(min: u32, max: u32) -> IdRange {
        IdRange { min, max, lowest_wish: 1, system: true }
    }

    fn ids(used: &[u32]) -> Ids {
        let mut ids = Ids::default();
        for (line, id) in used.iter().enumerate() {
            ids.add(*id, line);
        }
        ids
    }

    #[test]
    fn people_count_upwards_and_then_fill_gaps() {
        assert_eq!(people(1000, 1003).free(&ids(&[])), Some(1000));
        assert_eq!(people(1000, 1003).free(&ids(&[0, 1001, 2000])), Some(1002));
        assert_eq!(people(1000, 1003).free(&ids(&[1000, 1003])), Some(1001));
        assert_eq!(people(1000, 1001).free(&ids(&[1000, 1001])), None);
        assert_eq!(people(65534, 65536).free(&ids(&[65534])), Some(65536));
    }

    #[test]
    fn the_system_counts_downwards_and_then_fills_gaps() {
        assert_eq!(system(101, 999).free(&ids(&[0, 100])), Some(999));
        assert_eq!(system(101, 999).free(&ids(&[998, 1000])), Some(997));
        assert_eq!(system(101, 103).free(&ids(&[101, 103])), Some(102));
        assert_eq!(system(101, 102).free(&ids(&[101, 102])), None);
    }

    #[test]
    fn a_wish_is_granted_within_the_range_only() {
        assert!(people(1000, 60000).grants(1500, &ids(&[])));
        assert!(!people(1000, 60000).grants(500, &ids(&[])));
        assert!(!people(1000, 60000).grants(1500, &ids(&[1500])));
        assert!(system(101, 999).grants(50, &ids(&[])));
        assert!(!system(101, 999).grants(0, &ids(&[])));
        assert!(!system(101, 999).grants(1000, &ids(&[])));
        assert!(!people(1000, 70000).grants(65535, &ids(&[])));
    }

    #[test]
    fn an_id_is_free_again_once_its_last_line_is_gone() {
        let mut used = ids(&[7, 8, 9, 8]);
        assert_eq!((used.line_of(8), used.lines_of(8), used.line_of(6)), (Some(1), vec![1, 3], None));
        used.remove(8, 1);
        assert_eq!((used.line_of(8), used.first_free(7, 20)), (Some(3), Some(10)));
        used.remove(8, 3);
        assert_eq!((used.first_free(7, 20), used.last_free(0, 9)), (Some(8), Some(8)));
        let full = ids(&[0, 1, 2]);
        assert_eq!((full.first_free(0, 2), full.last_free(0, 2)), (None, None));
    }

    /// Compares the runs with a list of bits, for pseudo-random numbers.
    #[test]
    fn runs_are_a_set() {
        let mut runs = Runs::default();
        let mut bits = [false; 64];
        let mut random: usize = 1;
        for _ in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (start, length, add) = ((random >> 20) & 63, (random >> 30) & 7, (random >> 40) & 1 == 0);
            let end = (start + length).min(64);
            if add {
                runs.add(start as u64, end as u64);
            } else {
                runs.cut(start as u64, end as u64);
            }
            bits[start..end].fill(add);
            for (number, bit) in bits.iter().enumerate() {
                assert_eq!(runs.around(number as u64).is_some(), *bit, "{number}");
            }
        }
        // Adjacent numbers form one run.
        let starts = (0..64).filter(|at| bits[*at] && (*at == 0 || !bits[at - 1])).count();
        assert_eq!(runs.0.iter().count(), starts);
    }
}
