//! The one map. Only the values have a type of their own, so the code that finds names is there once.

use super::names::{Key, Names};

/// Values by name, sorted by the bytes of the names.
#[derive(Debug)]
pub(crate) struct Map<V> {
    names: Names,
    /// The value of each name, by the name's number.
    values: Vec<V>,
}

impl<V> Default for Map<V> {
    fn default() -> Self {
        Self { names: Names::default(), values: Vec::new() }
    }
}

impl<V> Map<V> {
    /// Returns the value of `name`.
    pub(crate) fn get(&self, name: &[u8]) -> Option<&V> {
        self.values.get(self.number(name)?)
    }

    /// Returns the value of `name` for changing it.
    pub(crate) fn get_mut(&mut self, name: &[u8]) -> Option<&mut V> {
        let number = self.number(name)?;
        self.values.get_mut(number)
    }

    /// Returns the number of the value of `name`. Values are numbered from 0 in the order of their insertion.
    pub(crate) fn number(&self, name: &[u8]) -> Option<usize> {
        self.names.number(key(name)).map(|number| number as usize)
    }

    /// Sets the value of `name`, replacing an earlier one, and returns the value's number.
    pub(crate) fn insert(&mut self, name: &[u8], value: V) -> usize {
        let number = self.names.insert(key(name)) as usize;
        match self.values.get_mut(number) {
            Some(there) => *there = value,
            None => self.values.push(value),
        }
        number
    }

    /// Removes `name` and returns whether it was present. Its value keeps its number and its memory.
    pub(crate) fn remove(&mut self, name: &[u8]) -> bool {
        self.names.remove(key(name))
    }

    /// Returns the first name that is equal to `name` or after it, with its value.
    pub(crate) fn first_from(&self, name: &[u8]) -> Option<(&[u8], &V)> {
        self.at(self.names.near(key(name), false)?)
    }

    /// Returns the last name that is equal to `name` or before it, with its value.
    pub(crate) fn last_up_to(&self, name: &[u8]) -> Option<(&[u8], &V)> {
        self.at(self.names.near(key(name), true)?)
    }

    /// Returns all names that begin with `prefix`, in order, each with its value.
    pub(crate) fn beginning_with<'m>(&'m self, prefix: &[u8]) -> impl Iterator<Item = (&'m [u8], &'m V)> {
        self.names.beginning_with(key(prefix)).filter_map(|number| self.at(number))
    }

    /// Returns names and values, sorted by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.beginning_with(b"")
    }

    fn at(&self, number: u32) -> Option<(&[u8], &V)> {
        Some((self.names.get(number)?.name, self.values.get(number as usize)?))
    }
}

/// All names of a map are in one group.
fn key(name: &[u8]) -> Key<'_> {
    Key { group: 0, name }
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
        let below: Vec<&[u8]> = map.beginning_with(b"a").map(|(name, ())| name).collect();
        assert_eq!(below, [b"a".as_slice(), b"ab", b"ac"]);
        assert!(map.remove(b"ab") && !map.remove(b"ab"));
        assert_eq!(map.get(b"ab"), None);
    }
}
