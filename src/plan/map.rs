//! One map for the whole of planning: each kind of key or value that the standard library's tree is used for costs its
//! own copy of the algorithm, 3 KB of the initramfs.

use std::collections::BTreeMap;

/// Values by name, in the order of the names' bytes.
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
    /// The value of `name`.
    pub(super) fn get(&self, name: &[u8]) -> Option<&V> {
        self.values.get(*self.numbers.get(name)?)
    }

    /// The same, to be changed.
    pub(super) fn get_mut(&mut self, name: &[u8]) -> Option<&mut V> {
        self.values.get_mut(*self.numbers.get(name)?)
    }

    /// Gives `name` a value, in place of the one that it has.
    pub(super) fn insert(&mut self, name: &[u8], value: V) {
        if let Some(there) = self.get_mut(name) {
            *there = value;
        } else {
            self.numbers.insert(name.to_vec(), self.values.len());
            self.values.push(value);
        }
    }

    /// Names and values in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &V)> {
        self.numbers.iter().filter_map(|(name, number)| Some((name.as_slice(), self.values.get(*number)?)))
    }

    /// Puts an empty value in the place of those whose name `is_to_go`.
    pub(super) fn clear_where(&mut self, is_to_go: impl Fn(&[u8]) -> bool)
    where
        V: Default,
    {
        for (name, number) in &self.numbers {
            if let Some(value) = self.values.get_mut(*number).filter(|_| is_to_go(name)) {
                *value = V::default();
            }
        }
    }
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
        map.clear_where(|name| name == b"a");
        let values: Vec<i32> = map.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [0, 3, 4]);
    }
}
