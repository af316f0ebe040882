//! The one map for planning. The standard library's tree would add 3 KB to the initramfs for each pair of key and
//! value types.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Values by name, sorted by the bytes of the names.
#[derive(Debug)]
pub(super) struct Map<V> {
    numbers: BTreeMap<Vec<u8>, usize>,
    values: Vec<V>,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self { numbers: BTreeMap::new(), values: Vec::new() }
    }
}

impl<V> Map<V> {
    /// Returns the value of `name`.
    pub(super) fn get(&self, name: &[u8]) -> Option<&V> {
        self.values.get(*self.numbers.get(name)?)
    }

    /// Returns the value of `name` for changing it.
    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut V> {
        self.values.get_mut(*self.numbers.get(name)?)
    }

    /// Returns the number of the value of `name`. Values are numbered from 0 in the order of their insertion.
    pub(super) fn number(&self, name: &[u8]) -> Option<usize> {
        self.numbers.get(name).copied()
    }

    /// Sets the value of `name`, replacing an earlier one, and returns the value's number.
    pub(super) fn insert(&mut self, name: &[u8], value: V) -> usize {
        let number = number_for(name, self.values.len(), &mut self.numbers);
        match self.values.get_mut(number) {
            Some(there) => *there = value,
            None => self.values.push(value),
        }
        number
    }

    /// Removes `name` and returns whether it was present. Its value keeps its number and its memory.
    pub(super) fn remove(&mut self, name: &[u8]) -> bool {
        self.numbers.remove(name).is_some()
    }

    /// Returns the first name that is equal to `name` or after it, with its value.
    pub(super) fn first_from<'m>(&'m self, name: &'m [u8]) -> Option<(&'m [u8], &'m V)> {
        self.from(name).next()
    }

    /// Returns the last name that is equal to `name` or before it, with its value.
    pub(super) fn last_up_to(&self, name: &[u8]) -> Option<(&[u8], &V)> {
        let range = (Bound::Unbounded, Bound::Included(name));
        let (name, number) = self.numbers.range::<[u8], _>(range).next_back()?;
        Some((name, self.values.get(*number)?))
    }

    /// Returns all names that begin with `prefix`, in order, each with the number of its value.
    pub(super) fn beginning_with<'m>(
        &'m self,
        prefix: &'m [u8],
    ) -> impl Iterator<Item = (&'m [u8], usize)> + 'm {
        let range = (Bound::Included(prefix), Bound::Unbounded);
        let names = self.numbers.range::<[u8], _>(range).map(|(name, number)| (name.as_slice(), *number));
        names.take_while(move |(name, _)| name.starts_with(prefix))
    }

    fn from<'m>(&'m self, name: &'m [u8]) -> impl Iterator<Item = (&'m [u8], &'m V)> + 'm {
        let range = (Bound::Included(name), Bound::Unbounded);
        let names = self.numbers.range::<[u8], _>(range);
        names.filter_map(|(name, number)| Some((name.as_slice(), self.values.get(*number)?)))
    }

    /// Returns names and values, sorted by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.from(b"")
    }
}

/// Returns the number that `name` has in `numbers`, or gives it the `next` one.
fn number_for(name: &[u8], next: usize, numbers: &mut BTreeMap<Vec<u8>, usize>) -> usize {
    if let Some(number) = numbers.get(name) {
        return *number;
    }
    numbers.insert(name.to_vec(), next);
    next
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_name_counts_and_the_order_is_of_names() {
        let mut map = Map::default();
        for (name, value) in [("b", 1), ("a", 2), ("b", 3), ("\u{e9}", 4)] {
            map.insert(name.as_bytes(), value);
        }
        assert_eq!((map.get(b"a"), map.get(b"b"), map.get(b"c")), (Some(&2), Some(&3), None));
        let values: Vec<i32> = map.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [2, 3, 4]);
        assert_eq!((map.number(b"b"), map.number(b"c")), (Some(0), None));
    }

    #[test]
    fn neighbours_of_a_name() {
        let mut map = Map::default();
        for name in ["a", "ab", "ac", "b"] {
            map.insert(name.as_bytes(), ());
        }
        let name = |found: Option<(&[u8], &())>| found.map(|(name, ())| name.to_vec());
        assert_eq!(name(map.first_from(b"aa")), Some(b"ab".to_vec()));
        assert_eq!(name(map.first_from(b"c")), None);
        assert_eq!(name(map.last_up_to(b"az")), Some(b"ac".to_vec()));
        assert_eq!(name(map.last_up_to(b"")), None);
        let below: Vec<&[u8]> = map.beginning_with(b"a").map(|(name, _)| name).collect();
        assert_eq!(below, [b"a".as_slice(), b"ab", b"ac"]);
        assert!(map.remove(b"ab") && !map.remove(b"ab"));
        assert_eq!(map.get(b"ab"), None);
    }
}
