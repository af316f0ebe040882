//! The choice of a free user or group id.

use super::defaults::LoginDefs;

/// Users and groups are numbered alike, by settings of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Space {
    /// User ids.
    Users,
    /// Group ids.
    Groups,
}

/// The ids to choose from: `min` to `max`, upwards for people, downwards for the system.
pub(super) struct Choice {
    min: u32,
    max: u32,
    /// A wish may be lower than what is given out without one.
    lowest_wish: u32,
    system: bool,
}

impl Choice {
    /// The ids that the image has for people or for the system; `None` if its settings contradict each other.
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
        // Zero is root's, whatever the settings say.
        Some(Self { min: if system { min.max(1) } else { min }, max, lowest_wish, system })
    }

    /// Whether `id` can be had although it was not chosen here.
    pub(super) fn grants(&self, id: u32, used: &[u32]) -> bool {
        (self.lowest_wish..=self.max).contains(&id) && is_free(id, used)
    }

    /// The next free id beyond those in use, else the first free one in a gap.
    pub(super) fn free(&self, used: &[u32]) -> Option<u32> {
        let all = self.min..=self.max;
        let free = |id: &u32| is_free(*id, used);
        let in_range = || used.iter().copied().filter(|id| all.contains(id));
        if self.system {
            let below = match in_range().min() {
                Some(lowest) if lowest > self.min => lowest.saturating_sub(1),
                _ => self.max,
            };
            (self.min..=below).rev().find(free).or_else(|| all.clone().rev().find(free))
        } else {
            let above = match in_range().max() {
                Some(highest) if highest < self.max => highest.saturating_add(1),
                Some(_) | None => self.min,
            };
            (above..=self.max).find(free).or_else(|| all.clone().find(free))
        }
    }
}

/// 65535 and 4294967295 mean "no id" in system calls.
fn is_free(id: u32, used: &[u32]) -> bool {
    id != u32::from(u16::MAX) && id != u32::MAX && !used.contains(&id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(min: u32, max: u32) -> Choice {
        Choice { min, max, lowest_wish: min, system: false }
    }

    fn system(min: u32, max: u32) -> Choice {
        Choice { min, max, lowest_wish: 1, system: true }
    }

    #[test]
    fn people_count_upwards_and_then_fill_gaps() {
        assert_eq!(people(1000, 1003).free(&[]), Some(1000));
        assert_eq!(people(1000, 1003).free(&[0, 1001, 2000]), Some(1002));
        assert_eq!(people(1000, 1003).free(&[1000, 1003]), Some(1001));
        assert_eq!(people(1000, 1001).free(&[1000, 1001]), None);
        assert_eq!(people(65534, 65536).free(&[65534]), Some(65536));
    }

    #[test]
    fn the_system_counts_downwards_and_then_fills_gaps() {
        assert_eq!(system(101, 999).free(&[0, 100]), Some(999));
        assert_eq!(system(101, 999).free(&[998, 1000]), Some(997));
        assert_eq!(system(101, 103).free(&[101, 103]), Some(102));
        assert_eq!(system(101, 102).free(&[101, 102]), None);
    }

    #[test]
    fn a_wish_is_granted_within_the_range_only() {
        assert!(people(1000, 60000).grants(1500, &[]));
        assert!(!people(1000, 60000).grants(500, &[]));
        assert!(!people(1000, 60000).grants(1500, &[1500]));
        assert!(system(101, 999).grants(50, &[]));
        assert!(!system(101, 999).grants(0, &[]));
        assert!(!system(101, 999).grants(1000, &[]));
        assert!(!people(1000, 70000).grants(65535, &[]));
    }
}
